"""The configuration file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import ActionKind, Config, LookSettings, load_config
from agent.places import guardian_state
from drivers.actions import Action
from drivers.errors import ConfigError
from drivers.nanonis.options import read_options
from drivers.registry import Address
from drivers.scan import Frame

FULL = """
[microscope]
uri = "nanonis://192.168.0.7:6501"
options = { bias_sign = -1, z_retract = "up" }
[limits]
max_pulse_v = 6
[repair]
frame_nm = 30.0
setpoint_pa = 100
[journal]
directory = "nights"
[approval]
ask = ["pulse", "approach"]
timeout_s = 30
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tip.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_read(tmp_path: Path):
    config = load_config(write(tmp_path, FULL))
    assert config.microscope.uri == "nanonis://192.168.0.7:6501"
    assert config.microscope.driver_options == {"bias_sign": "-1", "z_retract": "up"}
    assert config.envelope.max_pulse_v == 6
    assert config.repair.frame_nm == 30
    assert config.repair.at.setpoint_a == pytest.approx(100e-12)
    assert config.journal.directory == "nights"
    assert config.approval.ask == ("pulse", "approach")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[repair]\nframe_mm = 3",
            r"tip.toml: \[repair\] has no key 'frame_mm'; known are",
        ),
        ("[repar]", r"tip.toml: unknown section \[repar\]; known are microscope, limits"),
        ("repair = 3", r"tip.toml: \[repair\]: expected a table, got 3"),
        ("[repair]\nframe_nm = true", r"\[repair\] frame_nm: .*number, got true"),
        ("[repair]\nframe_nm = -3", r"\[repair\] frame_nm: .*greater than 0, got -3"),
        ("[repair]\npixels = 100", r"\[repair\] pixels: .*multiple of 16, got 100"),
        ("[repair]\nbias_v = nan", r"\[repair\] bias_v: .*finite"),
        ("[repair]\nbias_v = '1'", r"\[repair\] bias_v: .*number, got \"1\""),
        (
            "[limits]\nmax_pulse_v = 11",
            "tip.toml: limit max_pulse_v = 11 is wider than",
        ),
        ("[limits]\nmin_bias_v = 0.001", "tip.toml: limit min_bias_v = 0.001 is wider"),
        ("[limits]\nmax_puls_v = 1", "tip.toml: unknown limit 'max_puls_v'"),
        ("[limits]\nmax_pulse_v = nan", "tip.toml: limit max_pulse_v must be a finite number"),
        ("[microscope]\noptions = { a = [1] }", r"\[microscope\] options: .*got \[1\]"),
        ("[microscope]\noptions = { a = inf }", r"\[microscope\] options: .*got Infinity"),
        ("[repair]\nframe_nm = inf", r"\[repair\] frame_nm: .*finite"),
        ("[repair]\nmax_hours = nan", r"\[repair\] max_hours: .*finite"),
        ("[repair]\nframe_nm = 1e6", r"\[repair\] frame_nm: .*less than or equal to 10000"),
        ("[repair]\npixels = 1600000000", r"\[repair\] pixels: .*less than or equal to 4096"),
        ("[repair]\nlines = 4097", r"\[repair\] lines: .*less than or equal to 4096"),
        ("[repair]\nforward_s = 1e9", r"\[repair\] forward_s: .*less than or equal to 600"),
        ("[repair]\nbias_v = 0.0", r"tip.toml: \[repair\]: scan refused: .*below min_bias_v 0.002"),
        ("[repair]\nsetpoint_pa = 30000.0", r"\[repair\]: scan refused: .*above max_setpoint_pa"),
        ("[repair]\nforward_s = 0.001", r"\[repair\]: scan refused: .*above max_speed_nm_per_s"),
        ("[repair]\ntravel_nm_per_s = 3e3", r"\[repair\]: move_to refused: .*max_speed_nm_per_s"),
        ("[limits]\nmax_bias_v = 0.3", r"\[repair\]: scan refused: .*above max_bias_v 0.3"),
        ("[approval]\nask = ['scan']", r"\[approval\] ask: .*'pulse'.*, got \"scan\""),
        ("[approval]\nask = []", r"\[approval\] ask: .*at least 1"),
        ("[approval]\ntimeout_s = 1.0", r"\[approval\] timeout_s: .*greater than or equal to 5"),
        (
            "[approval]\nsupervised = true\n[guardian]\nunattended = true",
            "tip.toml: supervised and unattended exclude each other",
        ),
        ("x =", "tip.toml: is not TOML"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, text: str, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(write(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("microscope", "uri"),
        ("journal", "directory"),
        ("guardian", "state"),
        ("telemetry", "publish"),
        ("telemetry", "keys"),
    ],
)
def test_what_no_path_and_no_address_can_hold_is_refused(tmp_path: Path, section: str, key: str):
    path = write(tmp_path, f'[{section}]\n{key} = "ipc:///a\\u0000b"\n')
    with pytest.raises(
        ConfigError, match=rf"\[{section}\] {key}: must not hold a byte that is zero"
    ):
        load_config(path)
    if key == "state":
        with pytest.raises(ValueError, match="has no path of a file"):
            guardian_state(path)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_what_editors_on_windows_write_is_read(tmp_path: Path, ending: str):
    path = tmp_path / "tip.toml"
    text = ending.join(["[journal]", 'directory = "nächte"', "[guardian]", 'state = "here"', ""])
    path.write_bytes(text.encode("utf-8-sig"))
    assert load_config(path).journal.directory == "nächte"
    assert guardian_state(path) == Path("here")


def test_what_is_nested_too_deeply_is_told(tmp_path: Path):
    for depth in (3000, 100_000):
        with pytest.raises(ConfigError, match=r"tip.toml: is nested too deeply; expected"):
            load_config(write(tmp_path, f"a = {depth * '['}{depth * ']'}"))


def test_options_that_are_true_or_false_are_written_as_drivers_read_them(tmp_path: Path):
    text = "[microscope]\noptions = { flip_backward = true, other = false }"
    config = load_config(write(tmp_path, text))
    assert config.microscope.driver_options == {"flip_backward": "true", "other": "false"}
    address = Address.parse("nanonis://host", options={"flip_backward": "true"})
    assert read_options(address).flip_backward
    assert load_config(write(tmp_path, config.to_toml())).microscope == config.microscope


def test_a_missing_file_is_an_error_when_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.toml")


def test_bytes_that_are_no_text_are_an_error(tmp_path: Path):
    path = tmp_path / "tip.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(path)


def test_the_default_file_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert load_config() == Config()
    (tmp_path / "tipsmith.toml").write_text("[repair]\nmax_actions = 3\n")
    assert load_config().repair.max_actions == 3


def test_what_is_shown_can_be_read_back(tmp_path: Path):
    config = load_config(write(tmp_path, FULL))
    text = config.to_toml()
    again = load_config(write(tmp_path, text))
    assert again.envelope == config.envelope
    assert again.model_copy(update={"limits": config.limits}) == config
    assert "max_depth_nm = 10.0" in text


@given(st.dictionaries(st.text(), st.text()))
def test_options_of_any_spelling_survive(options: dict[str, str]):
    config = Config.model_validate({"microscope": {"options": options}})
    assert tomllib.loads(config.to_toml())["microscope"]["options"] == options


def test_the_command_line_overrides_what_it_names():
    config = Config().overridden(uri="sim:hopg", max_actions=4, directory=Path("here"))
    assert (config.microscope.uri, config.repair.max_actions) == ("sim:hopg", 4)
    assert config.journal.directory == "here"
    assert Config().overridden() == Config()


def test_nobody_is_asked_unless_told():
    assert not Config().approval.supervised
    assert Config().overridden(supervised=True).approval.supervised
    for one, other in (("supervised", "unattended"), ("unattended", "supervised")):
        with pytest.raises(ConfigError, match="exclude each other"):
            Config().overridden(**{one: True}).overridden(**{other: True})


def test_every_kind_of_action_can_be_asked_about():
    kinds = {action.model_fields["kind"].default for action in get_args(get_args(Action)[0])}
    assert set(get_args(ActionKind)) == kinds


def test_the_scan_takes_over_every_setting():
    frame = Frame(x_m=0, y_m=0, width_m=24e-9, height_m=24e-9)
    scan = LookSettings(pixels=64, lines=32, forward_s=0.2, backward_s=0.3).scan(frame)
    assert (scan.pixels, scan.lines, scan.forward_s, scan.backward_s) == (64, 32, 0.2, 0.3)
    assert scan.frame == frame


@pytest.mark.parametrize("told", ["", '[telemetry]\npublish = "tcp://*:6510"\nkeys = "keys"\n'])
def test_where_a_run_is_told_comes_back(tmp_path: Path, told: str):
    config = load_config(write(tmp_path, told))
    assert load_config(write(tmp_path, config.to_toml())).telemetry == config.telemetry
    assert (config.telemetry.publish is None) is (told == "")
