"""What cannot be judged is reported so, never judged and never raised."""

from __future__ import annotations

import numpy as np
import pytest

from drivers import Frame, Scan
from policies.scorer.assessable import is_featureless, why_not
from policies.scorer.coarse import MOST_POINTS, coarse
from policies.scorer.preprocess import prepare

FRAME = Frame(x_m=0, y_m=0, width_m=24e-9, height_m=24e-9)


def noise(lines: int = 64, pixels: int = 64, height_m: float = 5e-12) -> np.ndarray:
    return np.random.default_rng(2).normal(0, height_m, (lines, pixels)).astype(np.float32)


def clipped() -> np.ndarray:
    return np.minimum(noise(), 1e-12)


@pytest.mark.parametrize(
    ("heights", "why"),
    [
        (np.empty((0, 64), np.float32), "0 complete lines"),
        (np.full((64, 64), np.nan, np.float32), "0 complete lines"),
        (np.full((64, 64), np.inf, np.float32), "0 complete lines"),
        (noise(1), "1 complete lines"),
        (np.empty((64, 0), np.float32), "0 pixels"),
        (noise(64, 1), "1 pixels"),
        (np.full((64, 64), 3e-9, np.float32), "no relief"),
        (clipped(), "clipped"),
        (noise() * 1e9, "metres"),
        (noise() * 1e-9, "metres"),
    ],
)
def test_nothing_is_told_and_why(heights: np.ndarray, why: str) -> None:
    assert why in (why_not(Scan(forward=heights, frame=FRAME)) or "")


def test_an_ordinary_scan_can_be_judged() -> None:
    assert why_not(Scan(forward=noise(), frame=FRAME)) is None
    # Grey values have no unit, and a picture may well be black in places.
    assert why_not(Scan(forward=clipped() * 1e12, scale_known=False)) is None


def featureless(scan: Scan) -> bool:
    return is_featureless(prepare(scan), scan)


def test_a_bare_terrace_shows_no_apex_and_an_adatom_does() -> None:
    z = noise()
    z += np.linspace(0, 400e-12, 64, dtype=np.float32)
    assert featureless(Scan(forward=z, frame=FRAME))
    assert not featureless(Scan(forward=z, scale_known=False))
    rows, columns = np.mgrid[:64, :64]
    z += (120e-12 * np.exp(-((rows - 30) ** 2 + (columns - 20) ** 2) / 18)).astype(np.float32)
    assert not featureless(Scan(forward=z, frame=FRAME))


def test_a_huge_scan_is_averaged_and_a_usual_one_is_not() -> None:
    usual = Scan(forward=noise(), frame=FRAME)
    assert coarse(usual) is usual
    z = np.kron(noise(40, 600), np.ones((1, 5), np.float32))
    z[30:] = np.nan
    small = coarse(Scan(forward=z, backward=z + np.float32(1e-12), frame=FRAME))
    assert small.forward.shape == (40, 1000)
    assert max(small.forward.shape) <= MOST_POINTS
    assert np.allclose(small.forward[:30], z[:30].reshape(30, 1000, 3).mean(axis=2), atol=1e-15)
    assert np.isnan(small.forward[30:]).all()
    assert small.backward is not None
    assert small.frame == FRAME
