"""What may be done at all: the way back to the surface fits the limits, or nobody goes away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.actions import Approach, CoarseMove
from drivers.envelope import Limits, check_action
from drivers.errors import Refused
from policies.legal import ANYWHERE, STEPS_BACK, approach, way_back
from tests.policies.rehearsed import AT


def away(steps: int) -> CoarseMove:
    return CoarseMove(x_steps=5, y_steps=0, retract_steps=steps)


@given(steps=st.integers(1, 5000), seconds=st.floats(1.0, 3600.0))
def test_an_approach_is_the_usual_one_as_far_as_the_limits_go(steps: int, seconds: float) -> None:
    limits = Limits().narrowed(max_approach_steps=steps, max_approach_s=seconds)
    made, usual = approach(AT, limits), Approach(at=AT)
    check_action(made, ANYWHERE, limits)
    assert made.max_steps == min(usual.max_steps, steps)
    assert made.timeout_s == min(usual.timeout_s, seconds)
    assert made.settle_timeout_s == min(usual.settle_timeout_s, seconds)
    assert (made.at, made.max_drift_m_per_s) == (AT, usual.max_drift_m_per_s)


def test_nobody_goes_farther_than_the_approach_comes_back() -> None:
    limits = Limits().narrowed(max_approach_steps=100)
    assert way_back(away(100 // STEPS_BACK), AT, limits) == approach(AT, limits)
    with pytest.raises(Refused, match="51 steps away") as caught:
        way_back(away(51), AT, limits)
    assert caught.value.limit == "max_approach_steps"
    # Without narrower limits the usual approach is what bounds the way.
    assert way_back(away(250), AT, Limits()) == Approach(at=AT)
    with pytest.raises(Refused):
        way_back(away(251), AT, Limits())


@pytest.mark.parametrize("narrow", [{"max_approach_steps": 0}, {"max_approach_s": 0}])
def test_where_no_approach_is_left_nobody_goes_away(narrow: dict[str, float]) -> None:
    with pytest.raises(Refused):
        way_back(away(20), AT, Limits().narrowed(**narrow))
