"""The speed benchmark: its workload, its arithmetic, and what it does without a peer."""

from __future__ import annotations

import time

import numpy as np
import pytest

from drivers.benchmark import BenchOptions
from drivers.errors import UserError
from drivers.scan import Scan
from sim.benches import speed, workload
from sim.benches.first_scan import FirstScan
from sim.benches.vector import VectorFigures, measure
from sim.benches.workload import LARGE, SMALL, WHOLE, Workload, interval, seconds_per_call


@pytest.fixture(scope="module")
def work() -> Workload:
    return Workload(worlds=6)


def test_the_tips_are_not_only_sharp_ones():
    tips = [world.tip for world in Workload(worlds=40)._worlds]
    radii = [tip.radius_nm for tip in tips]
    assert min(radii) < 3 < 8 < max(radii)
    assert {tip.clean for tip in tips} == {tip.stable for tip in tips} == {True, False}


def test_fresh_area_is_new_every_time_and_seen_area_is_not(work: Workload):
    scan = work.fresh(SMALL)
    frames = {call(scan).frame for _ in range(12)}
    assert len(frames) == 12
    scan = work.seen(SMALL)
    frames = {call(scan).frame for _ in range(12)}
    assert len(frames) == 6


def call(scan) -> Scan:
    found = scan()
    assert isinstance(found, Scan)
    assert found.backward is not None
    assert found.forward.shape == (64, 64)
    return found


def test_seen_area_is_not_drawn_again(work: Workload, monkeypatch: pytest.MonkeyPatch):
    scan = work.seen(SMALL)
    for world in work._worlds:
        monkeypatch.setattr(world.sample._grounds, "_draw", None)
    for _ in range(6):
        scan()


def test_every_stage_goes_through_the_same_places(work: Workload):
    stages = work.stages(SMALL)
    assert list(stages)[-1] == WHOLE
    for step in stages.values():
        step()


def test_cpu_time_is_counted_and_not_time_asleep():
    asleep = seconds_per_call(lambda: time.sleep(0.02), 2, 2)
    busy = seconds_per_call(lambda: sum(range(200_000)), 2, 2)
    assert asleep.shape == (2,)
    assert asleep.max() < busy.min()


def test_the_interval_holds_the_median():
    values = np.random.default_rng(0).normal(10, 1, 50)
    low, high = interval(values)
    assert 9 < low < np.median(values) < high < 11


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, work: Workload) -> None:
    monkeypatch.setattr(speed, "Workload", lambda: work)
    monkeypatch.setattr(speed, "WORLDS", 2)
    monkeypatch.setattr(workload, "WORLDS", 2)
    monkeypatch.setattr(speed.vector, "vector_figures", lambda *_: VectorFigures([900.0] * 3, 0.4))
    monkeypatch.setattr(speed, "first_scan", lambda: FirstScan(cold_s=9.0, warm_s=2.5))


@pytest.mark.usefixtures("quick")
def test_the_whole_bench_takes_the_first_scan(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(speed, "TURNS", 3)
    monkeypatch.setattr(speed, "_ratio", lambda *_: [])
    rows = {row.name: row for row in speed.run(BenchOptions()).rows}
    assert rows["first scan after import, warm"].holds is False
    assert rows["first scan after import, cold"].holds is True


@pytest.mark.usefixtures("quick")
def test_without_a_peer_its_ratio_is_missing_and_the_rest_is_there(monkeypatch: pytest.MonkeyPatch):
    def missing():
        raise UserError("no network")

    monkeypatch.setattr(speed, "peer_scans", missing)
    rows = {row.name: row for row in speed.run(BenchOptions(quick=True)).rows}
    peer = next(row for name, row in rows.items() if name.startswith("spmsimu"))
    assert (peer.value, peer.note) == (None, "no network")
    assert rows["64 x 64 over 20 nm, fresh area"].target == ">= 800"
    assert rows["first scan after import, cold"].value is None
    assert f"{LARGE}: lines" in rows
    assert rows["64 environments, 2 processes"].holds is False
    assert rows["64 environments, 2 processes: memory"].holds is True


@pytest.mark.usefixtures("quick")
def test_the_ratio_is_that_of_turns(work: Workload, monkeypatch: pytest.MonkeyPatch):
    class Peer:
        def __enter__(self):
            return lambda _scans: 1.0

        def __exit__(self, *_: object):
            return None

    monkeypatch.setattr(speed, "peer_scans", Peer)
    monkeypatch.setattr(speed, "seconds_per_call", lambda *_: np.array([0.05]))
    rows = speed._ratio(work, 3)
    assert rows[0].value == pytest.approx(1000)
    assert [row.value for row in rows[1:]] == pytest.approx([20, 20])
    assert all(row.holds for row in rows[1:])


@pytest.mark.timeout(120)
def test_environments_are_counted_with_their_memory():
    found = measure(turns=2, steps=2, worlds=3, workers=0)
    assert len(found.rates) == 2
    assert min(found.rates) > 0
    assert found.memory_gb is None or 0.05 < found.memory_gb < 5
