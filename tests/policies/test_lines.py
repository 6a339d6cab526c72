"""Reading line by line: the same in any portions, and the same before and after the end."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import Frame, Scan, ScanLine
from policies.report import TipState
from policies.scorer.lines import MOST_ROWS, POINTS, LineReader, Setting, read_rows
from policies.scorer.outputs import NAMES, OUTPUTS
from policies.scorer.stream import EARLIEST_ROW, LineStream, Thresholds

FRAME = Frame(x_m=0, y_m=0, width_m=24e-9, height_m=24e-9)


def heights(lines: int, pixels: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 20e-12, (lines, pixels)).cumsum(axis=1).astype(np.float32)


@given(
    lines=st.integers(1, 220),
    pixels=st.integers(8, 300),
    cuts=st.lists(st.integers(0, 220), max_size=5),
    scale_known=st.booleans(),
)
@settings(deadline=None)
def test_portions_make_no_difference(
    lines: int, pixels: int, cuts: list[int], scale_known: bool
) -> None:
    z = heights(lines, pixels)
    setting = Setting(pixels, lines, 24e-9, scale_known)
    whole = LineReader(setting).read(z, z * 2)
    reader = LineReader(setting)
    ends = [0, *sorted(min(cut, lines) for cut in cuts), lines]
    parts = [reader.read(z[a:b], z[a:b] * 2) for a, b in pairwise(ends)]
    assert np.allclose(np.concatenate([part.pictures for part in parts], 1), whole.pictures)
    assert np.allclose(np.concatenate([part.numbers for part in parts]), whole.numbers)
    assert len(whole) == lines // setting.lines_per_row <= MOST_ROWS


def test_what_comes_later_changes_nothing() -> None:
    z = heights(60, 96)
    later = z.copy()
    later[30:] *= 5
    both = [read_rows(Scan(forward=one, frame=FRAME)) for one in (z, later)]
    assert np.array_equal(both[0].pictures[:, :30], both[1].pictures[:, :30])
    assert not np.array_equal(both[0].pictures[:, 30:], both[1].pictures[:, 30:])


def test_units_and_tilt_make_no_difference_where_the_scale_is_unknown() -> None:
    z = heights(40, 96).astype(float)
    tilted = ((z + np.arange(96) * 7e-12) * 1e9).astype(np.float32)
    plain, other = (read_rows(Scan(forward=one, scale_known=False)) for one in (z, tilted))
    assert np.abs(plain.pictures - other.pictures).max() < 0.01
    assert not plain.numbers.any()


def test_an_up_scan_is_read_in_the_order_of_time() -> None:
    z = heights(32, 64)
    down, up = Scan(forward=z), Scan(forward=z[::-1], direction="up")
    assert np.array_equal(read_rows(down).pictures, read_rows(up).pictures)


def test_points_are_means_of_the_pixels() -> None:
    z = np.repeat(heights(3, POINTS), 2, axis=1)
    fine, coarse = (read_rows(Scan(forward=one, frame=FRAME)) for one in (z, z[:, ::2]))
    assert np.allclose(fine.pictures, coarse.pictures, atol=1e-5)


class Told:
    """Puts out what it was told, one after the other."""

    def __init__(self, qualities: list[float], changes: list[float]) -> None:
        self.left = list(zip(qualities, changes, strict=True))

    def read(self, picture: np.ndarray, numbers: np.ndarray) -> torch.Tensor:
        quality, change = self.left.pop(0)
        found = torch.zeros(OUTPUTS)
        found[0] = torch.logit(torch.tensor(quality))
        found[NAMES.index(TipState.CHANGED)] = torch.logit(torch.tensor(change))
        return found


def stream(qualities: list[float], changes: list[float], lines: int = 24) -> LineStream:
    step = Told(qualities, changes)
    return LineStream(step, Thresholds(1.0, 0.8, 0.1), Setting(16, lines, 24e-9, True))


def line(index: int) -> ScanLine:
    return ScanLine(index, index, heights(1, 16, index)[0], None, float(index))


def test_a_change_is_reported_where_it_was_seen_first() -> None:
    told = stream([0.5] * 6, [0.1, 0.2, 0.7, 0.85, 0.3, 0.9])
    reports = [told.read(line(index)) for index in range(6)]
    assert told.changed_line == 3
    assert reports[3].states[TipState.CHANGED] == pytest.approx(0.85)
    assert [report.lines for report in reports] == [1, 2, 3, 4, 5, 6]


def test_a_scan_is_hopeless_only_once_enough_of_it_was_seen() -> None:
    told = stream([0.01] * 10, [0.0] * 10)
    hopeless = []
    for index in range(10):
        told.read(line(index))
        hopeless.append(told.stop_early())
    assert hopeless == [False] * EARLIEST_ROW + [True] * (10 - EARLIEST_ROW)
    told = stream([0.11] * 10, [0.0] * 10)
    for index in range(10):
        told.read(line(index))
        assert not told.stop_early()


def test_lines_that_are_read_together_give_one_report() -> None:
    told = stream([0.2, 0.3], [0.0, 0.9], lines=192)
    reports = [told.read(line(index)) for index in range(4)]
    assert reports[0] is None
    assert reports[1] is reports[2]
    assert reports[3].quality == pytest.approx(0.3)
    assert told.changed_line == 2


def test_a_line_with_a_gap_is_skipped() -> None:
    told = stream([0.2], [0.0])
    first = told.read(line(0))
    gap = line(1)
    gap.forward_m[3] = np.nan
    assert told.read(gap) is first
