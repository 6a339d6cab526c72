"""Repairs on the simulated controller over its protocol, with people and faults in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.config import RepairSettings
from agent.guarding import NO_GUARD
from agent.journal import Journal
from agent.record import Kind
from agent.repair import repair
from agent.result import Progress, RepairResult
from drivers.actions import Action, CoarseMove
from drivers.envelope import Limits
from drivers.enveloped import EnvelopedMicroscope
from drivers.microscope import Feedback
from drivers.nanonis import codes
from drivers.nanonis.codec import HEADER_SIZE, decode_reply
from drivers.nanonis.commands import RELEASES
from drivers.nanonis.microscope import open_nanonis
from drivers.registry import Address
from policies.history import Acted
from sim.presets.preset import load_preset
from sim.servers.nanonis.controller import Controller
from sim.servers.nanonis.extra import layout_of
from sim.servers.nanonis.handlers import Refusal
from sim.servers.nanonis.modules.tip_shaper import TipShaper
from sim.servers.nanonis.server import Server
from sim.world import World
from tests.agent.scripted import DIP, Always, ScriptedScorer, scribe

HOST, PORT, RELEASE = "127.0.0.1", 6501, RELEASES[-1]
#: Whatever a repair may touch.
GROUPS = (
    *(
        "Bias.",
        "ZCtrl.Setpnt",
        "ZCtrl.OnOff",
        "ZCtrl.TipLift",
        "ZCtrl.SwitchOffDelay",
        "ZCtrl.Gain",
    ),
    *("Scan.Frame", "Scan.Speed", "Scan.Buffer", "Scan.Props", "FolMe.Speed", "TipShaper.Props"),
    *("SafeTip.OnOff", "SafeTip.Props"),
)
SETTINGS = RepairSettings(pixels=16, lines=24, max_actions=2, stop_early=False)
#: What somebody does to the instrument, told of the progress of the run.
Meddle = Callable[[Progress], None]


class Rig:
    """A simulated controller, its world, and what the operator's own client would ask of it."""

    def __init__(self, folder: Path) -> None:
        self.world = World(load_preset("au111"), 1)
        self.controller = Controller(self.world, folder, release=RELEASE)
        self.mute: set[str] = set()

    async def answer(self, name: str, body: bytes) -> bytes:
        if name in self.mute:
            await asyncio.Event().wait()
        return await self.controller.dispatcher.answer(name, body)

    async def call(self, name: str, **values: object) -> dict[str, Any]:
        layout = layout_of(name, RELEASE)
        reply = await self.controller.dispatcher.answer(name, layout.request.encode(values))
        return decode_reply(layout, reply[HEADER_SIZE:])

    async def settings(self) -> dict[str, dict[str, Any]]:
        return {group: await self.call(f"{group}Get") for group in GROUPS}

    @asynccontextmanager
    async def served(self) -> AsyncGenerator[None]:
        async with Server(self.answer, self.controller.logger.stream, HOST, PORT):
            yield
            await self.controller.close()


async def repaired(
    rig: Rig, folder: Path, action: Action = DIP, meddle: Meddle = lambda _: None
) -> tuple[RepairResult, Path]:
    """One repair, from opening the instrument to closing it."""
    address = Address.parse(f"nanonis://{HOST}:{PORT}?z_retract=Z%2B")
    microscope = EnvelopedMicroscope(await open_nanonis(address), Limits())
    try:
        with Journal.create(folder, {}, "night") as journal:
            arguments = (
                ScriptedScorer(),
                Always(action),
                SETTINGS,
                scribe(journal),
                meddle,
                NO_GUARD,
            )
            return await repair(microscope, *arguments), journal.path
    finally:
        await microscope.close()


