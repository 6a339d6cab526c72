"""A scan in numbers: of any size, in any unit, from the lines at hand alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.scan import Scan
from policies.adaptation.descriptors import describe
from policies.adaptation.seams import seams
from policies.scorer.assessable import complete_lines

LENGTH = len(describe(np.random.default_rng(0).normal(size=(10, 10)).astype(np.float32)))


def relief(seed: int = 0, shape: tuple[int, int] = (40, 64)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).cumsum(axis=1).astype(np.float32)


@given(st.integers(2, 60), st.integers(4, 400), st.integers(0, 1000))
def test_every_size_gives_as_many_finite_numbers(rows: int, columns: int, seed: int) -> None:
    found = describe(relief(seed, (rows, columns)))
    assert found.shape == (LENGTH,)
    assert np.isfinite(found).all()


def test_the_unit_and_the_offset_do_not_matter() -> None:
    z = relief()
    np.testing.assert_allclose(describe(z * 1e-11 + 3e-9), describe(z), rtol=1e-2, atol=1e-2)


def test_mirrored_and_turned_lines_are_told_apart() -> None:
    z = relief()
    z[20:] += 30
    moved = np.abs(describe(z) - describe(relief()))
    assert moved.max() > 0.5


@pytest.mark.parametrize(
    ("z", "said"),
    [
        (relief()[:1], "fewer than two"),
        (relief()[:0], "fewer than two"),
        (np.ones((5, 8), np.float32), "no relief"),
    ],
)
def test_too_little_is_refused(z: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        describe(z)


def test_lines_come_in_the_order_of_the_scan() -> None:
    z = relief()
    z[0] = np.nan
    lines = complete_lines(Scan(forward=z, direction="up"))
    np.testing.assert_array_equal(lines, z[:0:-1])


def test_a_seam_is_found_where_two_scans_are_put_together() -> None:
    rng = np.random.default_rng(0)
    one, other = (np.repeat(rng.normal(size=(1, 64)), 20, axis=0) for _ in range(2))
    noise = 0.1 * rng.normal(size=(40, 64))
    found = [
        np.array(list(seams(z + noise))) for z in (np.vstack([one, one]), np.vstack([one, other]))
    ]
    assert found[0].shape == found[1].shape
    # The worst step beside the usual one, in powers of ten.
    assert found[1][0] > found[0][0] + 0.5
