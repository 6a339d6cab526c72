"""The benchmark of what protects the tip, as far as it runs without hurting anybody."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

from agent.benches.safety import bench, nights
from agent.benches.safety.faults import Fault
from drivers.benchmark import BenchOptions, Row


def test_a_short_night_without_a_false_trip(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nights, "NIGHT_S", 600.0)
    assert nights.false_trips_in_a_night(np.random.default_rng(1)) == 0


def test_an_agent_that_is_too_late_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    class Late:
        def exponential(self, scale: float, size: int) -> np.ndarray:
            return np.full(size, 10.0)

    monkeypatch.setattr(nights, "LATEST_S", 1.0)
    assert nights.false_trips_in_a_night(Late()) == 1


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
    monkeypatch.setattr(bench, "MEASUREMENTS", [lambda setting: [Row(f"{setting.port}", 2.0)]])
    assert [row.name for row in bench.run(BenchOptions()).rows] == ["1"]


def test_hogs_end():
    with bench.hogs(1):
        pass
