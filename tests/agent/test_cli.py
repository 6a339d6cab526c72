"""The command line: what it prints where, and with which code it leaves."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from agent.journal import Journal
from agent.main import main
from agent.result import RepairResult
from policies.scorer import Scorer
from tests.agent.scripted import LEFT, ScriptedScorer

LOAD_CONFIG = "agent.config.load_config"
PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
DECLARED = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"]
OURS = {
    "tipsmith.commands": {
        name: value
        for name, value in DECLARED["tipsmith.commands"].items()
        if value.startswith("agent.")
    },
    "tipsmith.microscopes": {"scripted": "tests.agent.scripted:open_scripted"},
    "tipsmith.benches": {"toy": "tests.agent.test_cli:toy_bench"},
}


@dataclass
class Ran:
    code: int
    out: str
    err: str


Tipsmith = Callable[..., Ran]


def toy_bench(options: object) -> object:
    """Measures nothing.

    And says so.
    """
    from drivers.benchmark import Report, judged

    options.progress(0.5, "half")
    rows = [judged("speed", 2.0 if options.quick else 1.0, "m/s", ">= 2")]
    return Report("toy", rows)


def points(group: str) -> list[EntryPoint]:
    return [EntryPoint(name, value, group) for name, value in OURS[group].items()]


@pytest.fixture
def tipsmith(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Tipsmith:
    """Run the command line in an empty folder."""
    for module in ("agent.root", "drivers.registry", "drivers.benchmark"):
        monkeypatch.setattr(f"{module}.entry_points", points)
    monkeypatch.setattr(Scorer, "load", ScriptedScorer)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        captured = capsys.readouterr()
        code = caught.value.code
        return Ran(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


def repair(tipsmith: Tipsmith, which: str, *more: str) -> Ran:
    return tipsmith("repair", "--microscope", f"scripted:{which}", *more)


def test_help_lists_every_command(tipsmith: Tipsmith):
    ran = tipsmith("--help")
    assert ran.code == 0
    for name, text in {
        "repair": "Bring the tip",
        "config": "Check or show",
        "bench": "Run a",
    }.items():
        assert any(name in line and text in line for line in ran.out.splitlines())


def test_version(tipsmith: Tipsmith):
    ran = tipsmith("--version")
    assert (ran.code, ran.out.split()[0]) == (0, "tipsmith")


@pytest.mark.parametrize(
    "arguments", [["mend"], ["repair", "--colour"], ["repair", "--max-actions", "-1"]]
)
def test_usage_errors_leave_with_2(tipsmith: Tipsmith, arguments: list[str]):
    ran = tipsmith(*arguments)
    assert ran.code == 2
    assert ran.out == ""


def test_a_negative_seed_leaves_with_2(tipsmith: Tipsmith):
    ran = repair(tipsmith, "good", "--seed", "-1")
    assert (ran.code, ran.out) == (2, "")
    assert "--seed" in ran.err


def test_only_the_named_command_is_loaded(tipsmith: Tipsmith, monkeypatch: pytest.MonkeyPatch):
    loaded: list[str] = []
    load = EntryPoint.load

    def noting(point: EntryPoint) -> object:
        loaded.append(point.name)
        return load(point)

    monkeypatch.setattr(EntryPoint, "load", noting)
    tipsmith("config", "show")
    assert loaded == ["config"]


def test_commands_load_nothing_heavy():
    modules = {value.partition(":")[0] for value in DECLARED["tipsmith.commands"].values()}
    program = f"import sys, agent.main, {', '.join(modules)}; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, cwd=PYPROJECT.parent
    )
    assert done.stdout.strip() == b"False"


def test_repair_with_json_prints_one_object(tipsmith: Tipsmith):
    ran = repair(tipsmith, "good", "--json")
    assert ran.code == 0
    assert ran.out.count("\n") == 1
    result = json.loads(ran.out)
    assert (result["outcome"], result["confirmed_on"], result["actions"]) == ("good", 5, 1)
    assert result["true_state"] == {"good": True}
    assert Path(result["journal"]).is_file()


def test_repair_shows_every_step_and_a_table(tipsmith: Tipsmith):
    ran = repair(tipsmith, "good")
    assert ran.code == 0
    assert ran.err.count("look ") == 6
    assert ran.err.count("indentation") + ran.err.count("pulse") == 1
    assert "z jump +50 pm" in ran.err
    assert "quality 0.10" in ran.err
    assert "outcome" in ran.out
    assert "good" in ran.out


def test_quiet_repair_says_nothing_on_the_way(tipsmith: Tipsmith):
    assert repair(tipsmith, "good", "--quiet").err == ""


def test_giving_up_leaves_with_1(tipsmith: Tipsmith):
    ran = repair(tipsmith, "bad", "--json", "--max-actions", "1")
    assert ran.code == 1
    assert json.loads(ran.out)["actions"] == 1


def test_a_dying_instrument_leaves_with_3_and_still_tells(tipsmith: Tipsmith):
    ran = repair(tipsmith, "dies", "--json", "--quiet")
    assert ran.code == 3
    assert json.loads(ran.out)["outcome"] == "stopped"
    assert ran.err == "tipsmith: the link broke\n"


def test_an_instrument_that_is_not_there_leaves_with_3(tipsmith: Tipsmith):
    ran = repair(tipsmith, "nowhere")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "tipsmith: nobody answers at scripted:nowhere\n"


def unbegun(ran: Ran) -> str:
    """Why a repair that was asked for JSON did not come to its first entry."""
    assert ran.out.count("\n") == 1
    result = json.loads(ran.out)
    assert result.keys() == asdict(RepairResult.unbegun("", 0)).keys()
    assert (result.pop("outcome"), result.pop("exit_code")) == ("stopped", ran.code)
    reason = result.pop("reason")
    assert not any(result.values())
    return str(reason)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--microscope", "scripted:nowhere"], 3),
        (["--microscope", "scripted:scanner"], 3),
        (["--microscope", "rhk://host"], 2),
        (["--journal", "file"], 2),
        (["--config", "none.toml"], 2),
        (["--supervised", "--unattended"], 2),
    ],
)
def test_a_repair_that_cannot_begin_is_one_object_and_one_sentence(
    tipsmith: Tipsmith, tmp_path: Path, arguments: list[str], code: int
):
    (tmp_path / "file").write_text("")
    ran = tipsmith("repair", "--json", "--quiet", "--microscope", "scripted:good", *arguments)
    assert ran.code == code
    assert ran.err == f"tipsmith: {unbegun(ran)}\n"


@pytest.mark.parametrize("where", [LOAD_CONFIG, "agent.session.run_repair"])
def test_an_interruption_before_the_first_entry_is_one_object(
    tipsmith: Tipsmith, monkeypatch: pytest.MonkeyPatch, where: str
):
    def interrupted(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupted)
    ran = repair(tipsmith, "good", "--json")
    assert (ran.code, unbegun(ran)) == (130, "interrupted")


def test_a_fault_before_the_first_entry_is_one_object_and_a_traceback(
    tipsmith: Tipsmith, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Scorer, "load", broken)
    with pytest.raises(ZeroDivisionError):
        main(["repair", "--json"])
    ran = Ran(1, *capsys.readouterr())
    assert unbegun(ran) == "a fault of the program (ZeroDivisionError); see standard error"


def test_interruption_leaves_with_130_and_still_tells(tipsmith: Tipsmith):
    ran = repair(tipsmith, "interrupted", "--json")
    assert ran.code == 130
    result = json.loads(ran.out)
    assert (result["outcome"], result["reason"]) == ("stopped", "interrupted")
    assert result["exit_code"] == 130
    assert result["warning"] == f"the instrument was not left in order: {LEFT}"
    assert f"tipsmith: {result['warning']}\n" in ran.err


def test_what_the_instrument_was_left_with_is_told(tipsmith: Tipsmith):
    ran = repair(tipsmith, "left", "--quiet")
    assert ran.code == 0
    assert ran.err == f"tipsmith: the instrument was not left in order: {LEFT}\n"
    assert str(LEFT) in ran.out
    assert json.loads(repair(tipsmith, "good", "--json").out)["warning"] is None


def test_an_instrument_that_cannot_act_leaves_with_3(tipsmith: Tipsmith, tmp_path: Path):
    ran = repair(tipsmith, "scanner")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("tipsmith: scripted lacks what a repair needs: indent, pulse;")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ([], "supervised mode asks in the terminal, and standard input or standard error is none"),
        (["--unattended"], "supervised and unattended exclude each other"),
    ],
)
def test_supervised_mode_is_refused_where_nobody_can_be_asked(
    tipsmith: Tipsmith, tmp_path: Path, more: list[str], sentence: str
):
    ran = repair(tipsmith, "bad", "--supervised", "--quiet", *more)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"tipsmith: {sentence}")
    assert not (tmp_path / "runs").exists()


def test_an_unknown_microscope_leaves_with_2(tipsmith: Tipsmith):
    ran = tipsmith("repair", "--microscope", "rhk://host")
    assert ran.code == 2
    assert ran.err.startswith("tipsmith: no driver for 'rhk'")


def test_runs_go_where_they_are_told(tipsmith: Tipsmith, tmp_path: Path):
    ran = repair(tipsmith, "good", "--json", "--journal", "nights", "--seed", "7")
    path = Path(json.loads(ran.out)["journal"])
    assert path.parts[0] == "nights"
    with Journal.open(path) as journal:
        about = journal.about()
    assert (about["seed"], about["microscope"]) == (7, "scripted:good")
    assert set(about["versions"]) == {"tipsmith", "python", "numpy", "scipy", "torch"}
    assert not (tmp_path / "runs").exists()


def test_a_bad_configuration_leaves_with_2(tipsmith: Tipsmith, tmp_path: Path):
    (tmp_path / "tipsmith.toml").write_text("[repair]\nframe_mm = 2\n")
    for arguments in (["repair"], ["config", "check"], ["config", "show"]):
        ran = tipsmith(*arguments)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("tipsmith: tipsmith.toml: [repair] has no key 'frame_mm'")


def test_config_check_and_show(tipsmith: Tipsmith, tmp_path: Path):
    (tmp_path / "other.toml").write_text("[limits]\nmax_pulse_v = 6\n")
    assert tipsmith("config", "check", "other.toml").out == "other.toml is fine\n"
    ran = tipsmith("config", "show", "--config", "other.toml")
    assert tomllib.loads(ran.out)["limits"]["max_pulse_v"] == 6


def test_config_check_wants_a_file(tipsmith: Tipsmith):
    assert tipsmith("config", "check").code == 2


def test_a_broken_installation_is_one_sentence(tipsmith: Tipsmith, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agent.installation.find_trouble", lambda: "somebody else's package")
    ran = tipsmith("--help")
    assert (ran.code, ran.err) == (2, "tipsmith: somebody else's package\n")


def test_an_interruption_while_a_command_is_loaded_is_one_line(
    tipsmith: Tipsmith, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(point: EntryPoint) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(EntryPoint, "load", interrupted)
    ran = tipsmith("config", "show")
    assert (ran.code, ran.out, ran.err) == (130, "", "tipsmith: interrupted\n")


def test_nothing_but_the_standard_library_loads_before_interruptions_are_answered():
    program = "import sys, agent.main; print({'typer', 'pydantic'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, cwd=PYPROJECT.parent
    )
    assert done.stdout.strip() == b"set()"


def test_output_that_cannot_be_encoded_ends_no_command(tmp_path: Path):
    with Journal.create(tmp_path / "runs", {}, "n\u00e4chte\u2026"):
        pass
    program = "from agent.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "journal", "list"],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "COLUMNS": "200",
            "PYTHONIOENCODING": "ascii",
            "PYTHONPATH": str(PYPROJECT.parent),
        },
    )
    assert rb"n\xe4chte\u2026" in done.stdout


def test_output_is_encoded_as_was_asked_for(monkeypatch: pytest.MonkeyPatch, tipsmith: Tipsmith):
    output = io.TextIOWrapper(io.BytesIO(), "ascii", errors="replace")
    monkeypatch.setattr(sys, "stdout", output)
    tipsmith("--version")
    assert output.errors == "replace"


def test_unexpected_errors_keep_their_traceback(
    tipsmith: Tipsmith, monkeypatch: pytest.MonkeyPatch
):
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Scorer, "load", broken)
    with pytest.raises(ZeroDivisionError):
        main(["repair"])


def test_benches_are_listed(tipsmith: Tipsmith):
    ran = tipsmith("bench")
    assert ran.out.split(maxsplit=1) == ["toy", "Measures nothing.\n"]
    assert json.loads(tipsmith("bench", "--json").out) == {"benches": {"toy": "Measures nothing."}}


def test_a_bench_as_table_and_as_json(tipsmith: Tipsmith):
    assert "NO" in tipsmith("bench", "toy").out
    row = json.loads(tipsmith("bench", "toy", "--quick", "--json").out)["rows"][0]
    assert (row["value"], row["holds"]) == (2.0, True)


def test_an_unknown_bench_leaves_with_2(tipsmith: Tipsmith):
    ran = tipsmith("bench", "weather")
    assert (ran.code, ran.err) == (2, "tipsmith: no benchmark is called 'weather'; known are toy\n")
