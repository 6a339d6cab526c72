"""Lists and exports: what other programs get of a journal."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from agent.journal import Journal
from agent.journal.export import export
from agent.journal.tables import tables
from agent.record import Intent, Kind
from drivers.actions import MoveTo
from drivers.errors import FileError
from drivers.outcome import Outcome, Trace
from drivers.scan import Frame
from policies.episode import Look
from policies.history import Looked
from policies.report import TipReport
from tests.agent.scripted import DIP
from tests.agent.test_cli import Tipsmith, tipsmith  # noqa: F401 - a fixture

TRACE = Trace(
    np.array([0.0, 0.001]), np.array([1e-12, 2e-9], np.float32), np.array([0.0, -1e-9], np.float32)
)
FRAME = Frame(x_m=1e-9, y_m=2e-9, width_m=24e-9, height_m=24e-9)
LOOKED = Looked(FRAME, TipReport.unassessable("too few lines", 3), None, 24.0)
MOVE = MoveTo(x_m=3e-9, y_m=4e-9, speed_m_per_s=1e-7)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a look, a way there, a dip with a trace, a refused dip and an unknown one."""
    with Journal.create(tmp_path / "runs", {"microscope": "scripted:"}, "night") as journal:
        journal.note(Kind.STARTED, 0.0, {})
        journal.look_started(Look(FRAME, "see", whole=True), 0.0)
        journal.looked(LOOKED)
        there = journal.intend(Intent(MOVE, 3e-9, 4e-9, "there", own=False), 25.0)
        journal.done(there, Outcome(25.0, 26.0))
        dip = journal.intend(Intent(DIP, 3e-9, 4e-9, "dip, gently", own=True), 26.0)
        journal.done(dip, Outcome(26.0, 27.0, 1e-10, 3e-10, 2e-10, TRACE))
        deep = journal.intend(Intent(DIP, 3e-9, 4e-9, "deep", own=True), 27.0)
        journal.refused(deep, "too deep", 27.0)
        journal.intend(Intent(DIP, 3e-9, 4e-9, "lost", own=True), 28.0)
    return journal.path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_tables(run: Path):
    with Journal.open(run) as journal:
        made = tables(journal)
    assert {name: len(next(iter(table.values()))) for name, table in made.items()} == {
        "events": 10,
        "looks": 1,
        "actions": 4,
        "traces": 2,
    }
    actions = made["actions"]
    assert actions["sequence"] == [4, 6, 8, 10]
    assert actions["answer"] == ["outcome", "outcome", "refused", "unknown"]
    assert actions["own"] == [False, True, True, True]
    assert actions["kind"] == ["move_to", *["indentation"] * 3]
    assert actions["finished_s"] == [26.0, 27.0, None, None]
    assert actions["z_jump_nm"] == [None, pytest.approx(0.2), None, None]
    assert actions["z_before_nm"][1] == pytest.approx(0.1)
    assert actions["z_after_nm"][1] == pytest.approx(0.3)
    assert actions["started_s"][:2] == [25.0, 26.0]
    assert actions["x_nm"] == pytest.approx([3.0] * 4)
    assert actions["y_nm"] == pytest.approx([4.0] * 4)
    assert actions["reason"] == ["there", "dip, gently", "deep", "lost"]
    assert json.loads(actions["action"][1]) == DIP.model_dump()
    traces = made["traces"]
    assert traces["action"] == [6, 6]
    assert traces["time_s"] == [0.0, 0.001]
    assert traces["current_pa"] == pytest.approx([1.0, 2000.0])
    assert traces["z_nm"] == pytest.approx([0.0, -1.0])
    looks = {name: column[0] for name, column in made["looks"].items()}
    assert {looks.pop(name) for name in ("quality", "double", "noisy", "changed")} == {0.5}
    for name, value in {"x_nm": 1, "y_nm": 2, "width_nm": 24, "height_nm": 24}.items():
        assert looks[name] == pytest.approx(value)
    assert (looks["sequence"], looks["finished_s"], looks["lines"]) == (3, 24.0, 3)
    assert (looks["angle_deg"], looks["uncertainty"], looks["novelty"]) == (0.0, 0.0, 0.0)
    events = made["events"]
    assert events["intent"] == [None, None, None, None, 4, None, 6, None, 8, None]
    assert events["kind"][:3] == ["started", "look_started", "looked"]
    assert events["instrument_s"][-1] == 28.0
    assert events["written_utc"] == sorted(events["written_utc"])
    assert json.loads(events["payload"][8]) == {"reason": "too deep"}


def test_a_folder_of_csv(tipsmith: Tipsmith, run: Path, tmp_path: Path):  # noqa: F811
    ran = tipsmith("journal", "export", "night", "--to", "out/night")
    assert ran.code == 0
    names = ["actions.csv", "events.csv", "looks.csv", "traces.csv"]
    folder = tmp_path / "out" / "night"
    assert sorted(one.name for one in folder.iterdir()) == names
    assert sorted(Path(line).name for line in ran.out.split()) == names
    assert rows(folder / "actions.csv")[1]["reason"] == "dip, gently"
    assert rows(folder / "traces.csv")[1]["action"] == "6"
    assert [one.name for one in folder.parent.iterdir()] == ["night"]
    for more in ("out/other", "out/deep/er/night"):
        assert tipsmith("journal", "export", "night", "--to", more).code == 0
        assert sorted(one.name for one in (tmp_path / more).iterdir()) == names


