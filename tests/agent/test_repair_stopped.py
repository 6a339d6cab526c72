"""The repair when things go wrong: the tip is withdrawn, and nothing unknown is repeated."""

from __future__ import annotations

import asyncio

import pytest

from agent.config import RepairSettings
from agent.journal import Journal, history
from agent.record import Kind
from agent.repair import WITHDRAW_TIMEOUT_S, repair
from agent.result import Progress
from drivers.actions import Indentation, MoveTo
from drivers.envelope import Limits
from drivers.errors import (
    CommandFailed,
    ConnectionLost,
    OutcomeUnknown,
    UserError,
)
from drivers.scan import Scan
from policies.report import TipReport
from policies.scorer.assessable import why_not
from tests.agent.conftest import Start
from tests.agent.scripted import AT, DIP, Always, ScriptedMicroscope, ScriptedScorer, scribe


async def test_an_instrument_that_dies_in_a_scan(start: Start, journal: Journal):
    microscope = ScriptedMicroscope([0.1], fail_scan=(0, ConnectionLost("the link broke")))
    result = await start(microscope)
    assert (result.outcome, result.exit_code) == ("stopped", 3)
    assert result.reason == "the link broke"
    assert microscope.calls == ["scan", "withdraw"]
    last = journal.records()[-1]
    assert last.kind is Kind.ERROR
    assert last.payload == {"reason": "the link broke", "withdrawn": True}
    assert history(journal) == []


async def test_an_unknown_outcome_is_never_repeated(start: Start, journal: Journal):
    microscope = ScriptedMicroscope([0.1], fail_action=(1, OutcomeUnknown("no answer to the dip")))
    result = await start(microscope)
    assert (result.outcome, result.exit_code, result.actions) == ("stopped", 3, 0)
    assert [type(action) for action in microscope.performed] == [MoveTo, Indentation]
    assert microscope.calls[-1] == "withdraw"
    assert journal.pending().action == DIP
    again = ScriptedMicroscope([0.1])
    with pytest.raises(UserError, match=r"unknown outcome \(indentation\)"):
        await start(again)
    assert again.calls == []


async def test_an_error_on_the_way_leaves_the_action_unsent(start: Start, journal: Journal):
    microscope = ScriptedMicroscope([0.1], fail_action=(0, CommandFailed("no")))
    await start(microscope)
    assert [type(action) for action in microscope.performed] == [MoveTo]
    assert isinstance(journal.pending().action, MoveTo)


async def test_an_action_outside_the_envelope_stops(start: Start, journal: Journal):
    deep = Indentation(at=AT, depth_m=3e-9, lift_m=9e-9)
    microscope = ScriptedMicroscope([0.1])
    result = await start(microscope, Always(deep), limits=Limits().narrowed(max_depth_nm=2))
    assert (result.outcome, result.exit_code) == ("stopped", 2)
    assert "max_depth_nm" in result.reason
    assert [type(action) for action in microscope.performed] == [MoveTo]
    assert microscope.calls[-1] == "withdraw"
    assert journal.pending() is None
    assert Kind.REFUSED in [record.kind for record in journal.records()]


async def test_a_scan_outside_the_envelope_stops(start: Start):
    microscope = ScriptedMicroscope([0.1])
    result = await start(microscope, limits=Limits().narrowed(max_bias_v=0.1))
    assert (result.outcome, result.exit_code) == ("stopped", 2)
    assert microscope.calls == ["withdraw"]


async def test_a_scan_without_lines_stops(start: Start):
    microscope = ScriptedMicroscope([0.1])

    async def nothing(settings: object):
        for line in ():
            yield line

    microscope.scan = nothing
    result = await start(microscope)
    assert (result.outcome, result.exit_code) == ("stopped", 3)
    assert "without a single line" in result.reason


async def test_a_scan_without_relief_stops(start: Start, settings: RepairSettings):
    class Strict(ScriptedScorer):
        def judge(self, scan: Scan) -> TipReport:
            why = why_not(scan)
            return TipReport.unassessable(why, 24) if why else super().judge(scan)

    microscope = ScriptedMicroscope([0.1])
    result = await start(microscope, scorer=Strict())
    assert (result.outcome, result.exit_code) == ("stopped", 3)
    assert result.reason.startswith("the scan shows no surface: it holds no relief")
    assert microscope.lines == [settings.lines]
    assert microscope.calls == ["scan", "withdraw"]


async def test_a_withdrawal_that_fails_is_shouted(start: Start, journal: Journal):
    lost = ConnectionLost("the link broke")
    microscope = ScriptedMicroscope([0.1], fail_scan=(0, lost), fail_withdraw=lost)
    result = await start(microscope)
    assert "THE TIP COULD NOT BE WITHDRAWN" in result.reason
    assert journal.records()[-1].payload["withdrawn"] is False


