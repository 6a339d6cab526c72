"""Scans of many thousand lines, on as many points as can tell anything about a tip."""

from __future__ import annotations

import math
from dataclasses import replace

from drivers.scan import Image, Scan

#: Points along a side beyond which nothing is gained.
MOST_POINTS = 1024


def coarse(scan: Scan) -> Scan:
    """The scan with neighbouring points averaged where it has more than ``MOST_POINTS`` of them.

    What is left over at the lower and the right edge, less than one point, is left out.
    """
    lines, pixels = (math.ceil(n / MOST_POINTS) for n in scan.forward.shape)
    if lines <= 1 and pixels <= 1:
        return scan
    backward = None if scan.backward is None else _averaged(scan.backward, lines, pixels)
    return replace(scan, forward=_averaged(scan.forward, lines, pixels), backward=backward)


def _averaged(z: Image, lines: int, pixels: int) -> Image:
    rows, columns = z.shape[0] // lines, z.shape[1] // pixels
    blocks = z[: rows * lines, : columns * pixels].reshape(rows, lines, columns, pixels)
    means: Image = blocks.mean(axis=(1, 3))
    return means
