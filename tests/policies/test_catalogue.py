"""The catalogue of choices: what is offered when, and that the envelope has the last word."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import CoarseMove, Indentation, Limits, RetuneFeedback, Wait
from drivers.envelope import check_action
from policies.conditioner.catalogue import (
    CHOICES,
    PULSES_V,
    REMEDIES,
    Kind,
    Means,
    Situation,
    nearest,
)
from policies.legal import ANYWHERE
from policies.report import ImageState
from tests.policies.rehearsed import AT, DIP, PULSE, means, situation

KINDS = np.array([choice.kind for choice in CHOICES])


def offered(now: Situation, by: Means | None = None) -> set[str]:
    return set(KINDS[(by or means()).mask(now)])


@pytest.mark.parametrize(
    ("now", "kinds"),
    [
        (situation(), {"pulse", "depth", "wait"}),
        (situation(0.6), {"pulse", "penetration", "wait"}),
        (situation(0.6, waited=True), {"pulse", "penetration"}),
        (situation(0.6, waited=True, area_left=0.05), {"pulse", "penetration", "coarse_move"}),
        (situation(0.6, spoiled=True), {"penetration", "wait"}),
        (situation(0.6, trouble=ImageState.NOISY, waited=True), {"wait"}),
        (situation(0.6, trouble=ImageState.RINGING), {"retune"}),
        (situation(0.6, trouble=ImageState.LAGGING, area_left=0.05), {"retune"}),
        (situation(0.6, trouble=ImageState.NOISY, remedies=REMEDIES), set()),
        # A misread contact must not leave pulses alone.
        (situation(40.0), {"pulse", "depth", "wait"}),
    ],
)
def test_what_is_offered_fits_the_situation(now: Situation, kinds: set[str]) -> None:
    assert offered(now) == kinds


def test_a_loop_that_rings_is_made_slower_and_one_that_lags_faster() -> None:
    gains = []
    for state in (ImageState.RINGING, ImageState.LAGGING):
        (index,) = np.flatnonzero(means().mask(situation(trouble=state)))
        action = means().action(int(index), None)
        assert isinstance(action, RetuneFeedback)
        gains.append(action.p_gain_m)
    assert gains[0] < 30e-12 < gains[1]


def test_without_known_gains_it_waits_instead_of_retuning() -> None:
    unknown = Means(AT, Limits(), (800e-9, 800e-9))
    assert offered(situation(trouble=ImageState.RINGING), unknown) == {"wait"}


def test_narrow_limits_leave_only_what_is_inside() -> None:
    narrow = means(max_pulse_v=4.0, max_depth_nm=1.0)
    mask = narrow.mask(situation(0.5, strongest_v=10.0))
    levels = {(choice.kind, choice.level) for choice, on in zip(CHOICES, mask, strict=True) if on}
    assert levels == {
        *((Kind.PULSE, volts) for volts in (3.0, -3.0, 4.0, -4.0)),
        *((Kind.PENETRATION, depth) for depth in (0.1, 0.25, 0.4)),
        (Kind.WAIT, 0.0),
    }


CROWDED = situation(0.6, area_left=0.05)


@pytest.mark.parametrize(
    "narrower", [{"max_approach_steps": 99}, {"max_approach_s": 0}, {"max_coarse_steps": 19}]
)
def test_a_coarse_move_without_a_way_back_is_not_offered(narrower: dict[str, float]) -> None:
    assert "coarse_move" not in offered(CROWDED, means(**narrower))
    assert "coarse_move" in offered(CROWDED, means(max_approach_steps=100))


def test_an_instrument_without_coarse_motion_is_offered_none() -> None:
    assert "coarse_move" in offered(CROWDED)
    assert "coarse_move" not in offered(CROWDED, replace(means(), coarse=False))


@given(
    contact=st.none() | st.floats(-3.0, 12.0),
    volts=st.floats(0, 10),
    depth=st.floats(0, 10),
    ramp=st.floats(0, 500),
    left=st.floats(0, 1),
    strongest=st.floats(0, 10),
)
def test_the_envelope_lets_everything_pass_that_is_offered(
    contact: float | None, volts: float, depth: float, ramp: float, left: float, strongest: float
) -> None:
    own = means(max_pulse_v=volts, max_depth_nm=depth, max_ramp_nm_per_s=ramp)
    mask = own.mask(situation(contact, area_left=left, strongest_v=strongest))
    for index in np.flatnonzero(mask):
        action = own.action(int(index), contact)
        assert action is not None
        check_action(action, ANYWHERE, own.limits)
        if CHOICES[index].kind is Kind.PENETRATION:
            assert isinstance(action, Indentation)
            assert contact is not None
            counted = contact + CHOICES[index].level
            assert math.isclose(action.depth_m * 1e9, counted, abs_tol=0.0051)


def test_every_choice_is_found_again_from_its_action() -> None:
    own = means()
    for index, choice in enumerate(CHOICES):
        contact = 0.6 if choice.kind is Kind.PENETRATION else None
        action = own.action(index, contact)
        assert action is not None
        if choice.kind is not Kind.RETUNE:
            assert nearest(action, contact) == index


def test_actions_of_others_count_as_the_choice_that_comes_closest() -> None:
    assert CHOICES[nearest(DIP, None)].level == 1.0
    assert CHOICES[nearest(DIP, 0.5)].level == pytest.approx(0.55)
    assert CHOICES[nearest(PULSE, 0.5)].level == -5.0
    assert CHOICES[nearest(Wait(seconds=1.0), None)].kind is Kind.WAIT
    move = CoarseMove(x_steps=1, y_steps=0, retract_steps=30)
    assert CHOICES[nearest(move, None)].kind is Kind.COARSE_MOVE


@pytest.mark.parametrize(
    ("strongest_v", "highest_v"), [(0.0, 3.0), (3.0, 4.0), (4.2, 5.0), (7.0, 8.5), (10.0, 8.5)]
)
def test_pulses_grow_step_by_step(strongest_v: float, highest_v: float):
    mask = means().mask(situation(0.5, strongest_v=strongest_v))
    volts = {CHOICES[index].level for index in np.flatnonzero(mask & (KINDS == Kind.PULSE))}
    assert volts == {sign * one for one in PULSES_V if one <= highest_v for sign in (1, -1)}
