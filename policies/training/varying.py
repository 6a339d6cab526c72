"""What happens to pictures on their way, and differs from one laboratory to the next.

The simulator has one way of doing things; a network that leans on its details knows no real scan.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from drivers.scan import Image

#: Shares of the scans that are smoothed along their lines, and that get noise of their own.
SMOOTHED, NOISED = 0.2, 0.3
#: Deviations of the smoothing, in pixels, and of the noise, in spreads of the heights.
SMOOTH_PIXELS, NOISE_SHARES = (0.4, 1.5), (0.005, 0.1)
#: Share of that noise that all pixels of a line have in common, from and to.
COMMON = (0.0, 1.0)
#: Powers to which grey values are raised by who made the picture.
GAMMAS = (0.7, 1.4)


def varied(rng: np.random.Generator, pictures: list[Image]) -> list[Image]:
    """Smooth the pictures of one scan and add noise to them, or leave them as they are.

    Args:
        rng: decides.
        pictures: heights, forward and backward, NaN where not scanned; shape (lines, pixels) each.
    """
    if rng.uniform() < SMOOTHED:
        pixels = rng.uniform(*SMOOTH_PIXELS)
        pictures = [gaussian_filter1d(z, pixels, axis=1, mode="nearest") for z in pictures]
    if rng.uniform() < NOISED:
        height = float(np.exp(rng.uniform(*np.log(NOISE_SHARES)))) * _spread(pictures[0])
        common = rng.uniform(*COMMON)
        pictures = [_noised(rng, z, height, common) for z in pictures]
    return pictures


def toned(rng: np.random.Generator, grey: Image) -> Image:
    """Grey values, 0 to 255, in another tone."""
    return np.float32(255) * (grey / np.float32(255)) ** np.float32(rng.uniform(*GAMMAS))


def _spread(z: Image) -> float:
    """Half of what lies between the heights of most pixels, offsets of the lines left out."""
    lines = z[np.isfinite(z).all(axis=1)]
    low, high = np.percentile(lines - np.median(lines, axis=1, keepdims=True), (5, 95))
    return float(high - low) / 2


def _noised(rng: np.random.Generator, z: Image, height: float, common: float) -> Image:
    own = rng.normal(0, height * np.sqrt(1 - common**2), z.shape)
    shared = rng.normal(0, height * common, (len(z), 1))
    return z + (own + shared).astype(np.float32)
