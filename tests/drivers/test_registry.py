"""Addresses and what opens them."""

from __future__ import annotations

import pytest

from drivers import Address, open_microscope
from drivers.errors import ConfigError, UnknownMicroscope


def test_takes_a_network_address_apart() -> None:
    address = Address.parse("nanonis://host:6501?release=13742", options={"z_retract": "Z+"})
    assert (address.scheme, address.host, address.port) == ("nanonis", "host", 6501)
    assert address.options == {"release": "13742", "z_retract": "Z+"}


def test_takes_a_simulator_address_apart() -> None:
    address = Address.parse("sim:au111?clock=real", options={"clock": "virtual"}, seed=3)
    assert (address.scheme, address.name, address.seed) == ("sim", "au111", 3)
    assert address.options == {"clock": "real"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sim:my.toml?seed=3", "my.toml"),
        ("sim:sub/my.toml", "sub/my.toml"),
        ("sim:/data/my.toml", "/data/my.toml"),
        ("remote://host/bench/", "bench"),
    ],
)
def test_the_path_of_a_file_keeps_its_slashes(text: str, name: str) -> None:
    assert Address.parse(text).name == name


@pytest.mark.parametrize(
    "text", ["au111", "", "nanonis://host:notaport", "nanonis://host:99999999"]
)
def test_refuses_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match="microscope address"):
        Address.parse(text)


async def test_an_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(UnknownMicroscope, match=r"nanonis:.*sim:"):
        await open_microscope("quantum://host")