async def cancelled(start: Start, microscope: ScriptedMicroscope) -> None:
    """Cancel the repair where the microscope hangs."""
    task = asyncio.ensure_future(start(microscope))
    await microscope.hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancellation_in_a_scan_withdraws(
    start: Start, journal: Journal, seen: list[Progress]
):
    microscope = ScriptedMicroscope([0.1], fail_scan=(0, None))
    await cancelled(start, microscope)
    assert microscope.calls == ["scan", "withdraw"]
    assert seen[-1].result.outcome == "stopped"
    assert seen[-1].result.reason == "interrupted"
    assert journal.records()[-1].kind is Kind.ERROR


async def test_cancellation_in_an_action_leaves_it_unknown(start: Start, journal: Journal):
    microscope = ScriptedMicroscope([0.1], fail_action=(1, None))
    await cancelled(start, microscope)
    assert microscope.calls[-1] == "withdraw"
    assert journal.pending().action == DIP


async def test_cancelling_again_does_not_break_the_withdrawal(start: Start):
    microscope = ScriptedMicroscope([0.1], fail_scan=(0, None))
    withdrawing = asyncio.Event()
    withdrawn: list[bool] = []

    async def slowly() -> None:
        withdrawing.set()
        for _ in range(10):
            await asyncio.sleep(0)
        withdrawn.append(True)

    microscope.withdraw = slowly
    task = asyncio.ensure_future(start(microscope))
    await microscope.hanging.wait()
    task.cancel()
    await withdrawing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert withdrawn == [True]


def test_a_withdrawal_that_hangs_is_given_up(run_virtual, settings, tmp_path):
    lost = ConnectionLost("the link broke")
    microscope = ScriptedMicroscope([0.1], fail_scan=(0, lost))

    async def hang() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        microscope.withdraw = hang
        started = asyncio.get_running_loop().time()
        with Journal.create(tmp_path, {}, "night") as journal:
            result = await repair(
                microscope.enveloped(), ScriptedScorer(), Always(DIP), settings, scribe(journal)
            )
        assert "NOT SEEN AT THE UPPER END" in result.reason
        passed = asyncio.get_running_loop().time() - started
        assert passed == pytest.approx(WITHDRAW_TIMEOUT_S)

    run_virtual(main)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (ZeroDivisionError(), "ZeroDivisionError"),
        (ValueError("choice 3 was masked"), "ValueError: choice 3 was masked"),
        (MemoryError("no room"), "MemoryError: no room"),
    ],
)
async def test_a_fault_of_ours_withdraws_is_told_and_keeps_its_traceback(
    start: Start, journal: Journal, seen: list[Progress], fault: Exception, told: str
):
    class Broken:
        def propose(self, history: object) -> None:
            raise fault

    microscope = ScriptedMicroscope([0.1])
    with pytest.raises(type(fault)) as caught:
        await start(microscope, Broken())
    assert caught.value is fault
    assert caught.traceback[-1].name == "propose"
    assert microscope.calls == ["scan", "withdraw"]
    reason = f"a fault of the program ({told}); report it with what standard error says"
    assert (seen[-1].result.outcome, seen[-1].result.reason) == ("stopped", reason)
    last = journal.records()[-1]
    assert (last.kind, last.payload) == (Kind.ERROR, {"reason": reason, "withdrawn": True})


@pytest.mark.parametrize("script", [{}, {"fail_scan": (0, ConnectionLost("the link broke"))}])
async def test_a_listener_that_fails_is_noted_once_and_changes_nothing(
    start: Start, settings: RepairSettings, tmp_path, script: dict[str, object]
):
    usual, unseen = ScriptedMicroscope([0.1], **script), ScriptedMicroscope([0.1], **script)

    def broken(progress: Progress) -> None:
        raise BrokenPipeError("the terminal is gone")

    expected = await start(usual)
    with Journal.create(tmp_path, {}, "unseen") as journal:
        result = await repair(
            unseen.enveloped(), ScriptedScorer(), Always(DIP), settings, scribe(journal), broken
        )
        noticed = [one.payload for one in journal.records() if one.kind is Kind.NOTICED]
    assert (result.outcome, result.reason) == (expected.outcome, expected.reason)
    assert unseen.calls == usual.calls
    assert noticed == [
        {
            "watch": "display",
            "complaint": "progress could not be shown (BrokenPipeError: the terminal is gone)",
        }
    ]


async def test_a_listener_that_fails_at_the_end_does_not_hide_it(settings, journal: Journal):
    def broken(progress: Progress) -> None:
        if progress.result is not None:
            raise BrokenPipeError

    microscope = ScriptedMicroscope([0.9])
    result = await repair(
        microscope.enveloped(), ScriptedScorer(), Always(DIP), settings, scribe(journal), broken
    )
    assert result.outcome == "good"
    assert journal.records()[-1].kind is Kind.DECLARED


async def test_a_full_disk_stops_before_the_next_action(start: Start, journal: Journal):
    microscope = ScriptedMicroscope([0.1])
    scan = microscope.scan

    def last_scan(settings: object):
        journal._connection.execute(
            "CREATE TEMP TRIGGER full BEFORE INSERT ON events "
            "BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
        )
        return scan(settings)

    microscope.scan = last_scan
    result = await start(microscope)
    assert (result.outcome, result.exit_code) == ("stopped", 2)
    assert "disk is full" in result.reason
    assert microscope.calls == ["scan", "withdraw"]
