"""One repair from configuration to result: what is asked of the instrument before and after."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from agent.config import Config, PolicySettings, RepairSettings, TelemetrySettings
from agent.guarding import NO_GUARD, Guard
from agent.journal import Journal
from agent.record import Intent, Kind
from agent.result import Progress
from agent.session import CLOSE_TIMEOUT_S, run_repair
from agent.telemetry.following import Silence, follow
from agent.telemetry.glance import Glance
from agent.telemetry.publisher import Publisher
from agent.warming import LINES, _made_up, prepared
from drivers.actions import Indentation, Pulse, TunnellingPoint
from drivers.envelope import Limits
from drivers.errors import ConfigError
from drivers.microscope import Capability
from drivers.registry import Address
from drivers.scan import Frame, Scan
from policies.before import NOTHING
from policies.scorer.assessable import why_not
from tests.agent.scripted import DIP, Always, ScriptedMicroscope, ScriptedScorer
from tests.agent.telling_world import free_address

PULSE = Pulse(at=TunnellingPoint(bias_v=0.5, setpoint_a=5e-11), bias_v=3.0, width_s=0.1)


@pytest.fixture
def microscope(monkeypatch: pytest.MonkeyPatch) -> ScriptedMicroscope:
    """What ``scripted:`` opens."""
    microscope = ScriptedMicroscope([0.1])

    async def opened(address: Address) -> ScriptedMicroscope:
        return microscope

    monkeypatch.setattr(EntryPoint, "load", lambda point: opened)
    points = [EntryPoint("scripted", "nowhere", "tipsmith.microscopes")]
    monkeypatch.setattr("drivers.registry.entry_points", lambda group: points)
    return microscope


@pytest.fixture
def config(settings: RepairSettings, tmp_path: Path) -> Config:
    return Config(repair=settings).overridden(uri="scripted:", directory=tmp_path)


def test_an_instrument_that_does_not_let_go_is_told(
    run_virtual, microscope: ScriptedMicroscope, config: Config, seen: list[Progress]
):
    async def hang() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        microscope.close = hang
        started = asyncio.get_running_loop().time()
        result = await run_repair(config, None, ScriptedScorer(), seen.append)
        assert result.warning.startswith("the instrument did not let go within 35 s")
        assert seen[-1].result == result
        assert asyncio.get_running_loop().time() - started == pytest.approx(CLOSE_TIMEOUT_S)

    run_virtual(main)


async def test_the_policy_knows_the_limits(
    microscope: ScriptedMicroscope, config: Config, seen: list[Progress]
):
    rule = PolicySettings(name="escalation")
    narrow = config.model_copy(update={"limits": {"max_depth_nm": 0.0}, "policy": rule})
    result = await run_repair(narrow, None, ScriptedScorer(), seen.append)
    assert (result.outcome, result.warning) == ("gave_up", None)
    assert microscope.calls == ["scan", "close"]


async def test_the_policy_keeps_within_what_the_instrument_asks_for(
    microscope: ScriptedMicroscope, config: Config, seen: list[Progress]
):
    # Less than the rule begins with: it must know before it asks.
    microscope.limits = Limits().narrowed(max_depth_nm=0.3)
    ruled = config.model_copy(update={"policy": PolicySettings(name="escalation")})
    result = await run_repair(ruled, None, ScriptedScorer(), seen.append)
    assert (result.outcome, result.warning) == ("gave_up", None)
    depths = [call.depth_m for call in microscope.calls if isinstance(call, Indentation)]
    assert depths == pytest.approx([0.3e-9] * len(depths))
    assert depths


async def test_what_is_slow_the_first_time_is_done_before_the_instrument_is_guarded(
    microscope: ScriptedMicroscope, config: Config, monkeypatch: pytest.MonkeyPatch
):
    scorer, policy, order = ScriptedScorer(), Always(DIP), []
    stream, propose = scorer.stream, policy.propose

    def streamed(setting: object) -> object:
        # Judging must not take the cores from whatever else runs beside the instrument.
        assert torch.get_num_threads() == 1
        order.append("stream")
        return stream(setting)

    def proposed(history: object) -> object:
        order.append(f"propose after {scorer.judged}")
        return propose(history)

    @contextlib.asynccontextmanager
    async def guarded(*_: object) -> AsyncGenerator[Guard]:
        assert microscope.calls == []
        order.append("guard")
        yield NO_GUARD

    scorer.stream, policy.propose = streamed, proposed
    monkeypatch.setattr("agent.warming.make_policy", lambda *_, **__: policy)
    monkeypatch.setattr("agent.session.guarded", guarded)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        await run_repair(config, None, scorer, lambda _: None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert order[:4] == ["stream", "propose after 1", "guard", "stream"]


@pytest.mark.parametrize("coarse", [True, False])
async def test_the_policy_knows_whether_the_instrument_has_coarse_motion(
    microscope: ScriptedMicroscope, config: Config, coarse: bool
):
    if not coarse:
        microscope.capabilities -= {Capability.COARSE}
    policy = await prepared(microscope.enveloped(), ScriptedScorer(), config, NOTHING)
    assert policy.policy._means.coarse is coarse


async def test_a_tip_left_in_contact_is_withdrawn_before_anything_that_can_fail(
    microscope: ScriptedMicroscope, config: Config
):
    with Journal.create(Path(config.journal.directory), {"microscope": "scripted:"}, "a") as old:
        old.note(Kind.STARTED, 0.0, {})
        old.intend(Intent(DIP, 1e-9, 2e-9, "because", own=True), 1.0)
    scorer = ScriptedScorer()

    def broken(_setting: object) -> object:
        raise ValueError("broken")

    scorer.stream = broken
    with pytest.raises(ValueError, match="broken"):
        await run_repair(config, None, scorer, lambda _: None)
    assert microscope.calls == ["withdraw", "close"]


@pytest.mark.parametrize(("real", "pulses"), [(True, 1), (False, 2)])
async def test_what_runs_before_have_sent_counts_on_a_real_instrument(
    microscope: ScriptedMicroscope,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    real: bool,
    pulses: int,
):
    if real:
        microscope.true_state = lambda: None
    monkeypatch.setattr("agent.warming.make_policy", lambda *_, **__: Always(PULSE))
    rare = config.model_copy(update={"limits": {"max_pulses_per_hour": 1.0}})
    for _ in range(2):
        result = await run_repair(rare, None, ScriptedScorer(), lambda _: None)
        assert "max_pulses_per_hour" in result.reason
    assert sum(isinstance(call, Pulse) for call in microscope.calls) == pulses
    with Journal.open(Path(result.journal)) as journal:
        assert len(journal.about()["policy"]["before"]["pulses_s"]) == (1 if real else 0)


def test_the_made_up_scan_can_be_judged():
    frame = Frame(x_m=0.0, y_m=0.0, width_m=24e-9, height_m=24e-9)
    wanted = RepairSettings().scan(frame).model_copy(update={"lines": LINES})
    assert why_not(Scan.from_lines(wanted, _made_up(wanted))) is None


def watched(config: Config, address: str) -> Config:
    return config.model_copy(update={"telemetry": TelemetrySettings(publish=address)})


async def test_a_run_is_told_from_before_it_is_guarded_to_what_is_left_at_its_end(
    microscope: ScriptedMicroscope, config: Config, seen: list[Progress]
):
    address, heard, come = free_address(), [], asyncio.Event()
    loop, state, close = asyncio.get_running_loop(), microscope.state, microscope.close

    def watch() -> None:
        for one in follow(address):
            heard.append(one)
            loop.call_soon_threadsafe(come.set)

    async def stated() -> object:
        # It begins only once somebody is there to see it.
        await come.wait()
        return await state()

    async def broken() -> None:
        await close()
        raise RuntimeError("bias was left high")

    microscope.state, microscope.close = stated, broken
    watching = asyncio.create_task(asyncio.to_thread(watch))
    result = await run_repair(watched(config, address), None, ScriptedScorer(), seen.append)
    await watching
    glances = [one for one in heard if isinstance(one, Glance)]
    assert not any(isinstance(one, Silence) for one in heard)
    assert glances[-1].result == result
    assert "bias was left high" in glances[-1].result.warning
    assert glances[-1].run == Path(result.journal).parent.name
    told = [one.event.what for one in glances if one.event is not None]
    assert told == [
        "look" if hasattr(one.event, "frame") else one.event.action.kind
        for one in seen
        if one.event is not None
    ]
    assert [one.note for one in glances if one.note] == [one.note for one in seen if one.note]


async def test_a_taken_address_is_told_before_the_instrument_is_opened(
    microscope: ScriptedMicroscope, config: Config, monkeypatch: pytest.MonkeyPatch
):
    async def opened(*_: object, **__: object) -> None:
        pytest.fail("it is opened")

    monkeypatch.setattr("agent.session.open_microscope", opened)
    address = free_address()
    async with Publisher(address):
        with pytest.raises(ConfigError, match="is taken"):
            await run_repair(watched(config, address), None, ScriptedScorer(), lambda _: None)
    far = watched(config, address).model_copy(
        update={"telemetry": TelemetrySettings.model_construct(publish="tcp://*:6510", keys=None)}
    )
    with pytest.raises(ConfigError, match="needs keys"):
        await run_repair(far, None, ScriptedScorer(), lambda _: None)
    assert microscope.calls == []


async def test_a_publisher_that_fails_does_not_end_a_run(
    microscope: ScriptedMicroscope,
    config: Config,
    seen: list[Progress],
    monkeypatch: pytest.MonkeyPatch,
):
    def failing(*_: object) -> bytes:
        raise ValueError("cannot be told")

    monkeypatch.setattr("agent.telemetry.publisher.encode", failing)
    told = watched(config, free_address())
    result = await run_repair(told, None, ScriptedScorer(), seen.append)
    assert (result.outcome, result.warning) == ("gave_up", None)
    assert seen[-1].result == result
    with Journal.open(Path(result.journal)) as journal:
        noticed = [entry.payload for entry in journal.records() if entry.kind is Kind.NOTICED]
    assert [entry["watch"] for entry in noticed] == ["display"]
    assert "cannot be told" in noticed[0]["complaint"]
