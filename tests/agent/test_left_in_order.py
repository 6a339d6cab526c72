"""How a run under a guardian may end: disarmed if the tip is left as meant, withdrawn otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.config import GuardianSettings, RepairSettings
from agent.guardian.lease import ARMING_S
from agent.guardian.states import State
from agent.guarding import Guard, guarded
from agent.journal import Journal
from agent.lease import ARMING_PATIENCE_S
from agent.record import Kind
from agent.repair import OVERDUE_S, WITHDRAW_TIMEOUT_S, repair
from agent.result import Listener, Progress, RepairResult
from drivers.errors import ConnectionLost, GuardianLost
from drivers.microscope import WITHDRAWAL_ENDS_S
from drivers.nanonis.microscope import open_nanonis
from drivers.registry import Address
from policies.history import Looked
from tests.agent.desk_world import REPORT, DeskWorld, Guardable
from tests.agent.scripted import DIP, Always, ScriptedMicroscope, ScriptedScorer, scribe
from tests.agent.test_on_the_wire import HOST, PORT, Rig, on_rig  # noqa: F401 - one is a fixture

LOST = ConnectionLost("the link broke")


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> DeskWorld:
    async def running(_: Path) -> object:
        return REPORT

    monkeypatch.setattr("agent.guarding._running", running)
    return DeskWorld()


@asynccontextmanager
async def guard_of(
    desk: DeskWorld, microscope: ScriptedMicroscope, folder: Path
) -> AsyncGenerator[Guard]:
    settings = GuardianSettings(state=str(folder / "guardian.json"))
    async with desk.open(), guarded(microscope.enveloped(), settings) as guard:
        assert desk.state is State.ARMED
        yield guard


@pytest.fixture
def under_guard(
    run_virtual, desk: DeskWorld, settings: RepairSettings, tmp_path: Path
) -> Callable[..., RepairResult]:
    """Carry a repair out under a guardian, in virtual time."""

    def run(
        microscope: ScriptedMicroscope, see: Listener = lambda _: None, *, cancel: bool = False
    ) -> RepairResult:
        async def main() -> object:
            with Journal.create(tmp_path, {}, "night") as journal:
                async with guard_of(desk, microscope, tmp_path) as guard:
                    work = asyncio.ensure_future(
                        repair(
                            microscope.enveloped(),
                            ScriptedScorer(),
                            Always(DIP),
                            settings,
                            scribe(journal),
                            see,
                            guard,
                        )
                    )
                    if cancel:
                        await microscope.hanging.wait()
                        work.cancel()
                    return await work

        return run_virtual(main)

    return run


def last(result: RepairResult) -> tuple[Kind, object]:
    with Journal.open(Path(result.journal)) as journal:
        record = journal.records()[-1]
        return record.kind, record.payload.get("withdrawn")


def test_a_declared_tip_is_left_and_the_guardian_disarmed(under_guard, desk: DeskWorld):
    assert under_guard(Guardable([0.1, 0.95])).outcome == "good"
    assert desk.questions == ["arm", "disarm"]
    assert (desk.state, desk.world.withdrawn) == (State.DISARMED, False)


def test_a_tip_that_is_left_to_somebody_stays(under_guard, desk: DeskWorld):
    microscope = Guardable([0.1])

    def see(progress: Progress) -> None:
        if isinstance(progress.event, Looked):
            microscope.change(bias_v=0.9)

    assert under_guard(microscope, see).outcome == "paused"
    assert desk.questions == ["arm", "disarm"]
    assert "withdraw" not in microscope.calls


def test_a_withdrawal_that_was_verified_is_enough(under_guard, desk: DeskWorld):
    assert under_guard(Guardable([0.1], fail_scan=(0, LOST))).outcome == "stopped"
    assert desk.questions == ["arm", "disarm"]


def test_so_it_is_after_a_cancellation(under_guard, desk: DeskWorld):
    microscope = Guardable([0.1], fail_scan=(0, None))
    with pytest.raises(asyncio.CancelledError):
        under_guard(microscope, cancel=True)
    assert microscope.calls == ["scan", "withdraw"]
    assert desk.questions == ["arm", "disarm"]


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (LOST, "the link broke"),
        (OSError(113, "No route to host"), "[Errno 113] No route to host"),
        (RuntimeError("the loop is closed"), "the loop is closed"),
        (KeyError(), "KeyError"),
        (TimeoutError(110, "Connection timed out"), "[Errno 110] Connection timed out"),
    ],
)
def test_whatever_a_withdrawal_raises_the_guardian_takes_over(
    under_guard, desk: DeskWorld, failure: Exception, told: str
):
    result = under_guard(Guardable([0.1], fail_scan=(0, LOST), fail_withdraw=failure))
    assert result.outcome == "stopped"
    assert f"THE TIP COULD NOT BE WITHDRAWN ({told}), look" in result.reason
    assert desk.questions[:2] == ["arm", "trip"]
    assert "disarm" not in desk.questions
    assert (desk.state, desk.world.withdrawn) == (State.WITHDRAWN, True)
    assert last(result) == (Kind.ERROR, False)


def test_a_fault_of_ours_after_which_the_tip_stays_in_contact(under_guard, desk: DeskWorld):
    microscope = Guardable([0.1], fail_scan=(0, ZeroDivisionError()), fail_withdraw=OSError("gone"))
    with pytest.raises(ZeroDivisionError):
        under_guard(microscope)
    assert "disarm" not in desk.questions
    assert desk.state is State.WITHDRAWN


@pytest.mark.parametrize("error", [None, ZeroDivisionError(), asyncio.CancelledError()])
def test_work_that_says_nothing_of_the_tip_ends_with_a_withdrawal(
    run_virtual, desk: DeskWorld, tmp_path: Path, error: BaseException | None
):
    async def main() -> None:
        async with guard_of(desk, Guardable([0.1]), tmp_path) as guard, guard.kept():
            if error is not None:
                raise error

    if error is None:
        run_virtual(main)
    else:
        with pytest.raises(type(error)):
            run_virtual(main)
    assert desk.questions == ["arm", "trip"]
    assert desk.state is State.WITHDRAWN
    assert desk.world.guardian.reason == "the run has ended and did not leave the tip in order"


def test_a_run_that_fails_before_it_touches_anything_leaves_the_tip_as_it_was(
    run_virtual, desk: DeskWorld, tmp_path: Path
):
    async def main() -> None:
        async with guard_of(desk, Guardable([0.1]), tmp_path):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_virtual(main)
    assert desk.questions == ["arm", "disarm"]


def begin(run_virtual, desk: DeskWorld, folder: Path) -> None:
    async def main() -> None:
        async with guard_of(desk, Guardable([0.1]), folder):
            pass

    run_virtual(main)


def test_no_run_begins_whose_guardian_cannot_write_down_what_it_guards(
    run_virtual, desk: DeskWorld, tmp_path: Path
):
    desk.disk = "No space left on device"
    told = (
        r"refuses to guard this run: the state file cannot be written \(No space left on device\)"
    )
    with pytest.raises(GuardianLost, match=told):
        begin(run_virtual, desk, tmp_path)
    assert (desk.state, desk.world.withdrawn) == (State.DISARMED, False)


def test_a_slow_disk_is_waited_for_while_the_guardian_waits(
    run_virtual, desk: DeskWorld, tmp_path: Path
):
    assert ARMING_PATIENCE_S < ARMING_S
    desk.disk_s = ARMING_PATIENCE_S - 0.1
    begin(run_virtual, desk, tmp_path)
    assert desk.questions == ["arm", "disarm"]
    desk.disk_s = ARMING_PATIENCE_S + 0.1
    with pytest.raises(GuardianLost, match=r"does not answer \(silent for 4 s\)"):
        begin(run_virtual, desk, tmp_path)
    assert desk.questions == ["arm", "disarm", "arm", "disarm"]
    assert (desk.state, desk.world.withdrawn) == (State.DISARMED, False)


class Slow(Guardable):
    """Takes its time to withdraw, or never does."""

    seconds: float | None = None

    async def withdraw(self) -> None:
        if self.seconds is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(self.seconds)
        await super().withdraw()


def slow(seconds: float | None) -> Slow:
    microscope = Slow([0.1], fail_scan=(0, LOST))
    microscope.seconds = seconds
    return microscope


def test_a_usual_withdrawal_calls_nobody(under_guard, desk: DeskWorld):
    under_guard(slow(1.0))
    assert desk.questions == ["arm", "disarm"]


def test_the_guardian_withdraws_while_the_agent_still_tries(under_guard, desk: DeskWorld):
    microscope = slow(2 * OVERDUE_S)
    result = under_guard(microscope)
    assert result.reason == "the link broke"
    assert microscope.calls[-1] == "withdraw"
    assert last(result) == (Kind.ERROR, True)
    (_, armed), (question, tripped) = desk.asked[:2]
    assert question == "trip"
    assert tripped - armed < 2 * OVERDUE_S
    assert desk.state is State.WITHDRAWN
    assert desk.world.guardian.reason.startswith("the agent did not withdraw the tip within 3 s")


def test_a_rig_that_is_slow_is_waited_for_as_long_as_its_driver_does(under_guard):
    result = under_guard(slow(WITHDRAWAL_ENDS_S))
    assert result.reason == "the link broke"
    assert last(result) == (Kind.ERROR, True)


def test_nor_does_it_wait_for_an_agent_that_hangs(under_guard, desk: DeskWorld):
    result = under_guard(slow(None))
    assert result.reason == (
        "the link broke; THE TIP WAS NOT SEEN AT THE UPPER END after 170 s; it may still be "
        "moving; look at it now"
    )
    assert last(result) == (Kind.ERROR, False)
    times = dict(desk.asked[:2])
    assert times["trip"] - times["arm"] < 2 * OVERDUE_S < WITHDRAW_TIMEOUT_S


def test_a_withdrawal_over_tcp_is_verified_long_before_it_is_overdue(on_rig):  # noqa: F811
    async def test(_rig: Rig, _folder: Path) -> None:
        microscope = await open_nanonis(Address.parse(f"nanonis://{HOST}:{PORT}"))
        started = asyncio.get_running_loop().time()
        await microscope.withdraw()
        assert 0.1 < asyncio.get_running_loop().time() - started < OVERDUE_S / 2
        await microscope.close()

    on_rig(test)
