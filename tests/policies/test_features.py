"""The history as features: bounded, complete, and telling what they are named after."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import CoarseMove, RetuneFeedback, Wait
from policies.conditioner import features
from policies.conditioner.features import LAYOUT, Memory, layout_hash
from policies.history import Acted, Event
from policies.report import ImageState
from tests.policies.rehearsed import DIP, PULSE, USUAL, acted, looked, means, report


def told(*events: Event) -> dict[str, float]:
    observation = Memory.of(events, means()).observation()
    return dict(zip(LAYOUT, observation.tolist(), strict=True))


def test_names_are_unique_and_the_hash_follows_the_layout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(set(LAYOUT)) == len(LAYOUT)
    before = layout_hash()
    monkeypatch.setattr(features, "LAYOUT", LAYOUT[::-1])
    assert layout_hash() != before


EVENTS = st.one_of(
    st.floats(0, 1).map(lambda quality: looked(report(quality, double=quality))),
    st.tuples(
        st.sampled_from([DIP, PULSE, Wait(seconds=5.0), USUAL]),
        st.none() | st.floats(-5e-9, 5e-9),
    ).map(lambda drawn: acted(*drawn)),
    st.just(acted(CoarseMove(x_steps=5, y_steps=0, retract_steps=30))),
)


@given(st.lists(EVENTS, max_size=40))
def test_every_history_gives_bounded_numbers(events: list[Event]) -> None:
    times = accumulate([100.0] * len(events))
    timed = [
        acted(event.action, event.outcome.z_jump_m, time_s)
        if isinstance(event, Acted)
        else looked(event.report, time_s)
        for event, time_s in zip(events, times, strict=True)
    ]
    observation = Memory.of(timed, means()).observation()
    assert observation.shape == (len(LAYOUT),)
    assert observation.dtype == np.float32
    assert np.isfinite(observation).all()
    assert np.abs(observation).max() <= 1
    assert np.array_equal(observation, Memory.of(timed, means()).observation())


def test_the_last_action_is_told_with_what_came_of_it() -> None:
    seen = told(
        looked(report(0.1)),
        acted(PULSE, 0.6e-9, 10.0),
        looked(report(0.9, blunt=0.7), 20.0),
    )
    assert seen["act 0 is_pulse"] == 1
    assert seen["act 0 volts"] == pytest.approx(-0.5)
    assert seen["act 0 jump"] == pytest.approx(np.tanh(2), rel=1e-5)
    assert seen["act 0 quality_after"] == pytest.approx(seen["now quality"])
    assert seen["act 0 blunt"] == pytest.approx(0.7)
    assert seen["act 1 is_pulse"] == 0
    assert seen["now quality"] > 0


def test_what_a_choice_did_so_far_is_kept_for_the_whole_repair() -> None:
    events: list[Event] = [looked(report(0.1))]
    for turn in range(20):
        quality = 0.8 if turn == 3 else 0.2
        events += [acted(PULSE, 0.1e-9), looked(report(quality))]
    seen = told(*events)
    assert seen["pulse -5 0.2s count"] > 0.7
    assert seen["pulse -5 0.2s quality_best"] > 0 > seen["pulse -5 0.2s quality_mean"]
    assert seen["pulse +5 0.2s count"] == 0


def test_without_a_trace_the_first_contact_stands_and_depths_count_from_there() -> None:
    deeper = DIP.model_copy(update={"depth_m": 1.4e-9, "lift_m": 4.2e-9})
    events: list[Event] = [looked(), acted(DIP, -0.2e-9), looked(), acted(deeper, 0.3e-9), looked()]
    memory = Memory.of(events, means())
    assert memory.situation.contact_nm == pytest.approx(1.0)
    seen = told(*events)
    assert seen["penetration +0.4 0.1s count"] > 0
    assert seen["depth +1 0.1s count"] > 0
    assert seen["whole traces"] == 0
    assert seen["whole contact_known"] == 1


def test_trouble_of_the_image_is_told_from_that_of_the_tip() -> None:
    noisy = looked(report(noisy=0.95))
    assert Memory.of([noisy], means()).situation.trouble is ImageState.NOISY
    both = looked(report(noisy=0.9, unstable=0.95))
    assert Memory.of([both], means()).situation.trouble is None
    waits = [noisy, acted(Wait(seconds=60.0)), noisy, acted(Wait(seconds=60.0)), noisy]
    assert Memory.of(waits, means()).situation.remedies == 2
    tuned = [*waits, acted(RetuneFeedback(p_gain_m=1e-11, time_constant_s=4e-4)), looked()]
    assert Memory.of(tuned, means()).situation.remedies == 3
    assert Memory.of([*tuned, acted(DIP)], means()).situation.remedies == 0


def test_a_coarse_move_brings_a_fresh_field() -> None:
    events: list[Event] = [looked() for _ in range(500)]
    assert Memory.of(events, means()).situation.area_left < 0.51
    events += [acted(CoarseMove(x_steps=5, y_steps=0, retract_steps=30)), looked()]
    assert Memory.of(events, means()).situation.area_left > 0.99


def test_the_strongest_pulse_of_the_repair_is_remembered() -> None:
    weaker = PULSE.model_copy(update={"bias_v": 3.0})
    stronger = PULSE.model_copy(update={"bias_v": -6.0})
    events = [looked(report(0.1)), acted(stronger), acted(weaker)]
    assert Memory.of(events, means()).situation.strongest_v == 6.0
    assert Memory.of(events[:1], means()).situation.strongest_v == 0.0
