"""Things strewn over the terraces, some of which have been moved. Lengths are nm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sim.scans.kernels import Doubles
from sim.surfaces.relief import Corners

#: Columns of a row for ``draw_bumps``.
COLUMNS = 7


class Strewn:
    """One kind of thing: where it lies by nature, and what a tip has made of that.

    Args:
        draw: rows for ``draw_bumps`` of all that by nature lie in an area and a margin around it.
    """

    def __init__(self, draw: Callable[[Corners, float], Doubles]) -> None:
        self._draw = draw
        self._gone: set[tuple[float, float]] = set()
        self._put = np.empty((0, COLUMNS))

    def over(self, area: Corners, margin: float) -> Doubles:
        """Rows of all that lie in ``area`` and ``margin`` around it."""
        rows = self._draw(area, margin)
        if not self._gone and not len(self._put):
            return rows
        there = np.array([(x, y) not in self._gone for x, y in rows[:, :2]], bool)
        reach = margin + 6 * self._put[:, 3:5].max(axis=1, initial=0.0)
        x, y = self._put[:, 0], self._put[:, 1]
        near = (x > area[0] - reach) & (x < area[2] + reach)
        near &= (y > area[1] - reach) & (y < area[3] + reach)
        return np.concatenate([rows[there], self._put[near]])

    def along(self, start: Doubles, end: Doubles, reach: float) -> Doubles:
        """Rows of all within ``reach`` of the straight way from ``start`` to ``end``."""
        low, high = np.minimum(start, end), np.maximum(start, end)
        rows = self.over((low[0], low[1], high[0], high[1]), reach)
        way = end - start
        length2 = float(way @ way)
        share = (rows[:, :2] - start) @ way / length2 if length2 else np.zeros(len(rows))
        nearest = start + np.clip(share, 0.0, 1.0)[:, None] * way
        found: Doubles = rows[np.hypot(*(rows[:, :2] - nearest).T) <= reach]
        return found

    def take(self, row: Doubles) -> None:
        """Take away what ``over`` or ``along`` has returned as ``row``."""
        put = (self._put[:, :2] == row[:2]).all(axis=1)
        if put.any():
            self._put = self._put[~put]
        else:
            self._gone.add((float(row[0]), float(row[1])))

    def put(self, row: Doubles) -> None:
        """Lay down one more."""
        self._put = np.concatenate([self._put, row[None]])
