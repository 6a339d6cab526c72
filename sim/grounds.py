"""Remembers the bare surface where it was drawn last, so that coming back costs less.

What is remembered gives the same heights, to the last bit, as drawing them again would: it must
begin at the same point, or lie on a grid whose points are exact in binary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from sim.scans.kernels import Doubles
from sim.surfaces.relief import Corners, Tile
from sim.surfaces.view import View

#: Grounds that are kept: the frame, the patch below the tip, and one more place.
KEPT = 3
#: A ground is widened to hold a second look at its place, up to this many times the new area.
WIDEST = 2.0


class Pile(NamedTuple):
    """What is to lie on the terraces, of one kind: rows for ``draw_bumps``, and their own halo."""

    bumps: Doubles
    halo: float
    molecular: bool = False


@dataclass(frozen=True, slots=True)
class Ground:
    """Terraces and what covers them, with nothing on them yet.

    Attributes:
        tile: the heights.
        kinds: what is to lie on them.
    """

    tile: Tile
    kinds: list[Pile]

    def cut(self, wanted: Tile) -> Ground | None:
        """The part below ``wanted``, as a copy; None if it is not all there, or not exactly."""
        tile = self.tile
        columns, rows = (
            (there - here) / tile.spacing
            for there, here in zip(wanted.origin, tile.origin, strict=True)
        )
        left, low = round(columns), round(rows)
        exact = (left, low) == (0, 0) or _binary(tile.spacing)
        ny, nx = wanted.height.shape
        inside = left >= 0 and low >= 0
        inside = inside and low + ny <= tile.height.shape[0] and left + nx <= tile.height.shape[1]
        if not (exact and inside and (columns, rows) == (left, low)):
            return None
        part = slice(low, low + ny), slice(left, left + nx)
        texture = None if tile.texture is None else tile.texture[part].copy()
        return Ground(replace(wanted, height=tile.height[part].copy(), texture=texture), self.kinds)


class Grounds:
    """The grounds of one sample that were looked at last.

    Args:
        draw: draws the ground over an area, on a grid, for a view.
        textured: whether a view makes a difference to it.
    """

    def __init__(self, draw: Callable[[Corners, float, View], Ground], textured: bool) -> None:
        self._draw = draw
        self._textured = textured
        self._kept: list[tuple[tuple[float, View | None], Ground]] = []

    def forget(self) -> None:
        """Draw everything anew: something has moved."""
        self._kept = []

    def over(self, box: Corners, spacing: float, view: View) -> Ground:
        """The ground over ``box``; the caller may change it."""
        key = spacing, replace(view, halo=0.0) if self._textured else None
        wanted = Tile.blank(box, spacing, self._textured)
        area = box
        for place, (kept, ground) in enumerate(self._kept):
            if kept == key and (part := ground.cut(wanted)):
                self._kept.insert(0, self._kept.pop(place))
                return part
            if kept == key and _binary(spacing):
                area = _widened(box, ground.tile.corners, area)
        fresh = self._draw(area, spacing, view)
        self._kept = [(key, fresh), *self._kept[: KEPT - 1]]
        return fresh.cut(wanted) or self._draw(box, spacing, view)


def _binary(spacing: float) -> bool:
    """Whether multiples of ``spacing`` within the range of a scanner are exact."""
    return math.ldexp(spacing, 20).is_integer()


def _widened(box: Corners, other: Corners, otherwise: Corners) -> Corners:
    """``box`` and ``other`` together if they are about the same place."""
    both = (
        min(box[0], other[0]),
        min(box[1], other[1]),
        max(box[2], other[2]),
        max(box[3], other[3]),
    )
    return both if _area(both) <= WIDEST * _area(box) else otherwise


def _area(box: Corners) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