def alike(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The same settings, but for what float32 rounds."""

    def rounded(value: object) -> object:
        return pytest.approx(value, rel=1e-5) if isinstance(value, float) else value

    return {
        group: {name: rounded(value) for name, value in values.items()}
        for group, values in found.items()
    }


def once_acted(meddle: Callable[[], object]) -> Meddle:
    """Do it when the first action is over."""
    done: list[object] = []

    def heed(progress: Progress) -> None:
        if isinstance(progress.event, Acted) and not done:
            done.append(meddle())

    return heed


@pytest.fixture
def on_rig(run_virtual, tmp_path: Path) -> Callable[..., object]:
    """Run ``test(rig, folder)`` in virtual time while the controller is served."""

    def run(test: Callable[..., object]) -> object:
        async def main() -> object:
            rig = Rig(tmp_path)
            async with rig.served():
                return await test(rig, tmp_path)

        return run_virtual(main)

    return run


def test_a_run_that_ends_well_leaves_the_controller_as_it_found_it(on_rig):
    async def test(rig: Rig, folder: Path) -> None:
        on = codes.SetSwitch.ON
        await rig.call("Bias.Set", bias_v=0.8)
        await rig.call("ZCtrl.SetpntSet", setpoint_a=80e-12)
        await rig.call("ZCtrl.TipLiftSet", lift_m=-0.5e-9)
        await rig.call("SafeTip.OnOffSet", status=on)
        found = await rig.settings()
        result, journal = await repaired(rig, folder)
        assert (result.outcome, result.actions) == ("gave_up", 2)
        assert await rig.settings() == alike(found)
        # SafeTip was out of the way for the two dips alone, and it is on record.
        with Journal.open(journal) as reader:
            answers = [one.payload for one in reader.records() if one.kind is Kind.OUTCOME]
        notes = [note for answer in answers for note in answer.get("notes", ())]
        assert len(notes) == 2
        assert all(note.endswith("s and is on again") for note in notes)

    on_rig(test)


def test_what_the_operator_sets_meanwhile_is_not_overwritten(on_rig):
    async def test(rig: Rig, folder: Path) -> None:
        found = await rig.settings()
        meddle = once_acted(lambda: rig.world.set_bias(0.9))
        result, _ = await repaired(rig, folder, meddle=meddle)
        assert (result.outcome, result.actions) == ("paused", 1)
        assert "the bias is 0.9 V and was left at 0.5 V" in result.reason
        left = await rig.settings()
        assert left.pop("Bias.") == {"bias_v": pytest.approx(0.9)}
        # The setpoint belongs to the bias; the rest is as it was.
        for group, settings in left.items():
            assert settings == alike(found)[group] or group == "ZCtrl.Setpnt"
        assert rig.world.feedback is Feedback.ON

    on_rig(test)


def test_a_frame_that_the_operator_drags_is_not_overwritten(on_rig):
    async def test(rig: Rig, folder: Path) -> None:
        frame = {"x_m": 1e-8, "y_m": 0.0, "width_m": 5e-8, "height_m": 5e-8, "angle_deg": 30.0}
        dragging: list[asyncio.Task[object]] = []

        def drag() -> None:
            dragging.append(asyncio.ensure_future(rig.call("Scan.FrameSet", **frame)))

        result, journal = await repaired(rig, folder, meddle=once_acted(drag))
        assert (result.outcome, result.actions) == ("paused", 1)
        assert "Scan.Frame angle_deg from 0 to 30" in result.reason
        assert (await rig.call("Scan.FrameGet"))["width_m"] == pytest.approx(5e-8)
        with Journal.open(journal) as reader:
            assert reader.pending() is None

    on_rig(test)


def test_a_window_that_is_closed_ends_the_run_with_the_tip_withdrawn(on_rig, monkeypatch):
    closed: list[bool] = []

    def need_window(shaper: TipShaper) -> None:
        if closed:
            raise Refusal("Cannot access the Tip Shaper module.")

    monkeypatch.setattr(TipShaper, "_need_window", need_window)

    async def test(rig: Rig, folder: Path) -> None:
        meddle = once_acted(lambda: closed.append(True))
        result, journal = await repaired(rig, folder, meddle=meddle)
        assert (result.outcome, result.exit_code, result.actions) == ("stopped", 3, 1)
        assert "Cannot access the Tip Shaper module" in result.reason
        assert rig.world.feedback is Feedback.WITHDRAWN
        with Journal.open(journal) as reader:
            assert reader.records()[-1].payload["withdrawn"]

    on_rig(test)


def test_an_approach_that_fails_ends_the_run_with_the_tip_withdrawn(on_rig, monkeypatch):
    async def test(rig: Rig, folder: Path) -> None:
        def never() -> bool:
            rig.world.advance(0.1)
            return False

        monkeypatch.setattr(rig.world, "approach_step", never)
        away = CoarseMove(x_steps=5, y_steps=0, retract_steps=20)
        result, _ = await repaired(rig, folder, away)
        assert (result.outcome, result.exit_code) == ("stopped", 3)
        assert result.reason.startswith("no tunnelling contact within ")
        assert rig.world.feedback is Feedback.WITHDRAWN

    on_rig(test)


def test_a_tip_that_is_withdrawn_behind_the_agents_back_ends_the_run(on_rig):
    async def test(rig: Rig, folder: Path) -> None:
        result, _ = await repaired(rig, folder, meddle=once_acted(rig.world.withdraw))
        assert (result.outcome, result.exit_code, result.actions) == ("stopped", 3, 1)
        assert "the tip was in contact and is withdrawn" in result.reason

    on_rig(test)


def test_a_controller_that_falls_silent_ends_the_run_with_the_tip_withdrawn(on_rig):
    async def test(rig: Rig, folder: Path) -> None:
        fall_silent = once_acted(lambda: rig.mute.add("Scan.StatusGet"))

        def meddle(progress: Progress) -> None:
            fall_silent(progress)
            if progress.result is not None:
                rig.mute.clear()

        result, _ = await repaired(rig, folder, meddle=meddle)
        assert (result.outcome, result.exit_code, result.actions) == ("stopped", 3, 1)
        assert "did not answer Scan.StatusGet in time (5 s)" in result.reason
        assert rig.world.feedback is Feedback.WITHDRAWN

    on_rig(test)
