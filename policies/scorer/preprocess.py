"""From a scan to what the network sees: the same steps for simulated and for real scans.

Every scan becomes four pictures of ``SIDE`` x ``SIDE`` in the order in which it was scanned (first
line on top) and four numbers. Heights are counted in ``UNIT_M`` where the scale is known, else in
their own spread, and compressed, so that a ghost of 10 pm and a step of 235 pm both show. A scan
without a scale or a frame gets zeros and a flag in place of the numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from drivers.sample_map import aligned, level, middle, without_tilt
from drivers.scan import Image, Scan
from policies.scorer.protrusion import mean_protrusion
from policies.scorer.resampling import shares
from policies.scorer.units import UNIT_M, USUAL_PITCH_M

SIDE = 96
CHANNELS = 4
NUMBERS = 5
#: Pixels that are enough to find percentiles; sorting more of them takes longer than all else.
ENOUGH_PIXELS = 2**13


@dataclass(frozen=True, slots=True)
class ScorerInput:
    """What the network sees of one scan.

    Attributes:
        pictures: forward and backward with the line offsets removed, forward with only a plane
            removed, and the mask of what was scanned; shape (CHANNELS, SIDE, SIDE).
        protrusion: what ``mean_protrusion`` finds, shape (PATCHES, POINTS, POINTS).
        numbers: log pixel size and log relief with a flag for each, and the logarithm of the
            number of protrusions; shape (NUMBERS,).
        lines: number of scanned lines.
    """

    pictures: NDArray[np.float32]
    protrusion: NDArray[np.float32]
    numbers: NDArray[np.float32]
    lines: int


def prepare(scan: Scan) -> ScorerInput:
    """Turn a scan, whole or partial, into the input of the network.

    Args:
        scan: forward picture (lines, pixels) with NaN where not scanned; at least one line.

    Raises:
        ValueError: the scan holds no complete line, or no relief.
    """
    scan = squared(scan)
    order = slice(None, None, -1 if scan.direction == "up" else 1)
    done = np.isfinite(scan.forward[order]).all(axis=1)
    if not done.any():
        raise ValueError("the scan holds no data: not one complete line")
    forward = scan.forward[order][done]
    backward = forward if scan.backward is None else np.nan_to_num(scan.backward[order][done])
    straight = without_tilt(forward)
    planed, levelled = _without_tilt_down(straight), aligned(straight)
    spread = _spread(levelled)
    if spread == 0:
        raise ValueError("the scan holds no relief: all its heights are the same")
    unit = UNIT_M if scan.scale_known else spread
    pictures = np.zeros((CHANNELS, *scan.forward.shape), np.float32)
    both = np.stack([levelled, level(backward)])
    pictures[:-1, done] = [_compressed(z, unit) for z in (*both, planed)]
    pictures[-1, done] = 1.0
    # A unit stands for UNIT_M where the scale is unknown.
    patch, count = mean_protrusion(both * np.float32(UNIT_M / unit), _pitch_m(scan))
    numbers = _numbers(scan, spread, count)
    return ScorerInput(_shrink(pictures), patch, numbers, int(done.sum()))


def squared(scan: Scan) -> Scan:
    """A picture without a frame has square pixels: what it lacks of a square was not scanned."""
    lines, pixels = scan.forward.shape
    if scan.frame is not None or lines >= pixels:
        return scan
    missing = pixels - lines
    rows = (missing, 0) if scan.direction == "up" else (0, missing)
    return replace(
        scan,
        forward=np.pad(scan.forward, (rows, (0, 0)), constant_values=np.nan),
        backward=None
        if scan.backward is None
        else np.pad(scan.backward, (rows, (0, 0)), constant_values=np.nan),
    )


def _pitch_m(scan: Scan) -> tuple[float, float]:
    if scan.frame is None:
        return USUAL_PITCH_M, USUAL_PITCH_M
    lines, pixels = scan.forward.shape
    return scan.frame.height_m / lines, scan.frame.width_m / pixels


def _without_tilt_down(straight: Image) -> Image:
    """Remove the tilt across the lines as well; jumps between lines stay."""
    return without_tilt(straight.T).T if len(straight) > 1 else straight


def _spread(z: Image) -> float:
    """Half the height between the 5th and the 95th percentile; of nearly bare pictures more."""
    low, high = np.percentile(_some(z), (5, 95))
    return float(high - low) / 2 or float(z.std())


def _compressed(z: Image, unit: float) -> Image:
    """Heights above the median in ``unit``, linear when small and logarithmic when large."""
    compressed: Image = np.arcsinh((z - middle(_some(z))) / np.float32(unit))
    return compressed.astype(np.float32, copy=False)


def _some(z: Image) -> NDArray[np.float32]:
    """Heights of enough pixels to say how they are spread, from all over the picture."""
    # An odd step meets every column of pictures whose sides are powers of two.
    return z.ravel()[:: z.size // ENOUGH_PIXELS | 1]


def _shrink(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    if pictures.shape[1:] == (SIDE, SIDE):
        return pictures
    down, across = (shares(size, SIDE).float() for size in pictures.shape[1:])
    return (down.T @ torch.from_numpy(pictures) @ across).numpy()


def _numbers(scan: Scan, spread: float, protrusions: int) -> NDArray[np.float32]:
    numbers = np.zeros(NUMBERS, np.float32)
    if scan.frame is not None:
        numbers[:2] = math.log(scan.frame.width_m / SIDE / USUAL_PITCH_M), 1.0
    if scan.scale_known:
        numbers[2:4] = math.log(spread / UNIT_M), 1.0
    numbers[4] = math.log1p(protrusions)
    return numbers
