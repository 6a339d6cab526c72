"""The usual frame of each surface: what shows the surface for what it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from drivers.sample_map import level
from sim.cli import simulate
from sim.dataset.example import make_example
from sim.dataset.kinds import TipKind
from sim.dataset.settings import DatasetSettings
from sim.environments.config import EnvironmentConfig
from sim.presets.preset import Preset, load_preset

#: Half width at half maximum of a Gaussian, in its deviations.
HALF = 1.1774


def smallest_nm(preset: Preset) -> float:
    """What has to be resolved: an atom of the lattice, a dimer, an adatom, a molecule."""
    if preset.lattice:
        return preset.lattice.period_nm
    if preset.dimers:
        return preset.dimers.dimer_nm
    if preset.adatom_cell:
        return preset.adatom_cell.cell_nm * 2 / 7
    assert preset.molecules
    return 2 * HALF * preset.molecules.spot.wide_nm


@pytest.mark.parametrize("name", ["hopg", "hsi100", "si111_7x7", "cu111"])
def test_what_the_surface_is_judged_by_has_four_pixels(name: str):
    preset = load_preset(name)
    pixel_nm = preset.frame.size_nm / preset.frame.pixels
    assert smallest_nm(preset) >= 4 * pixel_nm


@pytest.mark.parametrize(
    ("name", "period_nm"),
    [("hopg", 0.213), ("hsi100", 0.768), ("si111_7x7", 2.330)],
)
def test_the_lattice_stands_out_of_a_usual_scan(name: str, period_nm: float):
    settings = DatasetSettings(name, TipKind.GOOD, seed=1)
    size_nm, pixels = settings.frame
    z = level(make_example(settings, 0).scan.forward)
    power = np.abs(
        np.fft.fftshift(np.fft.fft2(z * np.outer(np.hanning(pixels), np.hanning(pixels))))
    )
    k = np.fft.fftshift(np.fft.fftfreq(pixels, size_nm / pixels))
    radius = np.hypot(*np.meshgrid(k, k)) * period_nm
    there, beyond = power[abs(radius - 1) < 0.08].max(), power[abs(radius - 1.35) < 0.15].max()
    assert there > 2 * beyond


def test_gold_is_looked_at_as_ever_and_the_hash_tells_nothing_of_it():
    gold = load_preset("au111")
    assert (gold.frame.size_nm, gold.frame.pixels) == (24.0, 128)
    other = gold.frame.model_copy(update={"size_nm": 50.0})
    assert gold.model_copy(update={"frame": other}).hash == gold.hash
    wider = gold.model_copy(update={"frame": gold.frame.model_copy(update={"size_nm": 48.0})})
    assert wider.hash == gold.hash
    assert EnvironmentConfig().frame_nm == gold.frame.size_nm


def test_simulate_uses_it_unless_told_otherwise(tmp_path: Path):
    application = typer.Typer()
    application.command()(simulate)
    for more, expected in (((), (6.0, 128)), (("--size-nm", "5", "--pixels", "16"), (5.0, 16))):
        out = tmp_path / str(expected[1])
        arguments = ["--surface", "hopg", "--count", "1", "--format", "png", "--quiet",
                     "--out", str(out), *more]  # fmt: skip
        result = CliRunner().invoke(application, arguments)
        assert result.exit_code == 0, result.exception
        frame = json.loads((out / "labels.jsonl").read_text())["frame"]
        assert (frame["size_nm"], frame["pixels"]) == (pytest.approx(expected[0]), expected[1])
        about = json.loads((out / "dataset.json").read_text())
        assert (about["size_nm"], about["pixels"]) == expected


def test_saying_the_usual_changes_nothing_of_a_data_set():
    said = DatasetSettings("hopg", TipKind.GOOD, size_nm=6.0, pixels=128)
    assert DatasetSettings("hopg", TipKind.GOOD).as_dict() == said.as_dict()