def test_a_file_gets_one_table(tipsmith: Tipsmith, run: Path, tmp_path: Path):  # noqa: F811
    ran = tipsmith("journal", "export", str(run), "--to", "dips.CSV", "--table", "actions")
    assert (ran.code, ran.out) == (0, "dips.CSV\n")
    assert len(rows(tmp_path / "dips.CSV")) == 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--to", "runs"], "runs exists already; choose another name"),
        (["--to", "a.csv", "--table", "spectra"], "there is no table 'spectra'; there are events"),
        (["--to", "a", "--journal", "none"], "no run 'night'; expected the folder of a run or"),
        (["--to", 300 * "a"], f"cannot write {300 * 'a'}: File name too long"),
        (["--to", "a", "--format", "xlsx"], "unknown format 'xlsx'; known are csv, parquet"),
    ],
)
def test_what_cannot_be_exported_is_told(
    tipsmith: Tipsmith,  # noqa: F811
    run: Path,
    tmp_path: Path,
    arguments: list[str],
    sentence: str,
):
    ran = tipsmith("journal", "export", "night", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"tipsmith: {sentence}")
    assert [one.name for one in tmp_path.iterdir()] == ["runs"]


def test_parquet_without_pyarrow_is_told(
    tipsmith: Tipsmith,  # noqa: F811
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ran = tipsmith("journal", "export", "night", "--to", "night.parquet")
    assert ran.code == 2
    assert "run 'pip install tipsmith[parquet]', or export to CSV" in ran.err


def test_parquet_holds_the_same(run: Path, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    with Journal.open(run) as journal:
        made = tables(journal)
    written = export(made, tmp_path / "night", "parquet", "events")
    assert sorted(one.name for one in written) == sorted(f"{name}.parquet" for name in made)
    for path in written:
        assert parquet.read_table(path).to_pydict() == dict(made[path.stem])


def test_a_parquet_file_is_what_pyarrow_makes_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made: list[object] = []
    sink = SimpleNamespace(getvalue=lambda: SimpleNamespace(to_pybytes=lambda: b"PAR1"))
    pyarrow = SimpleNamespace(
        BufferOutputStream=lambda: sink,
        table=list,
        parquet=SimpleNamespace(write_table=lambda *given: made.append(given)),
    )
    monkeypatch.setitem(sys.modules, "pyarrow", pyarrow)
    to = tmp_path / "night.parquet"
    assert export({"events": {"a": [1]}, "looks": {"b": [2]}}, to, "csv", "events") == [to]
    assert to.read_bytes() == b"PAR1"
    assert made == [(["a"], sink)]


def test_a_folder_that_cannot_be_written_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot write"):
        export({"events": {"a": [1]}}, tmp_path / "file" / "x" / "y", "csv", "events")

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    to = tmp_path / "out" / "night"
    with pytest.raises(FileError, match=f"cannot write {to}: No space left on device$"):
        export({"events": {"a": [1]}}, tmp_path / "out" / "night", "csv", "events")
    assert list((tmp_path / "out").iterdir()) == []


def test_runs_are_listed(tipsmith: Tipsmith, run: Path):  # noqa: F811
    ran = tipsmith("journal", "list")
    assert ran.code == 0
    line = next(line for line in ran.out.splitlines() if "night" in line)
    for word in ("broken off", "scripted:", "indentation", "10"):
        assert word in line
    for heading in ("run", "standing", "microscope", "started_utc", "entries", "unknown", "reason"):
        assert heading in ran.out
    (entry,) = json.loads(tipsmith("journal", "list", "--journal", "runs", "--json").out)
    assert entry.pop("started_utc").endswith("+00:00")
    assert entry == {
        "run": "night",
        "standing": "broken off",
        "microscope": "scripted:",
        "entries": 10,
        "unknown": "indentation",
        "reason": "",
    }
    assert json.loads(tipsmith("journal", "list", "--journal", "none", "--json").out) == []


def test_what_is_not_known_of_a_run_is_left_empty(
    tipsmith: Tipsmith,  # noqa: F811
    tmp_path: Path,
):
    with Journal.create(tmp_path / "runs", {}, "night"):
        pass
    ran = tipsmith("journal", "list")
    line = next(line for line in ran.out.splitlines() if "night" in line)
    assert [cell.strip() for cell in line.split("│")[1:-1]] == [
        *("night", "broken off", "", "", "0", "", "")
    ]


def test_without_a_question_the_journal_says_what_can_be_asked(tipsmith: Tipsmith):  # noqa: F811
    ran = tipsmith("journal")
    assert "List and export journals of runs." in ran.out
    assert "Usage" in ran.out


def test_a_column_that_is_too_short_is_not_written(tmp_path: Path):
    with pytest.raises(ValueError, match="shorter"):
        export({"events": {"a": [1, 2], "b": [1]}}, tmp_path / "night.csv", "csv", "events")
    assert list(tmp_path.iterdir()) == []
