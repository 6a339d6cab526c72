"""The benchmark of the scorer: each part on scans whose answer is known."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivers.benchmark import BenchOptions
from drivers.errors import ConfigError, FileError
from policies.adaptation import validation
from policies.bench import groups, hsi, real_rows, scorer, simulated, surfaces
from policies.bench.boosting import boosted
from policies.bench.figures import Question, calibration_error
from policies.report import ImageState
from policies.scorer import Scorer
from policies.scorer.outputs import MEASURES, OUTPUTS
from policies.training import scans
from policies.training.scans import Examples
from sim.benches.realism.classifier import auc
from sim.benches.realism.real import CLASSES, Tile, Voted, hsi_votes, tiles
from tests.policies.untaught import picture, untaught_scorer, write_table

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The layout of the real sets, with pictures that are noisy or not."""
    own, others = tmp_path / "hsi100", tmp_path / "real_scans"
    own.mkdir()
    others.mkdir()
    rng, rows = np.random.default_rng(0), []
    with zipfile.ZipFile(own / "images.zip", "w") as images:
        for number in range(60):
            bad = number % 2 == 0
            content = BytesIO()
            Image.fromarray(picture(number, noisy=bad)).save(content, "WEBP", quality=95)
            images.writestr(f"{number}.webp", content.getvalue())
            seen = {name: float(rng.uniform() < 0.5) for name in CLASSES}
            seen |= dict.fromkeys(("blurry", "tip_change"), float(bad))
            seen |= dict.fromkeys(("atoms", "dimers"), float(not bad)) | {"asymmetric": 0.0}
            if number % 5 == 0:
                seen["asymmetric"] = 1.0
            rows.append({"image": f"{number}.webp", "raters": 2, **seen, "session": number // 10,
                         "run": 1, "repeat": number, "width": 64, "height": 48})  # fmt: skip
    write_table(own / "labels.csv", rows)
    arrays, rows = {}, []
    for number, label in enumerate(["good", "good", "noisy"]):
        z = picture(number, noisy=label == "noisy") / 255
        arrays[f"{number}_forward"] = z.astype(np.float16)
        rows.append({"key": number, "label": label, "surface": "x", "scale": 1e-10,
                     "size_nm": "10x8", "file": "a/b"})  # fmt: skip
    np.savez(others / "tiles.npz", **arrays)
    write_table(others / "labels.csv", rows)
    return tmp_path


@pytest.mark.timeout(300)  # it teaches for every fold of sessions
def test_all_rows_come_with_targets_and_pictures(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = untaught_scorer(tmp_path)
    monkeypatch.setattr(Scorer, "load", lambda: own)
    monkeypatch.setattr(simulated, "rows", lambda *_: [])
    monkeypatch.setattr(scorer, "QUICK", scorer._Amount(pictures=None, chunks=1, timed=1))
    monkeypatch.setattr(hsi, "FEW_LABELS", 24)
    monkeypatch.setattr(hsi, "FEW_DRAWS", 1)
    monkeypatch.setattr(validation, "MOST_EPOCHS", 10)
    shares = []
    options = BenchOptions(
        quick=True, data=folder, plot=tmp_path / "plot",
        progress=lambda share, _: shares.append(share),
    )  # fmt: skip
    rows = {row.name: row for row in scorer.run(options).rows}
    for name in real_rows.TARGETS:
        title = f"{name}, unanimous" if name == real_rows.GOOD else name
        adapted = rows[f"H:Si(100), adapted on other sessions: AUC, {title}"]
        assert adapted.value is not None
        assert adapted.value > 0.9
        assert adapted.target == real_rows.TARGETS[name]
        assert "95 %" in adapted.note
        assert f"H:Si(100), hand-made features, boosted trees: AUC, {title}" in rows
        assert f"H:Si(100), first 12 % of the lines alone: loss of AUC, {title}" in rows
    assert sum("speed" in name for name in rows) == 2
    assert sum("other surfaces" in name for name in rows) == 2
    assert rows["H:Si(100), raters' own ceiling: AUC, blurry"].value == 1
    agreed = rows["H:Si(100), adapted on other sessions: AUC, blurry where raters agree"]
    assert agreed.value == rows["H:Si(100), adapted on other sessions: AUC, blurry"].value
    assert (tmp_path / "plot" / "scorer_failures_real.png").read_bytes().startswith(b"\x89PNG")
    assert shares == sorted(shares)


def test_a_missing_set_is_left_out_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = untaught_scorer(tmp_path)
    monkeypatch.setattr(Scorer, "load", lambda: own)
    monkeypatch.setattr(simulated, "rows", lambda *_: [])
    monkeypatch.setattr(scorer, "QUICK", scorer._Amount(pictures=None, chunks=1, timed=1))
    rows = scorer.run(BenchOptions(quick=True, data=tmp_path)).rows
    assert [row.note.startswith("left out: ") for row in rows] == [True, True, False, False]


def test_the_bench_wants_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--data"):
        scorer.run(BenchOptions())
    with pytest.raises(FileError, match="not a folder"):
        scorer.run(BenchOptions(data=tmp_path / "none"))


@pytest.mark.timeout(300)  # it starts processes that import torch
def test_simulated_rows_of_a_scorer_that_knows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "CHUNK", 150)
    rows = {row.name: row for row in simulated.rows(untaught_scorer(tmp_path), 1, tmp_path)}
    macro = rows["simulated, macro AUC over states"]
    assert macro.value is not None
    assert 0.2 < macro.value < 0.8
    assert macro.holds is False
    assert rows["simulated, false alarms"].value is not None
    sheet = tmp_path / "scorer_failures_simulated.png"
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_groups_tell_where_the_scorer_errs() -> None:
    rng, count = np.random.default_rng(0), 200
    labels = rng.integers(0, 2, (count, OUTPUTS + MEASURES)).astype(np.float32)
    labels[:, OUTPUTS - len(ImageState) : OUTPUTS] = 0
    protrusions = np.where(np.arange(count) % 2, 6, 0)
    examples = Examples(
        pictures=np.zeros((count, 0), np.float16),
        protrusions=np.zeros((count, 0), np.float16),
        numbers=np.log1p(np.stack([protrusions] * 5, axis=1)).astype(np.float32),
        labels=labels,
        rows=np.zeros((count, 0), np.float16),
        row_numbers=np.zeros((count, 0), np.float32),
        row_labels=np.zeros((count, groups.WHOLE_ROWS, OUTPUTS), np.float16),
        surfaces=np.full(count, groups.GOLD),
    )
    found = labels[:, :OUTPUTS].copy()
    # It errs on every scan that shows nothing.
    found[protrusions == 0] = 1 - found[protrusions == 0]
    rows = {row.name: row for row in groups.rows(examples, found)}
    told = {name.removeprefix("simulated, macro AUC, "): row for name, row in rows.items()}
    assert told["no protrusion"].value == 0
    assert told["4 protrusions or more"].value == 1
    assert told["4 protrusions or more"].note == "100 scans; good 1.000"
    assert 0.3 < (told["au111"].value or 0) < 0.7
    assert told["whole, unspoiled, of gold, 4 protrusions or more"].value == 1
    # States that all scans of a group share, or none has, are left out.
    assert told["the same, the tip did not change"].value == 1
    assert "cu111" not in told
    assert "noise or feedback spoil the picture" not in told


