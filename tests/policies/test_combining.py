"""Several scans of one tip: what they say together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.combining import combine
from policies.report import ImageState, TipReport, TipState

SHARE = st.floats(0, 1)


def report(quality: float, double: float = 0.1, noisy: float = 0.1) -> TipReport:
    states = dict.fromkeys(TipState, 0.1) | {TipState.DOUBLE: double}
    image = dict.fromkeys(ImageState, 0.1) | {ImageState.NOISY: noisy}
    return TipReport(quality, states, 96, 0.5, image=image, uncertainty=0.1)


@given(st.lists(SHARE, min_size=1, max_size=8))
def test_scans_together_lie_between_the_worst_and_the_best(qualities: list[float]) -> None:
    together = combine([report(quality) for quality in qualities]).quality
    assert min(qualities) - 1e-3 - 1e-9 <= together <= max(qualities) + 1e-3 + 1e-9


def test_a_state_takes_a_majority() -> None:
    scans = [report(0.5, double) for double in (0.9, 0.95, 0.1)]
    assert combine(scans).states[TipState.DOUBLE] == 0.9
    scans.append(report(0.5, 0.1))
    scans.append(report(0.5, 0.05))
    assert combine(scans).states[TipState.DOUBLE] == 0.1
    assert combine([report(0.5, noisy=n) for n in (0.2, 0.3, 0.9)]).image[ImageState.NOISY] == 0.3


def test_scans_that_show_nothing_do_not_count() -> None:
    bare = replace(report(0.01, double=0.99), featureless=True)
    blank = TipReport.unassessable("it is blank", 3)
    assert combine([report(0.9), bare, blank]) == combine([report(0.9)])
    nothing = combine([bare, blank])
    assert nothing.not_assessable
    assert (nothing.quality, nothing.lines) == (0.5, 99)


def test_one_scan_says_what_it_says() -> None:
    found = combine([report(0.8)])
    assert found.quality == pytest.approx(0.8)
    assert (found.uncertainty, found.lines) == (pytest.approx(0.1), 96)


def test_looking_again_does_not_make_a_guess_sure() -> None:
    assert combine([report(0.9)] * 20).quality == pytest.approx(0.9)
    assert combine([report(0.9)] * 20).uncertainty == pytest.approx(0.1)
