"""Adatoms that follow a tip which comes too close. Lengths are nm."""

from __future__ import annotations

import numpy as np

from sim.sample import Sample
from sim.tips.blocks import Dragging


def drag(
    law: Dragging,
    rng: np.random.Generator,
    sample: Sample,
    start: tuple[float, float],
    end: tuple[float, float],
) -> None:
    """Let the tip pass from ``start`` to ``end`` of ``sample``, and take adatoms along.

    Lone adatoms follow by pulling, as Stroscio and Eigler describe it, Science 254, 1319 (1991);
    clusters, which are longer one way than the other, stay.
    """
    origin, way = np.array(start), np.array(end) - np.array(start)
    length = float(np.hypot(*way))
    if not length:
        return
    for row in sample.adatoms.along(origin, origin + way, law.reach_nm):
        if row[3] != row[4]:
            continue
        met = float((row[:2] - origin) @ way) / length
        held = met + rng.exponential(law.hold_nm)
        to = origin + way * (min(max(held, 0.0), length) / length)
        sample.drag_adatom(row, float(to[0]), float(to[1]))
