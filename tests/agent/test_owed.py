"""What a run changed and did not put back: journaled first, taken up by the next run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from agent.config import Config, PolicySettings, RepairSettings
from agent.guarding import NO_GUARD, Guard
from agent.journal import Journal
from agent.journal.past import Standing, latest_owed, read_past, runs
from agent.record import Kind
from agent.result import Progress, RepairResult
from agent.session import run_repair
from drivers.errors import FileError, InstrumentError
from drivers.nanonis import codes
from tests.agent.scripted import ScriptedScorer
from tests.agent.test_on_the_wire import HOST, PORT, SETTINGS, Rig, alike

URI = f"nanonis://{HOST}:{PORT}?z_retract=Z%2B"
TOUCHES = frozenset({"TipShaper.Start", "Bias.Pulse"})


class Deadly(Rig):
    """Hears nothing more from a program after its first action on the sample has begun."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.dead = False
        self.deadly = True
        self.heard: list[str] = []

    async def answer(self, name: str, body: bytes) -> bytes:
        if self.dead:
            raise ConnectionResetError
        self.heard.append(name)
        if self.deadly and name in TOUCHES:
            self.dead = True
            await super().answer(name, body)
            raise ConnectionResetError
        return await super().answer(name, body)

    @property
    def done(self) -> list[str]:
        """What was heard and does something."""
        return [name for name in self.heard if not name.endswith(("Get", "Grab"))]