def test_trees_learn_what_no_line_divides() -> None:
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(size=(2, 400, 3))
    truth = [(rows[:, 0] * rows[:, 1] > 0) for rows in (known, unknown)]
    found = boosted(known, truth[0].astype(float), unknown, seed=0)
    assert auc(found, truth[1]) > 0.9
    assert np.array_equal(found, boosted(known, truth[0].astype(float), unknown, seed=0))


def test_calibration_error_of_known_cases() -> None:
    truth = np.array([1.0, 0.0, 1.0, 0.0])
    assert calibration_error(np.full(4, 0.5), truth) == 0
    assert calibration_error(np.full(4, 0.9), truth) == pytest.approx(0.4)
    assert calibration_error(truth, truth) == 0


def test_intervals_are_as_wide_as_sessions_differ() -> None:
    positive = np.tile([True, False], 50)
    sessions = np.repeat(np.arange(10), 10)
    scores = np.where(sessions < 5, positive, ~positive).astype(float)
    row = Question(positive, sessions).answered("x", scores, ">= 0.6")
    assert row.value == pytest.approx(0.5)
    assert row.holds is None
    low, high = (float(word.rstrip(";")) for word in row.note.split()[2::2])
    assert low < 0.3
    assert high > 0.7


def test_the_raters_ceiling_of_known_votes() -> None:
    def ceiling(votes: list[float], raters: int) -> float | None:
        photo = np.zeros((4, 4), np.uint8)
        voted = [Voted(photo, "s", None, raters, (0.0,) * 5 + (vote,)) for vote in votes]
        return real_rows._ceiling(voted).value

    assert ceiling([0.0, 1.0], 2) == 1
    assert ceiling([0.5, 0.5], 2) == 0
    assert ceiling([0.0, 1.0, 0.5, 0.5], 2) == 0.5


def test_a_tile_has_square_pixels_and_metres() -> None:
    scan = surfaces.scan_of(Tile(np.zeros((10, 20), np.float32), None, 40.0, "s"))
    assert scan.frame is not None
    assert scan.frame.width_m == pytest.approx(40e-9)
    assert scan.frame.height_m == pytest.approx(20e-9)
    assert scan.scale_known
    steps = np.linspace(0, 5000, 16, dtype=np.float32).reshape(4, 4)
    assert not surfaces.scan_of(Tile(steps, None, 40.0, "s")).scale_known
    assert surfaces.scan_of(Tile(np.zeros((4, 4), np.float32), None, 0.0, "s")).frame is None


@pytest.mark.skipif(not (DATA / "hsi100").exists(), reason=f"no real scans at {DATA}")
def test_the_real_sets_are_read_whole() -> None:
    voted = hsi_votes(DATA)
    assert len(voted) == 3233
    assert sum(one.good is True for one in voted) > 100
    assert {one.label for one in tiles(DATA, "")} >= {surfaces.GOOD, *surfaces.DEGRADED}
