"""Where a run may be told, and where only to viewers with keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import load_config
from agent.telemetry.endpoint import endpoint, guarded
from agent.telemetry.publisher import Publisher
from drivers.errors import ConfigError

LOCAL = [
    "tcp://127.0.0.1:6510",
    "tcp://127.8.9.10:6510",
    "tcp://localhost:6510",
    "tcp://[::1]:6510",
    "ipc:///run/user/1000/tipsmith",
]
REACHABLE = [
    "tcp://0.0.0.0:6510",
    "tcp://*:6510",
    "tcp://:::6510",
    "tcp://[::]:6510",
    "tcp://::1:6510",
    "tcp://[::ffff:127.0.0.1]:6510",
    "tcp://[::1%eth0]:6510",
    "tcp://[127.0.0.1]:6510",
    "tcp://microscope:6510",
    "tcp://localhost.example.org:6510",
    "tcp://LOCALHOST:6510",
    "tcp://127.0.0.1.example.org:6510",
    "tcp://127.1:6510",
    "tcp://0x7f000001:6510",
    "tcp://2130706433:6510",
    "tcp://127.0.0.01:6510",
    "tcp://128.0.0.1:6510",
    "tcp://eth0:6510",
    "tcp://lo:6510",
    "tcp://192.168.0.7:6510",
    "tcp://[fe80::1]:6510",
]
WRONG = [
    "",
    "127.0.0.1:6510",
    "tcp://127.0.0.1",
    "tcp://127.0.0.1:0",
    "tcp://127.0.0.1:*",
    "tcp://127.0.0.1:65536",
    "tcp://127.0.0.1:99999",
    "tcp://127.0.0.1:\u0661",
    "tcp://127.0.0.1:6510;0.0.0.0:6511",
    "tcp://127.0.0.1:6510\n",
    "tcp:// 127.0.0.1:6510",
    "TCP://127.0.0.1:6510",
    "udp://127.0.0.1:6510",
    "ws://127.0.0.1:6510",
    "epgm://eth0;239.0.0.1:6510",
    "inproc://run",
    "ipc://",
    "ipc://*",
]


@pytest.mark.parametrize("text", LOCAL)
def test_what_only_this_computer_reaches_needs_no_keys(text: str):
    assert guarded(text, keyed=False).local


@pytest.mark.parametrize("text", REACHABLE)
def test_whatever_else_needs_keys(text: str, tmp_path: Path):
    with pytest.raises(ValueError, match="needs keys; make them with 'tipsmith keys new FOLDER'"):
        guarded(text, keyed=False)
    assert not guarded(text, keyed=True).local
    file = tmp_path / "tip.toml"
    file.write_text(f"[telemetry]\npublish = {text!r}\n")
    with pytest.raises(ConfigError, match=r"tip.toml: \[telemetry\]: an address that others"):
        load_config(file)


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_address(text: str):
    for keyed in (False, True):
        with pytest.raises(ValueError, match=r"expected an address such as tcp://"):
            guarded(text, keyed=keyed)


async def test_whoever_listens_looks_again():
    with pytest.raises(ConfigError, match=r"\[telemetry\]: an address that others"):
        async with Publisher("tcp://0.0.0.0:6510"):
            pytest.fail("it listens")


def test_localhost_is_no_matter_of_names():
    assert endpoint("tcp://localhost:6510").address == "tcp://127.0.0.1:6510"
    assert endpoint("tcp://[::1]:6510").version6
