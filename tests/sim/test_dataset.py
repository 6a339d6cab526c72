"""Data sets: what is written, what is true, and that neither kills nor workers change it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from filelock import FileLock
from PIL import Image
from typer.testing import CliRunner

import sim.dataset.example
from drivers.errors import ConfigError, FileError
from drivers.formats import read_gsf, read_scan
from drivers.sample_map import level
from sim.cli import simulate
from sim.dataset import run
from sim.dataset.example import describe, make_example
from sim.dataset.kinds import TipKind, draw_kind
from sim.dataset.run import make_dataset
from sim.dataset.settings import DatasetSettings
from sim.presets.preset import load_preset
from sim.tips.tip import Apex, Termination, Tip

SMALL = DatasetSettings("au111", TipKind.ANY, seed=3, pixels=16, size_nm=8.0)
#: Ended from outside, it leaves whatever it was doing.
PROGRAM = """
import sys
from pathlib import Path
from sim.dataset.kinds import TipKind
from sim.dataset.run import make_dataset
from sim.dataset.settings import DatasetSettings
if __name__ == "__main__":
    settings = DatasetSettings("au111", TipKind.ANY, seed=3, pixels=16, size_nm=8.0)
    make_dataset(settings, 5000, Path(sys.argv[1]), workers=2)
