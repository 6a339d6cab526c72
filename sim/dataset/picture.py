"""A quick look at a scan as PNG: forward beside backward, in the colours of a topograph."""

from __future__ import annotations

from functools import cache
from io import BytesIO

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from drivers.sample_map import level
from drivers.scan import Image, Scan

#: Pictures smaller than this are enlarged by a whole factor.
SIDE = 256
GAP = 8
#: Colours for heights; one more is the white between the pictures.
COLOURS = 255

Bytes = NDArray[np.uint8]


def png(scan: Scan) -> bytes:
    """Both pictures, levelled, on one scale from the 1st to the 99th percentile of forward."""
    forward = level(scan.forward)
    both = [forward] if scan.backward is None else [forward, level(scan.backward)]
    finite = forward[np.isfinite(forward)]
    low, high = np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0)
    painted = [_painted(z - np.nanmedian(z) + np.nanmedian(forward), low, high) for z in both]
    gap = np.full((painted[0].shape[0], GAP), COLOURS, np.uint8)
    row = [part for one in painted for part in (gap, one)][1:]
    picture = Pillow.fromarray(np.concatenate(row, axis=1))
    picture.putpalette(palette())
    content = BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def _painted(z: Image, low: float, high: float) -> Bytes:
    share = np.nan_to_num((z - low) / max(high - low, 1e-15))
    colours = np.clip(share * COLOURS, 0, COLOURS - 1).astype(np.uint8)
    factor = max(1, SIDE // max(z.shape))
    enlarged: Bytes = colours.repeat(factor, axis=0).repeat(factor, axis=1)
    return enlarged


@cache
def palette() -> bytes:
    """Red, green and blue of each colour, and the white."""
    colours = (mpl.colormaps["YlOrBr_r"](np.linspace(0, 1, COLOURS))[:, :3] * 255).astype(np.uint8)
    return colours.tobytes() + b"\xff\xff\xff"
