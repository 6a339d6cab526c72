"""From a scan to what the network sees: the same steps for simulated and for real scans.

Every scan becomes four pictures of ``SIDE`` x ``SIDE`` in the order in which it was scanned (first
line on top) and four numbers. Nothing is assumed about units: a scan without a scale or a frame
gets zeros and a flag in place of the numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from drivers.sample_map import level
from drivers.scan import Image, Scan

SIDE = 96
CHANNELS = 4
NUMBERS = 4
CLIP = 5.0


@dataclass(frozen=True, slots=True)
class ScorerInput:
    """What the network sees of one scan.

    Attributes:
        pictures: forward and backward with the line offsets removed, forward with only a plane
            removed, and the mask of what was scanned; shape (CHANNELS, SIDE, SIDE).
        numbers: log pixel size and log relief with a flag for each, shape (NUMBERS,).
        lines: number of scanned lines.
    """

    pictures: NDArray[np.float32]
    numbers: NDArray[np.float32]
    lines: int


def prepare(scan: Scan) -> ScorerInput:
    """Turn a scan, whole or partial, into the input of the network.

    Args:
        scan: forward picture (lines, pixels) with NaN where not scanned; at least one line.

    Raises:
        ValueError: the scan holds no finite pixel.
    """
    forward = _in_time(scan.forward, scan.direction)
    mask = np.isfinite(forward)
    if not mask.any():
        raise ValueError("the scan holds no data")
    backward = forward if scan.backward is None else _in_time(scan.backward, scan.direction)
    planed = _remove_plane(forward)
    levelled = level(planed)
    spread = _spread(levelled[mask])
    pictures = np.stack(
        [
            _shrink(_normal(levelled, spread)),
            _shrink(_normal(level(_remove_plane(backward)), spread)),
            _shrink(_normal(planed, _spread(planed[mask]))),
            _shrink(mask.astype(np.float32)),
        ]
    )
    return ScorerInput(pictures, _numbers(scan, spread), int(mask.any(axis=1).sum()))


def _in_time(image: Image, direction: str) -> Image:
    return image[::-1] if direction == "up" else image


def _remove_plane(z: Image) -> Image:
    """Remove the median slope along both axes; jumps between lines stay."""
    with np.errstate(invalid="ignore"):
        across = np.diff(z, axis=1)
        slope_x = np.nanmedian(across) if np.isfinite(across).any() else 0.0
        flat = z - slope_x * np.arange(z.shape[1], dtype=np.float32)
        finite = np.isfinite(flat).any(axis=1)
        rows = np.full(z.shape[0], np.nan)
        rows[finite] = np.nanmedian(flat[finite], axis=1)
        down = np.diff(rows)
        slope_y = np.nanmedian(down) if np.isfinite(down).any() else 0.0
        plane = slope_y * np.arange(z.shape[0])
        flat = flat - plane[:, None]
    centred: Image = (flat - np.nanmedian(flat)).astype(np.float32)
    return centred


def _spread(values: NDArray[np.float32]) -> float:
    low, high = np.percentile(values[np.isfinite(values)], (5, 95))
    return max(float(high - low) / 2, 1e-30)


def _normal(z: Image, spread: float) -> Image:
    centred = (z - np.nanmedian(z)) / spread if np.isfinite(z).any() else z
    return np.nan_to_num(np.clip(centred, -CLIP, CLIP)).astype(np.float32)


def _shrink(picture: Image) -> Image:
    if picture.shape == (SIDE, SIDE):
        return picture
    tensor = torch.from_numpy(np.ascontiguousarray(picture))[None, None]
    shrunk: Image = functional.interpolate(tensor, size=(SIDE, SIDE), mode="area")[0, 0].numpy()
    return shrunk


def _numbers(scan: Scan, spread: float) -> NDArray[np.float32]:
    numbers = np.zeros(NUMBERS, np.float32)
    if scan.frame is not None:
        numbers[:2] = math.log(scan.frame.width_m / SIDE / 0.25e-9), 1.0
    if scan.scale_known:
        numbers[2:] = math.log(max(spread, 1e-13) / 0.05e-9), 1.0
    return numbers