"""


def labels(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]


def content(folder: Path) -> dict[str, bytes]:
    """Scans and labels."""
    kinds = (".sxm", ".gsf", ".png", ".jsonl")
    names = [path for path in sorted(folder.rglob("*")) if path.suffix in kinds]
    return {str(path.relative_to(folder)): path.read_bytes() for path in names}


def test_every_scan_comes_in_every_format_with_the_truth_beside_it(tmp_path: Path):
    assert make_dataset(SMALL, 3, tmp_path) == 3
    for index, label in enumerate(labels(tmp_path)):
        stem = tmp_path / label["files"]
        scan = read_scan(stem.with_suffix(".sxm"))
        assert scan.backward is not None
        np.testing.assert_array_equal(read_gsf(stem.with_suffix(".gsf")).forward, scan.forward)
        backward = read_gsf(stem.with_name(f"{stem.name}_backward.gsf")).forward
        np.testing.assert_array_equal(backward, scan.backward)
        with Image.open(stem.with_suffix(".png")) as picture:
            assert picture.width > 2 * picture.height > 0
        assert scan.comment.startswith("simulated")
        assert label["index"] == index
        assert label["good"] is (not any(label["states"].values()))
        assert scan.frame is not None
        assert label["frame"]["x_nm"] == pytest.approx(scan.frame.x_m * 1e9)
    about = json.loads((tmp_path / "dataset.json").read_text())
    assert about["simulated"] is True
    assert about["preset"] == load_preset("au111").hash


TROUBLES = [kind for kind in TipKind if kind not in (TipKind.ANY, TipKind.CO, TipKind.MOLECULE)]


@pytest.mark.parametrize("kind", TROUBLES)
def test_a_kind_has_its_own_trouble_and_no_other(kind: TipKind):
    preset, rng = load_preset("au111"), np.random.default_rng(0)
    for tip in (draw_kind(rng, preset, kind) for _ in range(40)):
        found = {
            TipKind.BLUNT: tip.radius_nm >= preset.good.max_radius_nm,
            TipKind.DOUBLE: tip.gap_nm <= preset.good.min_gap_nm,
            TipKind.UNSTABLE: not tip.stable,
            TipKind.CONTAMINATED: not tip.clean,
            TipKind.GOOD: tip.is_good(preset.good),
        }
        assert [name for name, true in found.items() if true] == [kind]


@pytest.mark.parametrize(
    ("surface", "kind", "ends_in"),
    [
        ("cu111", TipKind.CO, Termination.CO),
        ("au111-w", TipKind.MOLECULE, Termination.MOLECULE),
    ],
)
def test_tips_that_end_in_a_molecule_are_good_metal_behind_it(
    surface: str, kind: TipKind, ends_in: Termination
):
    preset, rng = load_preset(surface), np.random.default_rng(0)
    tips = [draw_kind(rng, preset, kind) for _ in range(40)]
    for tip in tips:
        assert (tip.termination, tip.is_good(preset.good)) == (ends_in, False)
        assert replace(tip, termination=Termination.CLEAN, stable=True).is_good(preset.good)
        label = describe(tip, tip, preset.good)
        assert label["tip"]["adsorbate"]["radius_nm"] == tip.imaging_radius_nm
        assert label["states"]["contaminated"] is True
    assert all(tip.stable for tip in tips) is (kind is TipKind.CO)


def test_a_co_tip_shows_molecules_as_mounds():
    settings = {
        kind: DatasetSettings("cu111", kind, seed=5, pixels=64)
        for kind in (TipKind.CO, TipKind.GOOD)
    }
    skew = {}
    for kind, one in settings.items():
        z = level(make_example(one, 0).scan.forward)
        skew[kind] = float(np.mean((z - np.median(z)) ** 3))
    assert skew[TipKind.CO] > 0 > skew[TipKind.GOOD]


@pytest.mark.parametrize(
    ("surface", "kind", "says"),
    [
        ("au111", TipKind.CO, "tip co needs .* carbon_monoxide, such as cu111; au111 has none"),
        ("cu111", TipKind.MOLECULE, "molecule needs .* large_molecule, such as au111-w; cu111 has"),
    ],
)
def test_a_tip_that_the_preset_knows_nothing_of_is_refused(surface: str, kind: TipKind, says: str):
    with pytest.raises(ConfigError, match=says):
        DatasetSettings(surface, kind)
    with pytest.raises(ConfigError, match=says):
        draw_kind(np.random.default_rng(0), load_preset(surface), kind)


def test_a_seed_has_other_places_worlds_and_tips_on_another_surface():
    def seen(surface: str) -> tuple[object, ...]:
        label = make_example(replace(SMALL, surface=surface), 0).label
        return label["world_seed"], label["frame"]["x_nm"], label["tip"]["radius_nm"]

    gold, silver, tungsten = map(seen, ("au111", "ag111", "au111-w"))
    assert all(len({a, b, c}) == 3 for a, b, c in zip(gold, silver, tungsten, strict=True))
    assert seen("au111") == gold


def test_fields_of_labels_are_explained():
    label = make_example(replace(SMALL, surface="au111-w", tip=TipKind.MOLECULE), 0).label
    explained = sim.dataset.example.__doc__
    parts = [label, label["tip"], label["tip"]["adsorbate"], label["states"]]
    for name in {name for part in parts for name in part}:
        assert f"``{name}``" in explained


def test_any_draws_tips_of_every_sort():
    preset, rng = load_preset("au111"), np.random.default_rng(0)
    tips = [draw_kind(rng, preset, TipKind.ANY) for _ in range(200)]
    assert {tip.clean for tip in tips} == {tip.stable for tip in tips} == {True, False}


def test_a_tip_that_changes_on_the_way_is_told():
    good = load_preset("au111").good
    before = Tip(1.0)
    after = Tip(1.0, (Apex(1.0, 0.0, 0.05),))
    still, changed = describe(before, before, good), describe(before, after, good)
    assert (still["good"], still["tip_after"]) == (True, None)
    assert changed["good"] is False
    assert changed["states"] == {
        "blunt": False, "double": True, "unstable": False, "contaminated": False, "changed": True,
    }  # fmt: skip
    assert changed["tip_after"] != changed["tip"]


@pytest.mark.timeout(180)  # it starts processes
def test_workers_and_order_change_nothing(tmp_path: Path):
    make_dataset(SMALL, 40, tmp_path / "one", workers=1)
    make_dataset(SMALL, 40, tmp_path / "two", workers=2)
    make_dataset(SMALL, 10, tmp_path / "grown")
    assert make_dataset(SMALL, 40, tmp_path / "grown") == 30
    expected = content(tmp_path / "one")
    assert len(expected) == 40 * 4 + 1
    assert content(tmp_path / "two") == content(tmp_path / "grown") == expected


def test_what_is_finished_is_left_alone_and_what_is_missing_is_made(tmp_path: Path):
    make_dataset(SMALL, 6, tmp_path)
    expected = content(tmp_path)
    (tmp_path / "000" / "000002.png").unlink()
    stale = tmp_path / "000" / ".000004.sxm.1234"
    stale.write_bytes(b"half")
    kept = (tmp_path / "000" / "000001.gsf").stat().st_mtime_ns
    assert make_dataset(SMALL, 6, tmp_path) == 1
    assert content(tmp_path) == expected
    assert not stale.exists()
    assert (tmp_path / "000" / "000001.gsf").stat().st_mtime_ns == kept


def test_a_broken_line_of_labels_is_made_again(tmp_path: Path):
    make_dataset(SMALL, 4, tmp_path)
    expected = content(tmp_path)
    lines = (tmp_path / "labels.jsonl").read_text().splitlines()
    (tmp_path / "labels.jsonl").unlink()
    (tmp_path / ".labels.part").write_text("\n".join([*lines[:2], lines[2][:50]]))
    assert make_dataset(SMALL, 4, tmp_path) == 2
    assert content(tmp_path) == expected
    assert not (tmp_path / ".labels.part").exists()


def test_an_error_midway_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "CHUNK", 2)
    real, calls = run.write_sxm, []

    def full(path, scan):
        calls.append(path)
        if len(calls) == 6:
            raise FileError("disk full")
        real(path, scan)

    monkeypatch.setattr(run, "write_sxm", full)
    with pytest.raises(FileError, match="disk full"):
        make_dataset(SMALL, 8, tmp_path)
    assert [label["index"] for label in labels(tmp_path)] == [0, 1, 2, 3]
    monkeypatch.setattr(run, "write_sxm", real)
    assert make_dataset(SMALL, 8, tmp_path) == 4


def test_an_interrupted_command_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    arguments = ["--surface", "au111", "--count", "8", "--pixels", "16", "--size-nm", "8",
                 "--seed", "3", "--workers", "1", "--quiet", "--out"]  # fmt: skip
    assert call(*arguments, str(tmp_path / "whole")).exit_code == 0
    out = tmp_path / "broken"
    real, calls = run.write_sxm, []

    def interrupted(path, scan):
        calls.append(path)
        if len(calls) == 6:
            raise KeyboardInterrupt
        real(path, scan)

    monkeypatch.setattr(run, "CHUNK", 2)
    monkeypatch.setattr(run, "write_sxm", interrupted)
    result = call(*arguments, str(out))
    assert result.exit_code == 130
    assert result.output == f"interrupted; the same command goes on with what {out} holds\n"
    assert len(labels(out)) == 4
    assert "4 simulated scans written" in call(*arguments, str(out)).stdout
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.skipif(os.name != "posix", reason="only there Ctrl-C goes to a group of processes")
@pytest.mark.timeout(180)
def test_workers_say_nothing_when_they_are_interrupted_on_the_way_up(tmp_path: Path):
    program, out = tmp_path / "program.py", tmp_path / "set"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(program), str(out)], start_new_session=True, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and not (out / ".lock").exists():
            time.sleep(0.02)
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=90)
    assert said.count(b"Traceback") == 1  # that of the program itself
    assert b"spawn_main" not in said


@pytest.mark.skipif(os.name != "posix", reason="only there a process can be killed outright")
@pytest.mark.timeout(180)
def test_a_kill_leaves_no_half_written_file_and_no_orphan(tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    out = tmp_path / "set"
    process = subprocess.Popen([sys.executable, str(program), str(out)])
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not (out / ".labels.part").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("0*.sxm")}
    assert before
    # Workers notice within a moment; then nothing changes any more.
    count, settled = -1, False
    while time.monotonic() < deadline and not settled:
        found = len(list(out.rglob("0*")))
        settled, count = found == count, found
        time.sleep(0.5)
    assert settled
    for path in out.rglob("0*.*"):
        if path.suffix in (".sxm", ".gsf"):
            assert np.isfinite(read_scan(path).forward).all()
    wanted = len(before)
    assert make_dataset(SMALL, wanted, out) < wanted
    assert [label["index"] for label in labels(out)][:wanted] == list(range(wanted))


def test_a_folder_is_for_one_run_at_a_time(tmp_path: Path):
    with FileLock(tmp_path / ".lock"), pytest.raises(FileError, match="another run"):
        make_dataset(SMALL, 1, tmp_path)


def test_a_folder_of_other_settings_is_refused(tmp_path: Path):
    make_dataset(SMALL, 1, tmp_path)
    other = DatasetSettings("au111", TipKind.ANY, seed=4, pixels=16, size_nm=8.0)
    with pytest.raises(ConfigError, match=r"seed 3, not 4.*--out"):
        make_dataset(other, 1, tmp_path)


def test_the_preset_s_own_point_is_used_unless_another_is_given():
    control = load_preset("au111").controller
    assert SMALL.point == (control.bias_v, control.setpoint_pa)
    other = DatasetSettings("au111", TipKind.GOOD, bias_v=-1.0, setpoint_pa=20.0)
    at = other.scan(0.0, 0.0).at
    assert (at.bias_v, at.setpoint_a) == (-1.0, pytest.approx(20e-12))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--surface mars", "mars"),
        ("--size-nm 900", "size_nm"),
        ("--size-nm nan", "size_nm"),
        ("--size-nm -1", "size_nm"),
        ("--setpoint-pa -5", "setpoint_pa"),
        ("--setpoint-pa 99999", "setpoint_pa"),
        ("--bias-v 0", "bias_v"),
        ("--bias-v inf", "bias_v"),
        ("--pixels 100", "pixels"),
        ("--line-s 0", "line_s"),
        ("--seed -1", "seed"),
        ("--count 0", "count"),
        ("--workers 0", "workers"),
        ("--tip nice", "tip"),
        ("--format bmp", "format"),
    ],
)
def test_bad_input_is_named_in_one_sentence_and_nothing_is_written(
    tmp_path: Path, arguments: str, named: str
):
    out = tmp_path / "set"
    result = call(*(["--surface", "au111"] if "--surface" not in arguments else []),
                  *arguments.split(), "--out", str(out))  # fmt: skip
    assert isinstance(result.exception, ConfigError)
    assert result.exception.exit_code == 2
    assert named in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not out.exists()


def test_the_command_says_what_it_did(tmp_path: Path):
    arguments = ["--surface", "au111", "--tip", "double", "--count", "2", "--pixels", "16",
                 "--format", "gsf", "--quiet", "--out", str(tmp_path)]  # fmt: skip
    result = call(*arguments)
    assert result.exit_code == 0
    assert "2 simulated scans written" in result.stdout
    assert not list(tmp_path.rglob("*.sxm"))
    assert "0 simulated scans written" in call(*arguments).stdout


def call(*arguments: str):
    application = typer.Typer()
    application.command()(simulate)
    return CliRunner().invoke(application, list(arguments))
