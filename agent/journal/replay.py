"""Deciding a run again from what its journal says was seen: the same, or the first difference.

Words do not count: a reason that is put differently is no other decision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agent.config import RepairSettings
from agent.journal.history import Unfolding
from agent.journal.journal import Journal
from agent.policy import make_policy, weights_hash
from agent.record import Kind, Payload, Record
from drivers.complaints import complaint
from drivers.envelope import Limits
from drivers.errors import FileError
from policies.before import NOTHING, Before
from policies.episode import Act, Look, Step, next_step
from policies.proposal import Policy

Decision = Mapping[str, Any]

BEFORE: TypeAdapter[Before] = TypeAdapter(Before)


@dataclass(frozen=True, slots=True)
class Difference:
    """The first decision that came out differently.

    Attributes:
        sequence: the entry that holds it.
        journaled: what was decided then.
        replayed: what is decided now.
    """

    sequence: int
    journaled: Decision
    replayed: Decision


@dataclass(frozen=True, slots=True)
class Replay:
    """How a replay came out.

    Attributes:
        decisions: how many were the same.
        difference: the first that was not, or None.
    """

    decisions: int
    difference: Difference | None

    def to_json(self) -> str:
        """The replay as one JSON object on one line."""
        return json.dumps({"same": self.difference is None, **asdict(self)})


def replay(journal: Journal) -> Replay:
    """Decide the run again, step by step, each from what was journaled before it.

    Raises:
        FileError: the journal does not hold what the decisions rested on, or names a policy that
            this version does not have.
    """
    unfolding, decisions = Unfolding(), 0
    decider: _Decider | None = None
    for record in journal.records():
        decided = _decision(record)
        if decided is not None:
            if decider is None:
                raise _unfit(journal, "a decision comes before what it rests on")
            again = _as_decision(decider.decide(unfolding))
            if again != decided:
                return Replay(decisions, Difference(record.sequence, decided, again))
            decisions += 1
        if record.kind is Kind.STARTED:
            decider = _Decider.of(journal, record.payload)
        unfolding.take(record)
    return Replay(decisions, None)


@dataclass(frozen=True, slots=True)
class _Decider:
    """All that decisions rest on besides the history."""

    settings: RepairSettings
    policy: Policy
    range_m: tuple[float, float]
    before: Before

    @classmethod
    def of(cls, journal: Journal, started: Payload) -> _Decider:
        about = journal.about()
        if "policy" not in about:
            raise _unfit(journal, "it does not say which policy decided")
        try:
            settings = RepairSettings.model_validate(started["settings"])
            limits = Limits.model_validate(about["policy"]["limits"])
        except ValidationError as error:
            raise _unfit(
                journal, f"its settings are not those of this version ({complaint(error)})"
            ) from None
        name, range_m = about["policy"]["name"], tuple(started["range_m"])
        before = BEFORE.validate_python(about["policy"].get("before", NOTHING))
        # Older journals do not say: there every policy could choose coarse motion.
        coarse = started.get("coarse", True)
        try:
            policy = make_policy(name, settings, limits, range_m, before, coarse=coarse)
        except FileError as error:
            raise _unfit(journal, str(error)) from None
        # Older journals do not say; a rule has none.
        if about["policy"].get("weights") != weights_hash(name):
            raise _unfit(journal, f"this version's {name!r} policy has learned something else")
        return cls(settings, policy, range_m, before)

    def decide(self, unfolding: Unfolding) -> Step:
        return next_step(
            unfolding.events, self.settings, self.policy, self.range_m, before=self.before
        )


def _unfit(journal: Journal, why: str) -> FileError:
    return FileError(f"the run in {journal.path} cannot be replayed: {why}")


def _decision(record: Record) -> Decision | None:
    """What was decided, if the entry tells of a decision."""
    payload = record.payload
    match record.kind:
        case Kind.LOOK_STARTED:
            return _look(payload["frame"], payload["whole"])
        case Kind.INTENT if payload["own"]:
            return _act(payload["action"], payload["x_m"], payload["y_m"])
        case Kind.DECLARED:
            return _declare(payload["outcome"], payload["confirmed_on"])
    return None


def _as_decision(step: Step) -> Decision:
    """``step`` as the journal would hold it."""
    if isinstance(step, Look):
        return _look(step.frame.model_dump(), step.whole)
    if isinstance(step, Act):
        return _act(step.action.model_dump(mode="json"), step.site.x_m, step.site.y_m)
    return _declare(step.outcome, step.confirmed_on)


def _look(frame: Payload, whole: bool) -> Decision:
    return {"step": "look", "frame": frame, "whole": whole}


def _act(action: Payload, x_m: float, y_m: float) -> Decision:
    return {"step": "act", "action": action, "x_m": x_m, "y_m": y_m}


def _declare(outcome: str, confirmed_on: int) -> Decision:
    return {"step": "declare", "outcome": outcome, "confirmed_on": confirmed_on}
