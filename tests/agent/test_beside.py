"""Looking on beside a scan, a question and a wait: what is found breaks them off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from agent.beside import PATIENCE_S, Beside
from agent.computer import Computer
from agent.config import USUAL_WATCHES, ApprovalSettings, RepairSettings
from agent.journal import Journal
from agent.record import Kind, Record
from agent.repair import repair
from agent.result import RepairResult
from agent.supervision import Supervision
from agent.watching import SCAN_LOOK_S, WAIT_LOOK_S, Watchdog
from drivers.actions import Wait
from drivers.clock import ScaledClock, VirtualClock
from drivers.envelope import Limits
from drivers.enveloped import EnvelopedMicroscope
from drivers.errors import Alarm
from drivers.microscope import Feedback, MicroscopeState
from drivers.nanonis.codes import ScanAction, ZStatus
from drivers.nanonis.microscope import NanonisMicroscope
from drivers.scan import ScanLine
from tests.agent.scripted import DIP, Always, ScriptedMicroscope, ScriptedScorer, scribe
from tests.drivers.nanonis_fake import SCAN, Controller, meet

# A whole scan takes 24 lines of 0.2 s.
LINES, LINE_S = 24, 0.2


class Counted(ScriptedMicroscope):
    """On the loop's clock; knows when it was asked for its state."""

    def __init__(self, *, quality: float = 0.1) -> None:
        super().__init__([quality], clock=ScaledClock())
        self.asked_s: list[float] = []

    async def state(self) -> MicroscopeState:
        self.asked_s.append(asyncio.get_running_loop().time())
        return await super().state()

    async def perform(self, action: object) -> object:
        if not isinstance(action, Wait):
            return await super().perform(action)
        self.calls.append(action)
        await self.clock.sleep(action.seconds)
        raise AssertionError("nobody broke it off")


