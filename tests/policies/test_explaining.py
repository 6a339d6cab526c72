"""Where a judgement comes from: maps in the shape of the scan, lines in the order of time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drivers import Frame, Scan
from policies.report import TipReport, TipState
from policies.scorer import Scorer
from policies.scorer.drawing import draw
from policies.scorer.explaining import explain

FRAME = Frame(x_m=0, y_m=0, width_m=24e-9, height_m=24e-9)
REPORT = TipReport(0.1, dict.fromkeys(TipState, 0.1) | {TipState.DOUBLE: 0.9}, 96)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer.load()


def terrace(lines: int = 96, pixels: int = 96) -> np.ndarray:
    """One adatom with a neighbour, in the upper left of a terrace."""
    rows, columns = np.mgrid[:lines, :pixels]
    z = np.random.default_rng(1).normal(0, 0.5e-12, (lines, pixels))
    for column, height in ((30, 120e-12), (38, 60e-12)):
        z += height * np.exp(-((rows - 25) ** 2 + (columns - column) ** 2) / 6)
    return z.astype(np.float32)


def test_the_map_lies_on_the_scan_and_points_at_what_is_seen(scorer: Scorer) -> None:
    z = terrace()
    why = explain(scorer, Scan(forward=z, frame=FRAME), REPORT)
    assert why.shown is TipState.DOUBLE
    assert why.heat.shape == z.shape
    assert np.nanmax(why.heat) == pytest.approx(1)
    assert np.nanmin(why.heat) >= 0
    row, column = np.unravel_index(int(np.nanargmax(why.heat)), z.shape)
    assert abs(row - 25) < 8
    assert 22 < column < 46


def test_a_scan_from_below_has_its_map_upside_down(scorer: Scorer) -> None:
    z = terrace()
    down = explain(scorer, Scan(forward=z, frame=FRAME), REPORT).heat
    up = explain(scorer, Scan(forward=z[::-1], frame=FRAME, direction="up"), REPORT).heat
    assert np.allclose(down, up[::-1], atol=1e-5)


def test_what_was_not_scanned_has_no_heat(scorer: Scorer) -> None:
    z = terrace()
    z[60:] = np.nan
    heat = explain(scorer, Scan(forward=z, frame=FRAME), REPORT).heat
    assert np.isnan(heat[60:]).all()
    assert np.isfinite(heat[:60]).all()


def test_part_of_a_picture_without_a_frame_keeps_its_shape(scorer: Scorer) -> None:
    z = terrace(40, 120)
    assert explain(scorer, Scan(forward=z, scale_known=False), REPORT).heat.shape == (40, 120)


def test_a_good_tip_is_explained_as_one(scorer: Scorer) -> None:
    good = replace(REPORT, quality=0.8)
    assert explain(scorer, Scan(forward=terrace(), frame=FRAME), good).shown is None


def test_the_line_of_a_change_is_that_of_the_stream(scorer: Scorer) -> None:
    z = np.random.default_rng(3).normal(0, 1e-12, (96, 96))
    rows, columns = np.mgrid[:96, :96]
    for row, column in ((20, 20), (30, 60), (45, 30), (60, 70), (70, 25), (85, 60)):
        shift = 12 if row > 50 else 0
        for away, height in ((0, 120e-12), (8, 0.0 if row < 50 else 90e-12)):
            there = (rows - row) ** 2 + (columns - column - shift - away) ** 2
            z += height * np.exp(-there / 6)
    z[52:] += 400e-12
    scan = Scan(forward=z.astype(np.float32), frame=FRAME)
    sensitive = Scorer(
        scorer.network, scorer._familiarity, scorer.manifest.model_copy(update={"alarm": 0.02})
    )
    found = explain(sensitive, scan, REPORT).changed_line
    turned = explain(
        sensitive, Scan(forward=scan.forward[::-1], frame=FRAME, direction="up"), REPORT
    ).changed_line
    assert found is not None
    assert found == turned
    never = Scorer(
        scorer.network, scorer._familiarity, scorer.manifest.model_copy(update={"alarm": 1.1})
    )
    assert explain(never, scan, REPORT).changed_line is None


def test_it_is_drawn(scorer: Scorer, tmp_path: Path) -> None:
    scan = Scan(forward=terrace(), frame=FRAME)
    why = replace(explain(scorer, scan, REPORT), changed_line=40)
    draw(scan, REPORT, why, "with", tmp_path / "with.png")
    draw(scan, REPORT, None, "without", tmp_path / "without.png")
    assert (tmp_path / "with.png").stat().st_size > (tmp_path / "without.png").stat().st_size
