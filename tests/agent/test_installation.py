"""The check that the packages are ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.installation import PACKAGES, find_trouble, trouble

ROOT = Path("/somewhere/tipsmith")
OURS = {name: ROOT / name for name in PACKAGES}
OWNERS = {name: ["tipsmith"] for name in PACKAGES}


def test_our_own_packages_are_fine():
    assert find_trouble() is None
    assert trouble(OWNERS, OURS, ROOT) is None


def test_a_bare_checkout_is_fine():
    assert trouble({}, OURS, ROOT) is None


@pytest.mark.parametrize("name", PACKAGES)
def test_a_stranger_that_installed_over_ours_is_named(name: str):
    sentence = trouble({**OWNERS, name: ["tipsmith", "stranger"]}, OURS, ROOT)
    assert sentence is not None
    assert f"'stranger' has installed a package {name!r}" in sentence
    assert "pip uninstall stranger" in sentence


@pytest.mark.parametrize("elsewhere", [Path("/elsewhere/drivers"), None])
def test_a_package_from_elsewhere_is_named(elsewhere: Path | None):
    sentence = trouble(OWNERS, {**OURS, "drivers": elsewhere}, ROOT)
    assert sentence is not None
    assert str(elsewhere or "nowhere") in sentence
