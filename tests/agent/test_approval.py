"""Approvals: whatever is not exactly as it was asked and answered, in time and once, is denied."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from agent.approval import Answer, Approvals, Request, Verdict, digest, random_id
from drivers.actions import Action, CoarseMove, Indentation, Pulse
from tests.agent.scripted import AT, DIP

TIMEOUT_S = 60.0
SPOT = (1e-9, 2e-9)

volts = st.floats(-10, 10).filter(bool)
lengths = st.floats(1e-11, 1e-8)
ACTIONS: st.SearchStrategy[Action] = st.one_of(
    st.builds(Pulse, at=st.just(AT), bias_v=volts, width_s=st.floats(0.01, 1)),
    st.builds(Indentation, at=st.just(AT), depth_m=lengths, lift_m=lengths),
    st.builds(CoarseMove, x_steps=st.integers(), y_steps=st.integers(), retract_steps=st.just(50)),
)
WRONG = st.sampled_from(("", "0" * 64, "id", "another"))
SPOTS = st.tuples(st.floats(-1e-6, 1e-6), st.floats(-1e-6, 1e-6))


def numbered() -> Approvals:
    ids = count()
    return Approvals(TIMEOUT_S, lambda: f"request {next(ids)}")


def said(request: Request, *, allowed: bool = True) -> Answer:
    return Answer(request.id, request.digest, allowed, "the operator")


def test_what_was_allowed_may_be_done_once():
    approvals = numbered()
    request = approvals.ask(DIP, *SPOT, "blunt", 0.0)
    assert approvals.answer(said(request), 1.0) is Verdict.ALLOWED
    assert approvals.spend(request.id, DIP, *SPOT, 2.0) is Verdict.ALLOWED
    assert approvals.spend(request.id, DIP, *SPOT, 2.0) is Verdict.UNKNOWN


def test_without_an_answer_nothing_is_allowed():
    approvals = numbered()
    request = approvals.ask(DIP, *SPOT, "blunt", 0.0)
    assert approvals.spend(request.id, DIP, *SPOT, 1.0) is Verdict.UNANSWERED


def test_no_is_no_and_the_first_answer_stands():
    for allowed in (False, True):
        approvals = numbered()
        request = approvals.ask(DIP, *SPOT, "blunt", 0.0)
        approvals.answer(said(request, allowed=allowed), 1.0)
        assert approvals.answer(said(request, allowed=not allowed), 2.0) is Verdict.UNKNOWN
        expected = Verdict.ALLOWED if allowed else Verdict.DENIED
        assert approvals.spend(request.id, DIP, *SPOT, 3.0) is expected


def test_time_ends_answers_and_approvals():
    approvals = numbered()
    request = approvals.ask(DIP, *SPOT, "blunt", 5.0)
    assert request.expires_s == 5.0 + TIMEOUT_S
    assert approvals.answer(said(request), request.expires_s) is Verdict.EXPIRED
    assert approvals.answer(said(request), request.expires_s - 0.1) is Verdict.ALLOWED
    assert approvals.spend(request.id, DIP, *SPOT, request.expires_s) is Verdict.EXPIRED


def test_an_answer_to_something_else_that_was_shown_does_not_count():
    approvals = numbered()
    request = approvals.ask(DIP, *SPOT, "blunt", 0.0)
    shown = digest(DIP.model_copy(update={"depth_m": 0.5e-9}), *SPOT)
    assert approvals.answer(replace(said(request), digest=shown), 1.0) is Verdict.ALTERED
    assert approvals.spend(request.id, DIP, *SPOT, 1.0) is Verdict.UNANSWERED


def test_a_misuse_uses_an_approval_up():
    approvals = numbered()
    request = approvals.ask(DIP, *SPOT, "blunt", 0.0)
    approvals.answer(said(request), 1.0)
    assert approvals.spend(request.id, DIP, SPOT[0], 3e-9, 2.0) is Verdict.ALTERED
    assert approvals.spend(request.id, DIP, *SPOT, 2.0) is Verdict.UNKNOWN


@given(ACTIONS, SPOTS, ACTIONS, SPOTS)
def test_the_digest_tells_apart_what_differs(
    one: Action, here: tuple[float, float], other: Action, there: tuple[float, float]
):
    # Only 0 and -0, which are equal, have digests of their own.
    if (one, here) != (other, there):
        assert digest(one, *here) != digest(other, *there)
    again = type(one).model_validate_json(one.model_dump_json())
    assert digest(again, *here) == digest(one, *here)


@pytest.mark.parametrize("name", sorted(set(Indentation.model_fields) - {"kind", "at"}))
def test_every_field_is_in_the_digest(name: str):
    value = getattr(DIP, name)
    changed = DIP.model_copy(update={name: not value if isinstance(value, bool) else 2 * value})
    assert digest(changed, *SPOT) != digest(DIP, *SPOT)


def test_ids_cannot_be_guessed():
    ids = {random_id() for _ in range(100)}
    assert len(ids) == 100
    assert {len(one) for one in ids} == {32}


class ApprovalMachine(RuleBasedStateMachine):
    """Beside the machine, what a single use may rest on: all that did happen to each request."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self._ids = count()
        self._now = 0.0
        self._good: set[str] = set()
        self._answered: set[str] = set()
        self._latest = ""

    @initialize()
    def start(self) -> None:
        self._restart()

    @rule()
    def restart(self) -> None:
        self._restart()

    @rule(seconds=st.sampled_from((0.1, TIMEOUT_S / 2, TIMEOUT_S)))
    def wait(self, seconds: float) -> None:
        self._now += seconds

    @rule(target=requests, action=ACTIONS, spot=SPOTS)
    def ask(self, action: Action, spot: tuple[float, float]) -> Request:
        request = self._approvals.ask(action, *spot, "because", self._now)
        self._latest = request.id
        self._good.clear()
        return request

    @rule(request=requests, allowed=st.booleans())
    def answer(self, request: Request, allowed: bool) -> None:
        verdict = self._approvals.answer(said(request, allowed=allowed), self._now)
        open_ = request.id == self._latest and self._now < request.expires_s
        counts = open_ and request.id not in self._answered
        assert (verdict in (Verdict.ALLOWED, Verdict.DENIED)) == counts
        if counts:
            self._answered.add(request.id)
            if allowed:
                self._good.add(request.id)

    @rule(request=requests, wrong=WRONG)
    def answer_for_another(self, request: Request, wrong: str) -> None:
        for answer in (
            replace(said(request), digest=wrong),
            replace(said(request), id=wrong),
        ):
            assert self._approvals.answer(answer, self._now) not in (
                Verdict.ALLOWED,
                Verdict.DENIED,
            )

    @rule(request=requests)
    def spend(self, request: Request) -> None:
        allowed = request.id in self._good and self._now < request.expires_s
        self._spent(self._use(request, request.action, (request.x_m, request.y_m)), allowed=allowed)

    @rule(request=requests, action=ACTIONS, spot=SPOTS)
    def spend_on_another(self, request: Request, action: Action, spot: tuple[float, float]) -> None:
        if digest(action, *spot) != request.digest:
            self._spent(self._use(request, action, spot), allowed=False)

    @rule(request=requests, wrong=WRONG)
    def spend_another(self, request: Request, wrong: str) -> None:
        spot = request.x_m, request.y_m
        self._spent(self._approvals.spend(wrong, request.action, *spot, self._now), allowed=False)

    def _use(self, request: Request, action: Action, spot: tuple[float, float]) -> Verdict:
        return self._approvals.spend(request.id, action, *spot, self._now)

    def _spent(self, verdict: Verdict, *, allowed: bool) -> None:
        assert (verdict is Verdict.ALLOWED) == allowed
        self._latest = ""
        self._good.clear()

    def _restart(self) -> None:
        """Ids are as random as they are in production: those of an earlier run never come back."""
        self._approvals = Approvals(TIMEOUT_S, lambda: f"id {next(self._ids)}")
        self._latest = ""
        self._good.clear()


TestApprovals = ApprovalMachine.TestCase
TestApprovals.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
