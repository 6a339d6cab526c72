"""Draws the pictures of a scan for the page that labels are given on."""

from __future__ import annotations

from io import BytesIO
from typing import Literal, get_args

import numpy as np
from PIL import Image as Pillow

from drivers.sample_map import level
from drivers.scan import Image, Scan
from policies.labelling.sheet import Sheet
from sim.dataset.picture import COLOURS, Bytes, palette

#: ``lines`` takes out the offset between lines; ``plane`` leaves it, since it is what a change of
#: the tip in the middle of a scan looks like.
View = Literal["lines", "plane"]
VIEWS: tuple[View, ...] = get_args(View)


def draw(sheet: Sheet, way: int, view: View) -> bytes:
    """PNG of one of a sheet's pictures, one point of the scan a pixel, transparent where unscanned.

    Args:
        sheet: what to draw; one that can be shown.
        way: index into ``sheet.ways``.
        view: how a scan is levelled; a picture is left as it is.

    Raises:
        ValueError: the sheet has no such picture.
    """
    content = BytesIO()
    if way >= len(sheet.ways):
        raise ValueError(f"{sheet.name} has {len(sheet.ways)} pictures, not one of index {way}")
    if sheet.scan is not None:
        picture = Pillow.fromarray(_coloured(sheet.scan, way, view))
        picture.putpalette(palette())
        picture.save(content, "PNG", transparency=COLOURS)
    elif sheet.picture is not None:
        sheet.picture.save(content, "PNG")
    return content.getvalue()


def _coloured(scan: Scan, way: int, view: View) -> Bytes:
    """Indices of colours; ``COLOURS`` itself where nothing was scanned."""
    flatten = level if view == "lines" else without_plane
    forward = flatten(scan.forward)
    low, high = _ends(forward)
    if way == 0 or scan.backward is None:
        return _painted(forward, low, high)
    # On the scale of the forward picture, so that what differs is the tip's doing.
    backward = flatten(scan.backward)
    return _painted(backward - _middle(backward) + _middle(forward), low, high)


def without_plane(z: Image) -> Image:
    """``z`` without the plane that fits it best; what was not scanned is NaN."""
    scanned = np.isfinite(z)
    rows, columns = np.nonzero(scanned)
    flat = np.full(z.shape, np.nan, np.float32)
    if rows.size:
        terms = np.stack([rows, columns, np.ones(rows.size)], axis=1)
        # A relief of picometres on an offset of micrometres is lost in single precision.
        heights = z[scanned].astype(np.float64)
        flat[scanned] = heights - terms @ np.linalg.lstsq(terms, heights, rcond=None)[0]
    return flat


def _middle(flat: Image) -> np.float32:
    finite = flat[np.isfinite(flat)]
    return np.float32(np.median(finite)) if finite.size else np.float32(0)


def _ends(flat: Image) -> tuple[float, float]:
    finite = flat[np.isfinite(flat)]
    low, high = np.percentile(finite, (1, 99)) if finite.size else (0.0, 0.0)
    return float(low), float(high)


def _painted(flat: Image, low: float, high: float) -> Bytes:
    scanned = np.isfinite(flat)
    share = np.where(scanned, flat - low, 0.0) / ((high - low) or 1.0)
    colours = np.clip(share * COLOURS, 0, COLOURS - 1).astype(np.uint8)
    return np.where(scanned, colours, np.uint8(COLOURS))
