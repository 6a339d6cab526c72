"""The comparison with real scans: each part on pictures whose answer is known."""

from __future__ import annotations

import csv
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from drivers.benchmark import BenchOptions, Row
from drivers.errors import ConfigError, FileError
from sim.benches.realism import bench, measures
from sim.benches.realism.classifier import FOLDS, _folds, auc, told_apart
from sim.benches.realism.features import describe, line_noise, table
from sim.benches.realism.real import Tile, hsi_pictures, tiles
from sim.benches.realism.simulated import cu_simulated, hsi_simulated, white_noise
from sim.benches.realism.walls import SPACING_NM, build_walls
from sim.dataset.photograph import SIDE, WRAP_M, flattened, photograph, shrunk, wrapped_around
from sim.presets.preset import known_presets, load_preset
from sim.world import World

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(
    not (DATA / "hsi100" / "images.zip").exists(), reason="no folder of real scans beside this one"
)
needs_hsi = pytest.mark.skipif("hsi100" not in known_presets(), reason="no preset hsi100")


def smooth(seed: int, pixels: int = 96, sigma: float = 4.0) -> np.ndarray:
    """Heights of some relief (m)."""
    z = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(pixels, pixels)), sigma)
    return (z / z.std() * 1e-11).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small folder of the same layout as the real one, with pictures of nothing in particular."""
    hsi, others = tmp_path / "hsi100", tmp_path / "real_scans"
    hsi.mkdir()
    others.mkdir()
    votes = dict.fromkeys(["asymmetric", "rows", "tip_change", "blurry"], 0.0)
    rows = []
    with zipfile.ZipFile(hsi / "images.zip", "w") as images:
        for k in range(24):
            content = BytesIO()
            Image.fromarray(photograph(smooth(k))).save(content, "WEBP")
            images.writestr(f"{k}.webp", content.getvalue())
            rows.append({"image": f"{k}.webp", "raters": 2, "atoms": 1.0, "dimers": 0.0, **votes,
                         "session": f"s{k % 6}", "run": k, "repeat": 1,
                         "width": 96, "height": 96 if k else 20})  # fmt: skip
    write(hsi / "labels.csv", rows)
    arrays, rows = {}, []
    for k, surface in enumerate(["CO/Cu(111) (inferred)"] * 12 + ["tip imprints on metal"] * 2):
        z = smooth(100 + k)
        arrays[f"{k}_forward"] = (z / 1e-11).astype(np.float16)
        if k < 12:
            arrays[f"{k}_backward"] = (np.roll(z, -2, axis=1) / 1e-11).astype(np.float16)
        rows.append({"key": k, "surface": surface, "scale": 1e-11, "size_nm": "20x20",
                     "file": f"a{k % 2}/x.sxm"})  # fmt: skip
    np.savez(others / "tiles.npz", **arrays)
    write(others / "labels.csv", rows)
    return tmp_path


def write(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_a_picture_is_small_grey_and_flat():
    tilted = smooth(0, 300) + np.linspace(0, 1e-9, 300, dtype=np.float32)[None, :]
    photo = photograph(tilted)
    assert photo.shape == (SIDE, SIDE)
    assert photo.dtype == np.uint8
    assert photo.min() < 10
    assert photo.max() > 245
    flat = flattened(tilted)
    assert np.abs(flat.mean(axis=1)).max() < 1e-15
    assert abs(np.polyfit(np.arange(300), flat[5].astype(float), 1)[0]) < 1e-17


def test_lines_that_were_not_scanned_are_left_out_of_a_picture():
    z = smooth(0)
    z[50:] = np.nan
    assert photograph(z).shape == (50, 96)
    with pytest.raises(ValueError, match="complete line"):
        photograph(np.full((4, 4), np.nan, np.float32))


def test_shrinking_keeps_the_heights():
    z = smooth(0, 256, 8.0)
    small = shrunk(z)
    assert small.shape == (SIDE, SIDE)
    assert small.std() == pytest.approx(z.std(), rel=0.05)


def test_the_numbers_of_any_picture_are_finite():
    for photo in (np.zeros((20, 30), np.uint8), photograph(smooth(1)), np.eye(60, dtype=np.uint8)):
        assert np.isfinite(list(describe(photo).values())).all()


def test_noise_from_line_to_line_is_measured_where_it_is():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 0.1, (400, 200))
    z[:, :12] += rng.normal(0, 1.0, (400, 12))
    noise = line_noise(z)
    assert noise["start"] == pytest.approx(1.0, rel=0.1)
    assert noise["middle"] == pytest.approx(0.1, rel=0.1)


def test_auc_counts_pairs():
    scores = np.array([3.0, 1.0, 2.0, 0.0])
    assert auc(scores, np.array([True, True, False, False])) == 0.75


def test_no_group_is_on_both_sides_of_a_fold():
    groups = [f"g{k // 7}" for k in range(140)]
    folds = _folds(np.arange(140) < 70, groups)
    assert set(folds) == set(range(FOLDS))
    for name in set(groups):
        assert len({fold for fold, group in zip(folds, groups, strict=True) if group == name}) == 1


@pytest.mark.parametrize(("sigma", "low", "high"), [(4.0, 0.35, 0.65), (5.0, 0.9, 1.0)])
def test_the_classifier_tells_what_differs_and_only_that(sigma: float, low: float, high: float):
    photos = [photograph(smooth(k)) for k in range(60)]
    others = [photograph(smooth(500 + k, sigma=sigma)) for k in range(60)]
    values, _ = table(photos + others)
    verdict = told_apart(values, np.arange(120) < 60, [str(k) for k in range(120)])
    assert low < verdict.auc <= high
    assert verdict.interval[0] <= verdict.auc <= verdict.interval[1]


def test_the_lag_of_the_way_back_is_found():
    z = smooth(3, 200)
    lag, likeness = measures.lag_and_likeness(z[:, :180], z[:, 4:184])
    assert lag * 180 == pytest.approx(4, abs=0.1)
    assert likeness > 0.99
    assert measures.lag_and_likeness(z, z)[0] == pytest.approx(0, abs=1e-3)


def test_an_imprint_has_its_height_and_its_area():
    y, x = np.mgrid[:128, :128] - 64
    mound = (400e-12 * np.exp(-(x**2 + y**2) / (2 * 7.0**2))).astype(np.float32)
    found = measures.imprint(Tile(mound, None, 10.0, ""))
    assert found is not None
    assert found["height of imprints"][0] == pytest.approx(400, rel=0.1)
    area = 100 * np.pi * 2 * np.log(2) * 7.0**2 / 128**2
    assert found["area of imprints"][0] == pytest.approx(area, rel=0.15)
    flat = np.random.default_rng(0).normal(0, 1e-12, (128, 128)).astype(np.float32)
    assert measures.imprint(Tile(flat, None, 10.0, "")) is None


def test_pictures_are_read_in_order_and_incomplete_ones_left_out(folder: Path):
    pictures = hsi_pictures(folder)
    assert len(pictures) == 23
    assert [one.session for one in pictures] == sorted(one.session for one in pictures)
    assert all(one.good for one in pictures)
    assert len(hsi_pictures(folder, most=5)) == 5


def test_scans_are_read_with_their_scale(folder: Path):
    found = tiles(folder, "CO/Cu(111)")
    assert len(found) == 12
    assert found[0].forward.std() == pytest.approx(1e-11, rel=0.01)
    assert found[0].width_nm == 20.0
    assert found[0].backward is not None


def test_missing_data_are_named(tmp_path: Path):
    for read in (hsi_pictures, lambda path: tiles(path, "")):
        with pytest.raises(FileError, match=r"labels\.csv"):
            read(tmp_path)


def test_the_bench_wants_a_folder():
    with pytest.raises(ConfigError, match="--data"):
        bench.run(BenchOptions())


@needs_hsi
@pytest.mark.timeout(300)
def test_all_figures_come_with_both_sides_and_pictures(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    few = bench._Amount(real=None, simulated=12, cu=6, imprints=2)
    monkeypatch.setattr(bench, "QUICK", few)
    plot = tmp_path / "plots"
    report = bench.run(BenchOptions(quick=True, data=folder, plot=plot))
    names = {row.name for row in report.rows}
    for start in ("H:Si(100): ", "Cu(111): "):
        assert start + "AUC, real against simulated" in names
        sided = [name for name in names if name.startswith(start) and name.endswith(", real")]
        assert sided
        assert all(name.removesuffix("real") + "simulated" in names for name in sided)
    drawn = {path.name for path in plot.iterdir()}
    assert drawn == {f"{s}_{k}.png" for s in ("hsi100", "cu111") for k in ("pictures", "curves")}


def test_what_is_missing_is_left_out_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def missing(*_: object) -> list:
        raise ConfigError("unknown simulated surface 'hsi100'")

    def there(*_: object) -> list[Row]:
        return [Row("imprints", 1.0)]

    monkeypatch.setattr(bench, "hsi_simulated", missing)
    monkeypatch.setattr(bench, "_imprints", there)
    report = bench.run(BenchOptions(data=tmp_path))
    assert [row.value for row in report.rows] == [None, None, 1.0]
    assert all(row.note.startswith("left out: ") for row in report.rows[:2])


def test_a_folder_without_real_scans_is_the_users_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bench, "imprints", lambda _: [])
    with pytest.raises(FileError, match="nothing in"):
        bench.run(BenchOptions(data=tmp_path))
    with pytest.raises(FileError, match="not a folder"):
        bench.run(BenchOptions(data=tmp_path / "nowhere"))


@needs_hsi
def test_simulated_pictures_repeat():
    first, again = hsi_simulated(2), hsi_simulated(2)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.photo, other.photo)
        assert one.good == other.good


def test_heights_beyond_the_range_go_on_at_its_other_end():
    heights = smooth(0)
    wrapped = wrapped_around(np.random.default_rng(0), heights)
    below = wrapped < heights
    assert 0 < below.mean() < 1
    assert heights[below].min() > heights[~below].max()
    assert (heights - wrapped)[below] == pytest.approx(WRAP_M, rel=1e-3)


@pytest.mark.skipif("cu111" not in known_presets(), reason="no preset cu111")
def test_walls_are_rows_of_molecules():
    preset = load_preset("cu111")
    sample = World(preset, 1).sample
    area = (-30.0, -30.0, 30.0, 30.0)
    natural = set(map(tuple, sample.molecules.over(area, 0.0)[:, :2]))
    build_walls(np.random.default_rng(0), sample, 10.0)
    laid = np.array([row[:2] for row in sample.molecules.over(area, 0.0)
                     if tuple(row[:2]) not in natural])  # fmt: skip
    apart = np.hypot(*(laid[:, None] - laid[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    assert len(laid) > 5
    assert np.median(apart.min(axis=1)) == pytest.approx(SPACING_NM)


@pytest.mark.skipif("cu111" not in known_presets(), reason="no preset cu111")
def test_simulated_copper_takes_the_sides_in_turn():
    made = cu_simulated(3, [10.0, 15.0])
    assert [tile.width_nm for tile in made] == [10.0, 15.0, 10.0]
    assert made[0].forward.shape == (SIDE, SIDE)


@needs_data
@pytest.mark.timeout(120)
def test_white_noise_is_told_from_real_scans():
    row = bench._noise("H:Si(100)", hsi_pictures(DATA, most=120), 80)
    assert row.value is not None
    assert row.value >= bench.WANTED_NOISE
    assert len(white_noise(3)) == 3
