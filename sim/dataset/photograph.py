"""The way from heights to a published picture: flattened, 8 bit, small, and compressed.

Public sets of scans are mostly pictures. Simulated scans, and real ones that still have their
heights, go the same way before they are compared with them.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from drivers.scan import Image

#: Longest side of a picture.
SIDE = 192
#: Measured: real pictures encoded again have the size of their files at this quality.
QUALITY = 95
#: Share of the real pictures of H:Si(100) in which heights beyond one end of the range went on at
#: the other, 0.03 to 0.09; and that range, against which a relief is flat.
WRAPPED_SHARE, WRAP_M = 0.06, 20e-9

Photo = NDArray[np.uint8]


def photograph(heights: Image) -> Photo:
    """A picture of complete lines: each flattened, black to white over all heights, compressed.

    Raises:
        ValueError: no line is complete.
    """
    done = heights[np.isfinite(heights).all(axis=1)]
    if not done.size:
        raise ValueError("a picture needs at least one complete line")
    flat = flattened(done)
    low, high = float(flat.min()), float(flat.max())
    grey = (flat - low) / max(high - low, 1e-30) * 255
    picture = Pillow.fromarray(np.rint(grey).astype(np.uint8))
    picture.thumbnail((SIDE, SIDE))
    content = BytesIO()
    picture.save(content, "WEBP", quality=QUALITY)
    return decode(content.getvalue())


def decode(content: bytes) -> Photo:
    """The grey values of a compressed picture."""
    with Pillow.open(BytesIO(content)) as picture:
        return np.asarray(picture.convert("L"))


def wrapped_around(rng: np.random.Generator, heights: Image) -> Image:
    """``heights`` of which those above some height went on at the lower end of the range."""
    # Mostly little is beyond.
    end = np.nanquantile(heights, rng.beta(1.2, 0.4))
    return np.where(heights > end, heights - np.float32(WRAP_M), heights)


def flattened(heights: Image) -> Image:
    """Every line without its mean and its slope."""
    x = np.linspace(-1, 1, heights.shape[1])
    lines = heights - heights.mean(axis=1, keepdims=True)
    slopes = lines @ x / (x @ x)
    flat: Image = (lines - slopes[:, None] * x).astype(np.float32)
    return flat


def shrunk(heights: Image) -> Image:
    """Heights on as many points as a picture has."""
    factor = SIDE / max(heights.shape)
    if factor >= 1:
        return heights
    rows, columns = (max(round(n * factor), 1) for n in heights.shape)
    # In units that the filter cannot round away.
    picture = Pillow.fromarray((heights * 1e12).astype(np.float32)).resize((columns, rows))
    small: Image = np.asarray(picture) * np.float32(1e-12)
    return small
