"""The benchmark of what protects the tip, as far as it runs without hurting anybody."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

from agent.benches.safety import bench, trips
from agent.benches.safety.faults import WITHDRAW_TIMEOUT_S, Fault
from agent.benches.safety.wire import Attack
from drivers.benchmark import BenchOptions, Row
from drivers.errors import GuardianLost, UserError


def test_a_short_night_without_a_false_trip(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trips, "NIGHT_S", 600.0)
    assert trips.false_trips_in_a_night(np.random.default_rng(1)) == 0


def test_an_agent_that_is_too_late_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    class Late:
        def exponential(self, scale: float, size: int) -> np.ndarray:
            return np.full(size, 10.0)

    monkeypatch.setattr(trips, "LATEST_S", 1.0)
    assert trips.false_trips_in_a_night(Late()) == 1


@contextlib.contextmanager
def nobody(*arguments: str) -> Iterator[int]:
    yield 1


def setting(quick: bool) -> bench.Setting:
    return bench.Setting(BenchOptions(quick=quick), 1, bench.Path(), lambda text: None)


def test_every_fault_counts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench, "hogs", nobody)
    monkeypatch.setattr(bench, "_trial", lambda setting, fault, trial: 0.5 + 0.1 * trial)
    share, *slowest = bench.withdrawals(setting(quick=False))
    assert (share.value, share.holds) == (pytest.approx(6 / 50), False)
    assert share.note == "24 of 200, with 4 CPU hogs"
    assert len(slowest) == len(Fault)
    assert all(row.value == pytest.approx(5.4) and row.holds is False for row in slowest)


def test_the_slowest_of_the_operators_stops_count(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench, "hogs", nobody)
    monkeypatch.setattr(bench, "_stop", lambda setting, trial: 0.1 if trial < 98 else 2.0)
    (row,) = bench.stops(setting(quick=False))
    assert (row.value, row.holds) == (pytest.approx(2.0), False)
    assert row.note == "median 0.100 s of 100, with 4 CPU hogs"


def test_a_stop_that_never_came_is_as_late_as_can_be(monkeypatch: pytest.MonkeyPatch):
    async def lost(port: int, state: object) -> float:
        raise GuardianLost("the withdrawal did not come")

    monkeypatch.setattr(bench, "seconds_to_stop", lost)
    assert bench._stop(setting(quick=True), 0) == WITHDRAW_TIMEOUT_S


@pytest.mark.parametrize(("quick", "count"), [(True, 3_000), (False, 100_000)])
def test_hostile_values_and_crashes_count(monkeypatch: pytest.MonkeyPatch, quick: bool, count: int):
    def run(asked: int, seed: int, progress: object) -> Attack:
        return Attack(asked, crashed=1, offences=("Bias.Set: 7 V",), crashes="no number")

    monkeypatch.setattr(bench.wire, "run", run)
    hostile, crashed = bench.hostile_actions(setting(quick))
    assert (hostile.value, hostile.holds, crashed.value, crashed.holds) == (1, False, 1, False)
    assert hostile.note.startswith(f"{count} actions")
    assert hostile.note.endswith("first: Bias.Set: 7 V")


@pytest.mark.parametrize(("quick", "minutes"), [(True, 1 / 6), (False, 120.0)])
def test_how_long_it_watches(monkeypatch: pytest.MonkeyPatch, quick: bool, minutes: float):
    async def watched(seconds: float, port: int, state: object) -> int:
        assert seconds == pytest.approx(60 * minutes)
        return 1

    monkeypatch.setattr(bench, "hogs", nobody)
    monkeypatch.setattr(bench, "false_trips_for", watched)
    (row,) = bench.false_trips_in_real_minutes(setting(quick))
    assert (row.value, row.holds) == (1, False)


def test_a_new_measurement_is_one_function(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench, "served", nobody)
    parts = {name: lambda setting, name=name: [Row(name, setting.port)] for name in "abc"}
    monkeypatch.setattr(bench, "PARTS", parts)
    assert [(row.name, row.value) for row in bench.run(BenchOptions()).rows] == [
        ("a", 1),
        ("b", 1),
        ("c", 1),
    ]
    assert [row.name for row in bench.run(BenchOptions(only=["c", "a"])).rows] == ["a", "c"]


def test_no_part_is_run_where_one_is_unknown():
    with pytest.raises(UserError, match=r"no part 'tea'; the parts are withdrawals, kills, "):
        bench.run(BenchOptions(only=["lag", "tea"]))


def test_hogs_end():
    with bench.hogs(1):
        pass
