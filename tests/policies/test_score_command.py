"""``tipsmith score``: the shipped scorer on real and damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from drivers import Frame, Scan
from drivers.formats import write_sxm
from policies.cli import score

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "real_scans" / "files"
FRAME = Frame(x_m=0.0, y_m=0.0, width_m=24e-9, height_m=24e-9)


@pytest.fixture
def run():
    application = typer.Typer()
    application.command()(score)
    return lambda *arguments: CliRunner().invoke(application, [str(one) for one in arguments])


@pytest.fixture
def scan_file(tmp_path: Path) -> Path:
    z = np.random.default_rng(0).normal(0, 20e-12, (32, 64)).cumsum(axis=1)
    path = tmp_path / "scan.sxm"
    write_sxm(path, Scan(forward=z.astype(np.float32), frame=FRAME))
    return path


def test_one_object_for_machines(run, scan_file: Path) -> None:
    result = run(scan_file, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["failures"] == []
    (row,) = found["scans"]
    assert row["lines"] == row["lines_expected"] == 32
    assert row["width_nm"] == pytest.approx(24)
    assert all(0 <= value <= 1 for value in [row["quality"], *row["states"].values()])


def test_a_folder_stands_for_its_scans_and_a_picture_is_drawn(run, scan_file: Path) -> None:
    result = run(scan_file.parent, "--png")
    assert result.exit_code == 0
    picture = scan_file.with_name("scan.sxm.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in scan_file.parent.iterdir()) == ["scan.sxm", picture.name]


def test_a_damaged_file_does_not_hide_the_good_ones(run, scan_file: Path) -> None:
    broken = scan_file.with_name("broken.sxm")
    broken.write_bytes(scan_file.read_bytes()[:-100])
    result = run(broken, scan_file, "--json")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert len(found["scans"]) == 1
    assert "broken.sxm" in found["failures"][0]
    assert result.stderr.count("\n") == 1


def test_a_scan_without_relief_is_no_crash(run, tmp_path: Path) -> None:
    path = tmp_path / "flat.sxm"
    write_sxm(path, Scan(forward=np.ones((16, 16), np.float32), frame=FRAME))
    result = run(path, "--json")
    assert result.exit_code == 0
    (scan,) = json.loads(result.stdout)["scans"]
    assert "no relief" in scan["not_assessable"]
    assert set(scan["states"].values()) == {0.5}
    assert "cannot be judged: it holds no relief" in " ".join(run(path).stdout.split())


def test_a_picture_that_cannot_be_written_leaves_nothing(run, scan_file: Path) -> None:
    scan_file.with_name("scan.sxm.png").mkdir()
    result = run(scan_file, "--png")
    assert result.exit_code == 2
    assert "cannot write" in result.stderr
    assert len(list(scan_file.parent.iterdir())) == 2


@pytest.mark.parametrize("name", ["Au_mica_2023_Y_A_diPAMY_195", "Topo101", "example_TOPO"])
def test_real_files_get_sensible_numbers(run, name: str) -> None:
    path = REAL / f"{name}.sxm"
    if not path.exists():
        pytest.skip(f"no real scans at {REAL}")
    result = run(path, "--json")
    assert result.exit_code == 0
    (row,) = json.loads(result.stdout)["scans"]
    assert row["lines"] == 256
    assert 0 < row["quality"] < 1
    # None of the three flickers: quiet, whole scans of a stable tip.
    assert row["states"]["unstable"] < 0.5