@pytest.fixture
def deadly(run_virtual, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run ``test(rig)`` while a deadly controller is served, without a guardian beside runs."""
    target = "drivers.nanonis.microscope:open_nanonis"
    points = [EntryPoint("nanonis", target, "tipsmith.microscopes")]
    monkeypatch.setattr("drivers.registry.entry_points", lambda group: points)

    @asynccontextmanager
    async def unguarded(*_: object) -> AsyncGenerator[Guard]:
        yield NO_GUARD

    monkeypatch.setattr("agent.session.guarded", unguarded)

    def run(test: Callable[..., object]) -> None:
        async def main() -> None:
            rig = Deadly(tmp_path)
            append = Journal._append

            def written(journal: Journal, *values: object) -> int:
                if rig.dead:
                    raise FileError("a dead program writes nothing")
                return append(journal, *values)

            monkeypatch.setattr(Journal, "_append", written)
            async with rig.served():
                await test(rig)

        run_virtual(main)

    return run


async def repair_at(
    folder: Path, settings: RepairSettings = SETTINGS, query: str = ""
) -> tuple[RepairResult, list[Progress]]:
    config = Config(repair=settings, policy=PolicySettings(name="escalation"))
    seen: list[Progress] = []
    config = config.overridden(uri=URI + query, directory=folder / "runs")
    return await run_repair(config, None, ScriptedScorer(), seen.append), seen


async def killed(rig: Deadly, folder: Path) -> Path:
    """A run that was killed in the middle of its first action; its journal."""
    result, _ = await repair_at(folder)
    assert rig.dead
    rig.dead = rig.deadly = False
    rig.heard.clear()
    path = Path(result.journal)
    assert read_past(path).standing is Standing.BROKEN_OFF
    return path


async def of_an_operator(rig: Rig) -> dict[str, dict[str, object]]:
    await rig.call("Bias.Set", bias_v=0.8)
    await rig.call("ZCtrl.SetpntSet", setpoint_a=80e-12)
    await rig.call("ZCtrl.TipLiftSet", lift_m=-0.5e-9)
    await rig.call("SafeTip.OnOffSet", status=codes.SetSwitch.ON)
    return await rig.settings()


def test_after_a_kill_in_an_action_safe_tip_is_on_at_once_and_all_is_put_back(deadly, tmp_path):
    async def test(rig: Deadly) -> None:
        found = await of_an_operator(rig)
        path = await killed(rig, tmp_path)
        assert (await rig.call("SafeTip.OnOffGet"))["status"] is codes.Switch.OFF
        owed = read_past(path).owed
        assert {"safe_tip", "point", "Scan.Frame", "Scan.Speed", "Scan.Buffer"} <= owed.keys()
        result, seen = await repair_at(tmp_path, SETTINGS.model_copy(update={"max_actions": 1}))
        # Before anything but the withdrawal, and read back.
        before = rig.heard[: rig.heard.index("SafeTip.OnOffSet") + 2]
        assert before[-1] == "SafeTip.OnOffGet"
        after = rig.done[: rig.done.index("SafeTip.OnOffSet")]
        assert "ZCtrl.Withdraw" in after
        assert not {"ZCtrl.OnOffSet", "Bias.Set", "Scan.FrameSet", "AutoApproach.Open"} & set(after)
        assert (result.outcome, result.warning) == ("gave_up", None)
        assert await rig.settings() == alike(found)
        assert any("did not put back (" in (one.note or "") for one in seen)
        assert read_past(Path(result.journal)).owed == {}
        assert latest_owed(tmp_path / "runs", URI).name == Path(result.journal).parent.name

    deadly(test)


def test_what_the_operator_changed_between_the_runs_is_left_alone(deadly, tmp_path):
    async def test(rig: Deadly) -> None:
        found = await of_an_operator(rig)
        await killed(rig, tmp_path)
        frame = {"x_m": 1e-8, "y_m": 0.0, "width_m": 5e-8, "height_m": 5e-8, "angle_deg": 30.0}
        await rig.call("Scan.FrameSet", **frame)
        await repair_at(tmp_path, SETTINGS.model_copy(update={"max_actions": 0}))
        left = await rig.settings()
        assert left.pop("Scan.Frame") == alike({"": frame})[""]
        # The time of a line belongs to the width of the frame.
        left.pop("Scan.Speed")
        for group, settings in left.items():
            assert settings == alike(found)[group]

    deadly(test)


def test_a_run_that_is_refused_still_switches_safe_tip_on_and_hides_nothing(
    deadly, tmp_path, monkeypatch
):
    async def test(rig: Deadly) -> None:
        await of_an_operator(rig)
        path = await killed(rig, tmp_path)

        def refused(*_: object) -> None:
            raise InstrumentError("latched")

        with monkeypatch.context() as patch:
            patch.setattr("agent.session.guarded", refused)
            with pytest.raises(InstrumentError, match="latched"):
                await repair_at(tmp_path)
        assert (await rig.call("SafeTip.OnOffGet"))["status"] is codes.Switch.ON
        (past,) = runs(tmp_path / "runs")
        assert past.name == path.parent.name
        # The bias waits for a tip under feedback.
        assert (await rig.call("Bias.Get"))["bias_v"] == pytest.approx(0.5)
        await repair_at(tmp_path, SETTINGS.model_copy(update={"max_actions": 0}))
        assert (await rig.call("Bias.Get"))["bias_v"] == pytest.approx(0.8)

    deadly(test)


def test_a_run_that_ends_in_order_owes_nothing_and_its_end_still_counts(deadly, tmp_path):
    async def test(rig: Deadly) -> None:
        rig.deadly = False
        await of_an_operator(rig)
        result, seen = await repair_at(tmp_path)
        past = read_past(Path(result.journal))
        assert (past.standing, past.owed) == (Standing.GAVE_UP, {})
        with Journal.open(Path(result.journal)) as journal:
            kinds = [one.kind for one in journal.records()]
        assert kinds[:2] == [Kind.OWED, Kind.STARTED]
        # What is put back at the end is noted after the run's last word.
        assert Kind.OWED in kinds[kinds.index(Kind.DECLARED) :]
        _, seen = await repair_at(tmp_path, SETTINGS.model_copy(update={"max_actions": 0}))
        assert not any("put back" in (one.note or "") for one in seen)

    deadly(test)
