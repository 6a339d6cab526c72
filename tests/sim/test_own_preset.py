"""A preset in a file of one's own, wherever a preset can be named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from drivers.errors import ConfigError, FileError
from drivers.registry import Address
from sim.cli import simulate
from sim.environments.config import EnvironmentConfig
from sim.environments.tip_conditioning import TipConditioning
from sim.microscope import open_simulated
from sim.presets.preset import load_preset

OWN = """
extends = "cu111"
name = "brass"
title = "Brass, simulated"
[steps]
height_nm = 0.21
provenance.height_nm = "assumed: between copper and zinc"
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "my-own.toml"
    path.write_text(OWN)
    return path


def test_a_file_may_have_any_name_and_extend_a_shipped_surface(own: Path):
    brass, copper = load_preset(str(own)), load_preset("cu111")
    assert (brass.name, brass.title, brass.steps.height_nm) == ("brass", "Brass, simulated", 0.21)
    assert brass.carbon_monoxide == copper.carbon_monoxide
    assert brass.hash != copper.hash


def test_a_file_without_a_name_is_called_by_its_own(own: Path):
    own.write_text('extends = "cu111"\n')
    assert load_preset(str(own)).name == "my-own"


def test_a_file_is_read_as_it_is_now(own: Path):
    load_preset(str(own))
    own.write_text(OWN.replace("0.21", "0.22"))
    assert load_preset(str(own)).steps.height_nm == 0.22


def test_a_file_of_the_name_of_its_parent_extends_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "cu111.toml").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    assert load_preset("cu111.toml").name == "brass"


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("extends = ", FileError, r"preset '.*my-own\.toml' is no TOML: Invalid value"),
        (b"\xff\xfe", FileError, r"preset '.*my-own\.toml' is no TOML: "),
        ('extends = "gold"', ConfigError, r"preset '.*my-own\.toml': unknown .*'gold'; known are"),
        ('extends = "tips/../x"', ConfigError, r"preset '.*my-own\.toml': unknown .*'tips/../x'"),
        (
            'extends = "au111"\ninstrument = "rusty"',
            ConfigError,
            r"preset '.*my-own\.toml': unknown instrument 'rusty'",
        ),
        ('name = "x"\ntitle = "X"', ConfigError, r"preset '.*my-own\.toml': frame: Field required"),
        ('extends = "au111"\nname = "a/b"', ConfigError, r"preset '.*my-own\.toml': name: .*'a/b'"),
        (
            OWN.replace("0.21", "-0.21"),
            ConfigError,
            r"preset '.*my-own\.toml': steps\.height_nm: .*greater than 0 \(got -0\.21\)",
        ),
        (
            'extends = "au111"\n[steps]\nprovenance = 3',
            ConfigError,
            r"preset '.*my-own\.toml': steps\.provenance must be a table, got 3",
        ),
        (
            'extends = "au111"\n[grid]\nfinest_nm = 9.0\n[grid.provenance]\n"*" = "assumed: x"',
            ConfigError,
            r"preset '.*my-own\.toml': grid\.finest_nm must not exceed grid\.coarsest_nm",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_name(
    own: Path, text: str | bytes, error: type[Exception], says: str
):
    own.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(error, match=f"^{says}[^\n]*$"):
        load_preset(str(own))


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    for path in (tmp_path / "none.toml", tmp_path):
        there = path if path.suffix else path / "folder.toml"
        if not path.suffix:
            there.mkdir()
        with pytest.raises(FileError, match=f"cannot read preset '{re.escape(str(there))}': "):
            load_preset(str(there))


@pytest.mark.parametrize("relative", [False, True])
async def test_an_address_names_a_file(own: Path, relative: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(own.parent)
    address = Address.parse(f"sim:{own.name if relative else own}?seed=4")
    microscope = await open_simulated(address)
    assert (microscope.name, microscope.world.preset) == ("sim:brass", load_preset(str(own)))


def test_environments_take_a_file(own: Path):
    env = TipConditioning(str(own), config=EnvironmentConfig(pixels=16, frame_nm=8.0))
    assert env.good_definition == load_preset(str(own)).good_definition


def test_simulate_takes_a_file_and_tells_no_path(own: Path, tmp_path: Path):
    arguments = ["--surface", str(own), "--count", "1", "--pixels", "16",
                 "--size-nm", "8", "--format", "gsf", "--quiet", "--out"]  # fmt: skip
    application = typer.Typer()
    application.command()(simulate)
    result = CliRunner().invoke(application, [*arguments, str(tmp_path / "set")])
    assert result.exit_code == 0, result.exception
    texts = [(tmp_path / "set" / name).read_text() for name in ("dataset.json", "labels.jsonl")]
    assert [json.loads(text)["surface"] for text in texts] == ["brass", "brass"]
    assert not any("my-own" in text for text in texts)
    scan = next((tmp_path / "set").rglob("*.gsf")).read_bytes()
    assert b"my-own" not in scan
    assert b"Brass" in scan
    assert np.unique(list(scan)).size > 16
