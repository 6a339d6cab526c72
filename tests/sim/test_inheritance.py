"""Presets that extend others, and what is said about presets that are wrong."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

import sim.presets.preset
from drivers.errors import ConfigError
from sim.presets.preset import Preset, known_presets, load_preset

Write = Callable[[str], Preset]
SOURCE = "provenance = { '*' = 'assumed: x' }\n"
LATTICE = (
    "[lattice]\nperiod_nm = 0.246\ncorrugation_nm = 0.1\napex_share = 0.1\n"
    "dirty_apex_share = 0.2\ncover_nm = 0.1\nturn_deg = { law = 'uniform', a = 0.0, b = 1.0 }"
)
START = 'extends = "au111"\nname = "odd"\ntitle = "Odd"\n'


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Load a preset ``odd`` with the given text from a folder that has gold as well."""
    shipped = Path(str(files("sim") / "presets" / "au111.toml"))
    (tmp_path / "au111.toml").write_text(shipped.read_text(encoding="utf-8"))
    shutil.copytree(shipped.parent / "instruments", tmp_path / "instruments")
    monkeypatch.setattr(sim.presets.preset, "_folder", lambda: tmp_path)

    def load(text: str) -> Preset:
        sim.presets.preset._shipped.cache_clear()
        (tmp_path / "odd.toml").write_text(text)
        try:
            return load_preset("odd")
        finally:
            sim.presets.preset._shipped.cache_clear()

    return load


def test_every_shipped_preset_can_be_read():
    presets = [load_preset(name) for name in known_presets()]
    assert {"ag111", "au111", "cu111", "hopg", "hsi100", "si111_7x7"} <= {
        preset.name for preset in presets
    }
    assert len({preset.hash for preset in presets}) == len(presets)


def test_what_is_not_said_is_that_of_the_parent(write: Write):
    odd = write(
        START + "[steps]\nheight_nm = 0.3\n[steps.provenance]\nheight_nm = 'assumed: odd'\n"
    )
    gold = load_preset("au111")
    assert odd.steps.height_nm == 0.3
    assert odd.steps.cell_nm == gold.steps.cell_nm
    assert odd.steps.provenance == {**gold.steps.provenance, "height_nm": "assumed: odd"}
    assert odd.noise == gold.noise
    assert odd.reconstruction == gold.reconstruction


def test_the_hash_covers_what_is_inherited(write: Write, tmp_path: Path):
    before = write(START).hash
    assert write(START + "without = []\n").hash == before
    gold = tmp_path / "au111.toml"
    gold.write_text(gold.read_text().replace("probe_nm = 0.2", "probe_nm = 0.21"))
    assert write(START).hash != before


def test_sections_can_be_left_out_at_any_depth(write: Write):
    odd = write(START + 'without = ["reconstruction", "spectrum.surface_state"]\n')
    assert odd.reconstruction is None
    assert odd.spectrum.surface_state is None
    assert odd.spectrum.tip == load_preset("au111").spectrum.tip