class Nobody:
    """Never answers; something happens while it is asked."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self.happens = happens

    async def ask(self, request: object) -> object:
        asyncio.get_running_loop().call_later(10.0, self.happens)
        await asyncio.Event().wait()


Night = Callable[..., tuple[RepairResult, float, list[Record]]]


@pytest.fixture
def night(run_virtual, tmp_path: Path) -> Night:
    """Run a repair in virtual time: its result, how long it took, and its journal."""

    def run(begin: Callable[[], ScriptedMicroscope], action: object = DIP, asker=None):
        settings = RepairSettings(
            pixels=16, lines=LINES, forward_s=LINE_S / 2, backward_s=LINE_S / 2, stop_early=False
        )

        async def main() -> tuple[RepairResult, float, list[Record]]:
            microscope, loop = begin(), asyncio.get_running_loop()
            supervision = asker and Supervision(ApprovalSettings(), asker(microscope))
            started_s = loop.time()
            with Journal.create(tmp_path, {}, "night") as journal:
                result = await repair(
                    microscope.enveloped(),
                    ScriptedScorer(),
                    Always(action),
                    settings,
                    scribe(journal),
                    supervision=supervision,
                )
                return result, loop.time() - started_s, journal.records()

        return run_virtual(main)

    return run


def changing(after_s: float, **values: object) -> tuple[list[Counted], Callable[[], Counted]]:
    made: list[Counted] = []

    def begin() -> Counted:
        made.append(Counted())
        asyncio.get_running_loop().call_later(after_s, lambda: made[0].change(**values))
        return made[0]

    return made, begin


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"current_a": 5e-9}, "the current is 5000 pA"),
        ({"z_m": -0.495e-6}, "z is -495.0 nm"),
        ({"feedback": Feedback.WITHDRAWN}, "the tip was in contact and is withdrawn"),
        ({"feedback": Feedback.HELD, "scanning": True}, "the feedback is off while the tip scans"),
    ],
)
def test_trouble_during_a_scan_breaks_it_off(night: Night, values: dict, told: str):
    made, begin = changing(1.5, **values)
    result, seconds, _ = night(begin)
    assert result.reason.startswith(told)
    assert (result.outcome, result.exit_code) == ("stopped", 3)
    assert made[0].calls == ["scan", "withdraw"]
    assert 1.5 < seconds <= 1.5 + 2 * SCAN_LOOK_S
    assert made[0].lines[0] < LINES / 2 + 1


def test_what_passes_at_once_breaks_no_scan_off(night: Night):
    def begin() -> Counted:
        microscope, loop = Counted(quality=0.9), asyncio.get_running_loop()
        loop.call_later(0.95, lambda: microscope.change(current_a=5e-9))
        loop.call_later(1.05, lambda: microscope.change(current_a=50e-12))
        return microscope

    assert night(begin)[0].outcome == "good"


def test_the_hands_of_somebody_are_seen_between_the_steps(night: Night):
    made, begin = changing(1.5, bias_v=0.7, scanning=True)
    result, _, _ = night(begin)
    assert result.outcome == "paused"
    assert made[0].lines == [LINES]


def test_a_scan_is_looked_at_about_once_a_second(night: Night):
    made, begin = changing(1e6)
    night(begin)
    during = [s - made[0].asked_s[0] for s in made[0].asked_s if 0 < s - made[0].asked_s[0] < 4.7]
    assert during == pytest.approx([1.0, 2.0, 3.0, 4.0])


class Virtual(Counted):
    """On a clock that passes only for who waits, while its lines take time all the same."""

    def __init__(self) -> None:
        super().__init__(quality=0.9)
        self.clock = VirtualClock()

    async def scan(self, settings: object) -> AsyncGenerator[ScanLine]:
        async for line in super().scan(settings):
            await asyncio.sleep(LINE_S)
            yield line


def test_where_time_passes_only_for_who_waits_a_scan_is_not_looked_at(night: Night):
    made: list[Counted] = []

    def begin() -> Counted:
        made.append(Virtual())
        return made[0]

    night(begin)
    # Before each scan watchdog and envelope ask, and the watchdog once at the beginning.
    assert len(made[0].asked_s) == 1 + 2 * len(made[0].lines)


@pytest.mark.parametrize("trouble", [{"status": ZStatus.OFF}, {"current_a": 9.5e-9}])
def test_a_controller_whose_feedback_drops_out_is_told_to_stop_the_scan(
    tmp_path: Path, trouble: dict
):
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        enveloped = EnvelopedMicroscope(microscope, Limits())
        watchdog = Watchdog(enveloped, USUAL_WATCHES, Computer(tmp_path), AsyncMock())
        await watchdog.begin()
        slow = SCAN.model_copy(update={"forward_s": 1.0, "backward_s": 1.0})

        async def scan() -> None:
            async with watchdog.beside_scan():
                lines = enveloped.scan(slow)
                await watchdog.next_line(lines, slow, first=True)
                for name, value in trouble.items():
                    setattr(fake, name, value)
                while await watchdog.next_line(lines, slow, first=False):
                    pass

        with pytest.raises(Alarm, match=r"the feedback is off while|the current is 9500 pA"):
            await scan()
        assert fake.values("Scan.Action")[-1]["action"] is ScanAction.STOP
        assert not (await microscope.state()).scanning

    meet(test)


def test_trouble_ends_a_question(night: Night):
    def asker(microscope: Counted) -> Nobody:
        return Nobody(lambda: microscope.change(feedback=Feedback.WITHDRAWN))

    made, begin = changing(1e6)
    result, _, records = night(begin, asker=asker)
    assert result.reason.startswith("the tip was in contact and is withdrawn")
    assert made[0].calls[-1] == "withdraw"
    assert DIP not in made[0].performed
    assert [record.kind for record in records[-2:]] == [Kind.ASKED, Kind.ERROR]


@pytest.mark.parametrize(
    ("values", "outcome", "told"),
    [
        ({"current_a": 5e-9}, "stopped", "the current is 5000 pA"),
        ({"bias_v": 0.7}, "paused", "somebody else is at the instrument: the bias is 0.7 V"),
    ],
)
def test_trouble_ends_a_wait_whose_outcome_is_known(
    night: Night, values: dict, outcome: str, told: str
):
    _, begin = changing(60.0, **values)
    result, seconds, records = night(begin, Wait(seconds=7200.0))
    assert result.outcome == outcome
    assert told in result.reason
    assert seconds <= 60.0 + WAIT_LOOK_S
    (intent,) = [record for record in records if record.kind is Kind.INTENT]
    (done,) = [record for record in records if record.kind is Kind.OUTCOME]
    assert intent.payload["action"]["kind"] == "wait"
    assert done.payload["notes"][0].startswith("broken off: ")


async def fine() -> None:
    """A look that finds nothing."""


def failing_after(seconds: float) -> Callable[[], Awaitable[None]]:
    async def look() -> None:
        await asyncio.sleep(seconds)
        raise Alarm("found")

    return look


def test_a_look_under_way_at_the_end_is_waited_for_and_heard(run_virtual):
    async def main() -> None:
        with pytest.raises(Alarm, match="found"):
            async with Beside(failing_after(5.0), 1.0):
                await asyncio.sleep(2.0)
        assert asyncio.get_running_loop().time() == pytest.approx(6.0)
        assert asyncio.current_task().cancelling() == 0

    run_virtual(main)


def test_work_that_failed_does_not_wait_for_a_look(run_virtual):
    async def work() -> None:
        async with Beside(failing_after(100.0), 1.0):
            await asyncio.sleep(2.0)
            raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await work()
        assert asyncio.get_running_loop().time() == pytest.approx(2.0 + PATIENCE_S)

    run_virtual(main)


def test_a_cancellation_by_others_is_heard_beside_an_alarm(run_virtual):
    async def work() -> None:
        async with Beside(failing_after(0.0), 1.0):
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(3.0)

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(2.0)
        assert task.cancelling() == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelling() == 1

    run_virtual(main)


def test_an_alarm_is_told_even_if_cleaning_up_fails(run_virtual):
    async def work() -> None:
        async with Beside(failing_after(0.0), 1.0):
            try:
                await asyncio.Event().wait()
            finally:
                raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(Alarm, match="found"):
            await work()
        assert asyncio.current_task().cancelling() == 0

    run_virtual(main)


async def test_nothing_is_left_of_what_found_nothing():
    async with Beside(fine, 0.001):
        await asyncio.sleep(0.01)
