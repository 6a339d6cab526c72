"""The bank of reports: what goes in comes out, and the nearest tip is one of the same kind."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drivers.errors import FileError
from policies.training import gather
from policies.training.bank import COLUMNS, Bank, BankManifest, View
from policies.training.gather import bank_at
from policies.training.tips import draw_tips
from tests.policies.rehearsed import PRESET, honest_bank, report
from tests.policies.untaught import untaught_scorer


def test_a_view_is_the_same_as_numbers_and_back() -> None:
    seen = replace(report(0.25, noisy=0.5), novelty=1.5, uncertainty=0.125, featureless=True)
    view = View(seen, 12e-9)
    assert len(view.numbers()) == COLUMNS
    back = View.of_numbers(view.numbers())
    assert back.report == seen
    assert back.clear_m == pytest.approx(12e-9)


def test_reports_are_those_on_tips_of_the_same_kind() -> None:
    bank, rng = honest_bank(), np.random.default_rng(5)
    right = wrong = 0
    for tip in itertools.islice(draw_tips(np.random.default_rng(77), PRESET), 300):
        seen = bank.looks(rng, tip).draw(rng, whole=True).report
        right += (seen.quality > 0.5) == tip.is_good(PRESET.good)
        wrong += (seen.states["contaminated"] > 0.5) == tip.clean  # type: ignore[index]
    assert right > 0.75 * 300
    assert wrong == 0


def test_all_looks_at_one_tip_come_from_one_entry() -> None:
    bank, rng = honest_bank(), np.random.default_rng(6)
    for tip in itertools.islice(draw_tips(np.random.default_rng(78), PRESET), 20):
        looks = bank.looks(rng, tip)
        assert len({view.report.quality for view in looks.whole}) == 1


@pytest.mark.timeout(300)  # the renderer is compiled
def test_a_bank_is_built_once_per_scorer_and_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two tips, whose scans are taken in other processes.
    monkeypatch.setattr(gather, "SHARE", 2)
    scorer = untaught_scorer(tmp_path)
    path = bank_at(scorer, 3, 2, tmp_path)
    manifest = BankManifest.model_validate(json.loads(path.with_suffix(".json").read_text()))
    assert manifest.scorer == scorer.manifest.sha256
    assert manifest.preset == PRESET.hash
    bank, rng = Bank.read(path), np.random.default_rng(0)
    (tip,) = itertools.islice(draw_tips(np.random.default_rng(3), PRESET), 1)
    assert bank.looks(rng, tip).draw(rng, whole=True).report.lines == gather.PIXELS
    assert bank.changing(rng, tip).draw(rng, whole=True).report.lines == gather.PIXELS

    def never(*_: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(gather, "gather", never)
    assert bank_at(scorer, 3, 2, tmp_path) == path
    path.write_bytes(b"x")
    with pytest.raises(FileError, match="sha256"):
        Bank.read(path)
