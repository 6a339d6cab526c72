"""Relief on a common footing: a blob does not drown the lattice, and offsets stay."""

from __future__ import annotations

import numpy as np
import pytest

from policies.adaptation.relief import POINTS, levelled, overall_and_local


def lattice(rows: int = 96, columns: int = 96) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns]
    return (np.sin(x / 1.5) * np.sin(y / 1.5)).astype(np.float32)


def test_a_blob_leaves_the_lattice_beside_it_as_it_was() -> None:
    blob = lattice()
    blob[:20, 38:58] += 100
    for plain, disturbed in zip(
        overall_and_local(levelled(lattice())), overall_and_local(levelled(blob)), strict=True
    ):
        beside = slice(40, None)
        ratio = disturbed[beside].std() / plain[beside].std()
        assert 0.6 < ratio < 1.6


def test_the_tilt_goes_and_the_offsets_between_lines_stay() -> None:
    z = lattice() + 0.2 * np.arange(96, dtype=np.float32)
    z[48:] += 5
    flat = levelled(z)
    assert abs(flat[:, -10:].mean() - flat[:, :10].mean()) < 0.05 * np.ptp(flat)
    assert flat[60:].mean() - flat[:36].mean() > 0.5 * np.ptp(flat)


def test_long_lines_are_shrunk_and_one_height_is_no_relief() -> None:
    assert levelled(lattice(400, 800)).shape == (96, POINTS)
    with pytest.raises(ValueError, match="no relief"):
        levelled(np.full((8, 8), 3e-9, np.float32))
