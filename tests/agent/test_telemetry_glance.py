"""What viewers are sent: it comes back as it was, and nothing else is believed."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.approval import Approvals
from agent.phases import Phase
from agent.result import Progress, RepairResult
from agent.telemetry.glance import Glance, Mention, decode, encode
from agent.telemetry.telling import glance_of
from drivers.outcome import Outcome
from drivers.sample_map import Site
from drivers.scan import Frame
from policies.episode import Act, Declare, Look
from policies.history import Acted, Looked
from policies.report import TipReport
from tests.agent.scripted import DIP
from tests.agent.telling_world import ENDED, LOOKING

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
CHANCES = st.floats(0, 1)
COUNTS = st.integers(0, 2**70)
PRINTABLE = st.text().filter(str.isprintable)
MENTIONS = st.builds(Mention, PRINTABLE, st.none() | st.tuples(NUMBERS, NUMBERS), PRINTABLE)
RESULTS = st.builds(
    RepairResult,
    outcome=st.sampled_from(["good", "gave_up", "paused", "stopped"]),
    reason=PRINTABLE,
    confirmed_on=COUNTS,
    actions=COUNTS,
    instrument_s=NUMBERS,
    wall_s=NUMBERS,
    overhead_s=NUMBERS,
    journal=PRINTABLE,
    true_state=st.none() | st.dictionaries(PRINTABLE, NUMBERS | st.booleans() | PRINTABLE),
    exit_code=COUNTS,
    warning=st.none() | PRINTABLE,
)
GLANCES = st.builds(
    Glance,
    phase=st.sampled_from(Phase),
    run=PRINTABLE,
    instrument_s=NUMBERS,
    actions=COUNTS,
    lines=COUNTS,
    quality=st.none() | CHANCES,
    states=st.dictionaries(PRINTABLE, CHANCES),
    step=st.none() | MENTIONS,
    event=st.none() | MENTIONS,
    note=st.none() | PRINTABLE,
    asking=st.booleans(),
    result=st.none() | RESULTS,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
REPORT = TipReport.of_outputs([0.5, *[0.1] * 4, 0.25, *[0.0] * 3], 40)
FRAME = Frame(x_m=12e-9, y_m=-8e-9, width_m=24e-9, height_m=24e-9)


@given(GLANCES)
def test_a_glance_comes_back_as_it_was(glance: Glance):
    message = encode(glance)
    assert decode(message) == glance
    assert b"\n" not in message
    assert set(json.loads(message)) == {"schema", *(field.name for field in fields(Glance))}


@given(st.binary())
def test_bytes_are_no_glance(message: bytes):
    with pytest.raises(ValueError, match="no glance at a run that this version can read"):
        decode(message)


@given(glance=GLANCES, name=st.sampled_from([one.name for one in fields(Glance)]), value=JSON)
def test_a_field_of_anything_is_read_or_refused(glance: Glance, name: str, value: object):
    message = json.dumps({**json.loads(encode(glance)), name: value}).encode()
    try:
        read = decode(message)
    except ValueError:
        return
    decode(encode(read))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schema": 2}, "schema '2', expected 1"),
        ({"phase": "dancing"}, "dancing"),
        ({"actions": True}, "count"),
        ({"lines": -1}, "count"),
        ({"instrument_s": 10**400}, "too large"),
        ({"instrument_s": float("inf")}, "finite"),
        ({"quality": 1.5}, "probability"),
        ({"quality": "good"}, "finite"),
        ({"states": []}, "object"),
        ({"asking": 1}, "yes or no"),
        ({"note": 3}, "text"),
        ({"step": {"what": "look", "at_m": None}}, "'words' is missing"),
        ({"event": {"what": "look", "at_m": [1.0], "words": ""}}, "unpack"),
        ({"event": {"what": "look", "at_m": 1.0, "words": ""}}, "place"),
        ({"result": {**json.loads(encode(ENDED))["result"], "outcome": "lost"}}, "outcome"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, object], why: str):
    message = json.dumps({**json.loads(encode(LOOKING)), **change}).encode()
    with pytest.raises(ValueError, match=why):
        decode(message)


@pytest.mark.parametrize("message", [b"[" * 100_000, b'{"schema": NaN}', b"1" * 5000, b"null"])
def test_what_parsers_stumble_over_is_refused(message: bytes):
    with pytest.raises(ValueError, match="no glance"):
        decode(message)


def test_numbers_that_json_lacks_are_not_sent():
    with pytest.raises(ValueError, match="JSON"):
        encode(replace(LOOKING, quality=float("nan")))


@given(st.text())
def test_no_text_commands_a_terminal(text: str):
    read = decode(encode(replace(LOOKING, note=text, run=text)))
    assert read.note is not None
    assert read.note.isprintable()
    assert len(read.note) == len(text)
    assert read.run.isprintable()


def test_progress_in_words():
    asking = Approvals(9.0).ask(DIP, 1e-9, 2e-9, "because", 0.0)
    look = Look(FRAME, "see what it is like", whole=False)
    glance = glance_of(
        Progress(Phase.LOOKING, 83.0, 2, look, 40, REPORT, note="so", request=asking), "a"
    )
    assert glance.step == Mention("look", (12e-9, -8e-9), "see what it is like")
    assert (glance.run, glance.quality, glance.note, glance.asking) == ("a", 0.5, "so", True)
    assert glance.states["changed"] == 0.25
    assert set(glance.states) >= {"blunt", "noisy"}
    assert decode(encode(glance)) == glance


@pytest.mark.parametrize(
    ("progress", "step", "event"),
    [
        (
            Progress(Phase.ACTING, step=Act(DIP, Site(5e-9, 6e-9, 1e-8), "blunt")),
            Mention("indentation", (5e-9, 6e-9), "blunt"),
            None,
        ),
        (
            Progress(Phase.DECIDING, step=Declare("good", 5, "it is")),
            Mention("declare", None, "it is"),
            None,
        ),
        (
            Progress(Phase.DECIDING, event=Looked(FRAME, REPORT, None, 1.0)),
            None,
            Mention("look", (12e-9, -8e-9), "quality 0.50  changed 25%"),
        ),
        (
            Progress(
                Phase.DECIDING, event=Acted(DIP, 1e-9, 2e-9, Outcome(0.0, 1.0, z_jump_m=3e-12))
            ),
            None,
            Mention("indentation", (1e-9, 2e-9), "z jump +3 pm"),
        ),
    ],
)
def test_steps_and_events_in_words(progress: Progress, step: Mention | None, event: Mention | None):
    glance = glance_of(progress)
    assert (glance.step, glance.event) == (step, event)