def test_a_source_for_everything_replaces_all_sources(write: Write):
    odd = write(START + '[dip]\nprovenance = { "*" = "assumed: as for gold" }\n')
    assert odd.dip.provenance == {"*": "assumed: as for gold"}
    assert odd.dip.memory_nm == load_preset("au111").dip.memory_nm


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[steps]\nheight_nm = -1.0", r"steps.height_nm: .*greater than 0.*got -1"),
        ("[steps]\nheight_nm = 'x'", r"steps.height_nm: .*valid number.*got 'x'"),
        ("[steps]\nheight_nm = nan", r"steps.height_nm: .*finite"),
        ("[steps]\ncolour = 1.0", "steps.colour: .*not permitted"),
        ("[adatoms]\nper_nm2 = 0.5", r"adatoms.per_nm2: .*0.0625.*got 0.5"),
        (
            "[adatoms]\nheight_nm = { law = 'normal', a = 0.1, b = 0.1 }",
            "adatoms.height_nm: .*uniform",
        ),
        (
            "[motion]\ndrift_nm_per_min = { law = 'uniform', a = -0.1, b = 0.1 }",
            r"motion.drift_nm_per_min: .*uniform with a = -0.1 and b = 0.1 draws .* of 0 to 1000",
        ),
        ("[waves]\nstep_nm = 0.001", "waves.scatterer_nm: .*required"),
        ("[grid]\nfinest_nm = 0.5", "grid.finest_nm must not exceed"),
        (LATTICE, "only one of reconstruction and lattice"),
    ],
)
def test_what_is_wrong_is_named(write: Write, text: str, says: str):
    with pytest.raises(ConfigError, match=f"preset 'odd': .*{says}"):
        write(f"{START}{text}\n{SOURCE}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[steps]\nheight_nm = 0.3\n", "steps.height_nm is given anew without saying where"),
        ("[steps]\nprovenance = { '*' = 'guessed' }\n", "steps: .*must start with"),
    ],
)
def test_numbers_without_a_source_are_refused(write: Write, text: str, says: str):
    with pytest.raises(ConfigError, match=f"preset 'odd': {says}"):
        write(START + text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('extends = "odd"\nname = "odd"\n', "circle: odd -> odd"),
        ('extends = "none"\nname = "odd"\n', "'none'; known are au111, odd"),
        ("extends = 3\n", "extends must name a preset"),
        ('without = ["steps"]\n', "extends must name a preset"),
        (START + 'without = "steps"\n', "without must list sections"),
        (START + 'without = ["lattice"]\n', "'lattice': there is no such section"),
        (START + 'without = ["title.x"]\n', "'title.x': there is no such section"),
        (START + 'without = ["steps"]\n', "steps: Field required"),
        (START.replace('"odd"', '"even"'), "name is 'even'"),
        ("extends = \n", "cannot be read"),
    ],
)
def test_what_is_wrong_with_the_family_is_named(write: Write, text: str, says: str):
    with pytest.raises(ConfigError, match=re.escape(says)):
        write(text)


def test_waves_need_a_surface_state(write: Write):
    waves = (
        "[waves]\nstep_nm = 0.001\nscatterer_nm = 0.001\nphase_deg = 0.0\ncore_nm = 1.0\n"
        f"coherence_nm = 1.0\nreach_nm = 9.0\n{SOURCE}"
    )
    assert write(START + waves).waves is not None
    with pytest.raises(ConfigError, match=r"waves need spectrum\.surface_state"):
        write(START + 'without = ["spectrum.surface_state"]\n' + waves)


def test_an_instrument_comes_between_parent_and_child(write: Write):
    source = "provenance = { '*' = 'assumed: odd' }\n"
    odd = write(f'instrument = "usual"\n{START}[controller.scanner]\nquality = 3.0\n{source}')
    assert odd.controller.scanner is not None
    assert (odd.controller.scanner.quality, odd.controller.scanner.resonance_hz) == (3.0, 3000.0)
    assert odd.controller.p_gain_pm == load_preset("au111").controller.p_gain_pm
    with pytest.raises(ConfigError, match="unknown instrument 'rusty'; known are usual"):
        write(f'instrument = "rusty"\n{START}')


def test_disturbances_need_a_scanner_that_answers_to_them(write: Write):
    without = 'without = ["controller.scanner", "controller.preamplifier"]\n'
    with pytest.raises(ConfigError, match=r"noise\.pink needs controller\.scanner"):
        write(f"{START}{without}")


@pytest.mark.parametrize(
    "name", ["../cu111", "../presets/cu111", "tips/w", "instruments/usual", ""]
)
def test_only_surfaces_can_be_asked_for(name: str) -> None:
    with pytest.raises(ConfigError, match="unknown simulated surface"):
        load_preset(name)


@pytest.mark.parametrize("material", ["", "any", "gold"])
def test_only_known_materials_can_be_asked_for(material: str) -> None:
    with pytest.raises(ConfigError, match="unknown tip"):
        load_preset(f"au111-{material}")
