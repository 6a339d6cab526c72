"""The face of the benchmarks."""

from __future__ import annotations

import json
import platform
import socket

import numpy as np
import pytest
from rich.console import Console

from drivers import bench, benchmark
from drivers.benchmark import Grid, Machine, Report, Row, judged
from drivers.errors import UserError


@pytest.mark.parametrize(
    ("target", "value", "holds"),
    [
        (">= 2", 2.0, True),
        (">= 2", 1.9, False),
        ("> 2", 2.0, False),
        ("<= 2", 2.0, True),
        ("< 2", 2.0, False),
        ("< 0.01", 1e-3, True),
    ],
)
def test_a_figure_is_held_against_its_target(target: str, value: float, holds: bool):
    assert judged("x", value, "", target).holds is holds


@pytest.mark.parametrize(
    ("interval", "holds"), [((1.0, 3.0), None), ((2.1, 3.0), True), ((1.0, 1.9), False)]
)
def test_an_interval_across_the_target_decides_nothing(
    interval: tuple[float, float], holds: bool | None
):
    assert judged("x", 2.0, "", "> 2", interval).holds is holds


def test_a_figure_that_could_not_be_had_decides_nothing():
    row = judged("x", None, "us", "< 2", note="no peer")
    assert (row.value, row.holds, row.note) == (None, None, "no peer")


@pytest.mark.parametrize("target", ["2", "== 2", ""])
def test_other_targets_are_refused(target: str):
    with pytest.raises(ValueError, match="target"):
        judged("x", 1.0, "", target)


def test_the_machine_is_described_without_its_name():
    machine = Machine.this()
    assert machine.cpu
    assert machine.cores >= 1
    assert platform.node() not in (machine.cpu, machine.platform)


def test_json_holds_everything():
    report = Report("toy", [judged("x", 1.0, "us", "< 2"), Row("y", None)])
    told = json.loads(report.to_json())
    assert told["bench"] == "toy"
    assert set(told["machine"]) == {"cpu", "cores", "python", "platform"}
    assert told["rows"][0] == {
        "name": "x",
        "value": 1.0,
        "unit": "us",
        "target": "< 2",
        "holds": True,
        "note": "",
        "interval": None,
    }
    assert json.loads(Report("toy", [judged("x", 1, "", "< 3", (0, 2))]).to_json())["rows"][0][
        "interval"
    ] == [0, 2]


def test_the_table_tells_yes_no_and_cannot_tell():
    rows = [
        judged("first", 1.0, "us", "< 2"),
        judged("second", 3.0, "us", "< 2"),
        judged("third", 3.0, "us", "< 2", (1.0, 4.0)),
        Row("fourth", None),
    ]
    console = Console(width=120)
    with console.capture() as captured:
        console.print(Report("toy", rows).table())
    lines = {name: line for line in captured.get().splitlines() for name in line.split()[1:2]}
    assert "yes" in lines["first"]
    assert "NO" in lines["second"]
    assert "cannot tell" in lines["third"]
    assert "none" in lines["fourth"]


def test_people_read_grids_where_there_are_any():
    grid = Grid("alike", ("name", "speed"), [("first", "1"), ("second", "22")])
    console = Console(width=80)
    with console.capture() as captured:
        console.print(*Report("toy", [Row("only for machines", 1.0)], grids=[grid]).tables())
    told = captured.get()
    assert "alike" in told
    assert "second" in told
    assert "only for machines" not in told
    assert [table.title for table in Report("toy", []).tables()] == ["toy"]


def test_an_unknown_bench_names_the_known(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmark, "entry_points", lambda group: [])
    with pytest.raises(UserError, match="no benchmark is called 'weather'"):
        benchmark.load_bench("weather")


def timed(ours_s: float, theirs_s: float | None, spread: float = 0.0) -> bench.Timed:
    wobble = 1 + spread * np.random.default_rng(0).normal(size=(30, 5))
    theirs = None if theirs_s is None else theirs_s * wobble
    return bench.Timed(np.full((30, 5), ours_s), theirs)


def test_the_faster_client_is_told():
    rows = bench._rows("Bias.Get", timed(100e-6, 300e-6), "")
    assert [row.value for row in rows] == pytest.approx([0.1, 0.1, 0.3, 0.3, 3])
    assert rows[-1].holds is True
    assert bench._rows("Bias.Get", timed(300e-6, 100e-6), "")[-1].holds is False


def test_clients_too_alike_are_not_told_apart():
    assert bench._rows("Bias.Get", timed(100e-6, 100e-6, 0.3), "")[-1].holds is None


def test_a_missing_peer_leaves_a_note_and_our_figures():
    rows = bench._rows("Bias.Get", timed(100e-6, None), "no network")
    assert [row.value for row in rows[:2]] == pytest.approx([0.1, 0.1])
    assert [row.value for row in rows[2:]] == [None, None, None]
    assert rows[-1].note == "no network"


def test_the_free_ports_are_free():
    first = bench.free_port()
    for offset in bench.PORT_OFFSETS:
        socket.create_server((bench.HOST, first + offset)).close()
