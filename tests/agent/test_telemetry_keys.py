"""Key files: private from the first moment, refused where they are not, and never quoted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq

from agent.telemetry.keys import new_keys, new_viewer, server_keys, viewer_keys
from agent.telemetry.publisher import Publisher
from drivers.errors import ConfigError
from tests.agent.telling_world import free_address

POSIX = pytest.mark.skipif(os.name != "posix", reason="other systems have no such modes")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    new_keys(tmp_path / "keys")
    return tmp_path / "keys"


def test_run_and_viewers_know_each_other(folder: Path):
    anna = new_viewer(folder, "anna")
    run, first, second = (
        server_keys(folder),
        viewer_keys(folder / "hand_out" / "viewer"),
        viewer_keys(anna),
    )
    assert run.viewers == {first.own.public, second.own.public}
    assert first.server == second.server == run.own.public
    secrets = {run.own.secret, first.own.secret, second.own.secret}
    assert len(secrets) == 3
    for pair in (run.own, first.own, second.own):
        assert zmq.curve_public(pair.secret) == pair.public
        assert not any(secret.decode() in f"{pair!r} {run!r} {first!r}" for secret in secrets)


@POSIX
def test_everything_is_private_from_its_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    opened: list[tuple[str, int, int]] = []
    really_open = os.open

    def noting(path: Path, flags: int, mode: int = 0o777) -> int:
        opened.append((Path(path).name, flags, mode))
        return really_open(path, flags, mode)

    monkeypatch.setattr(os, "open", noting)
    before = os.umask(0)
    try:
        new_keys(tmp_path / "keys")
    finally:
        os.umask(before)
    assert len(opened) == 5
    assert all(flags & os.O_EXCL and mode == 0o600 for _, flags, mode in opened)
    for path in (tmp_path / "keys").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_nothing_is_written_over(folder: Path):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for make in (
        lambda: new_keys(folder),
        lambda: new_viewer(folder, "viewer"),
    ):
        with pytest.raises(ValueError, match=r"already; (choose|give) another"):
            make()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["", "..", "../anna", "a/b", "a b", "\u00e4", "a\n", "a" * 41])
def test_what_is_no_name(folder: Path, name: str):
    with pytest.raises(ValueError, match="cannot be a viewer's name"):
        new_viewer(folder, name)


def test_a_viewer_of_nothing(tmp_path: Path):
    with pytest.raises(ValueError, match=r"server.key is missing"):
        new_viewer(tmp_path, "anna")


def cut(path: Path) -> None:
    path.write_text(path.read_text()[:-10])


def strange(path: Path) -> None:
    path.write_text(path.read_text().replace("secret-key", "secret-tea"))


def mixed(path: Path) -> None:
    secret = zmq.curve_keypair()[1].decode()
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], f'secret-key = "{secret}"']))


def broken(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'public-key = "', b'public-key = "\xff'))


@pytest.mark.parametrize("damage", [cut, strange, mixed, broken])
async def test_a_damaged_secret_is_told_without_it(folder: Path, damage: Callable[[Path], None]):
    path = folder / "server.key_secret"
    secret = server_keys(folder).own.secret.decode()
    damage(path)
    with pytest.raises(ConfigError, match=r"\[telemetry\]: .*server.key_secret holds no") as caught:
        async with Publisher(free_address(), str(folder)):
            pytest.fail("it listens")
    assert secret[:8] not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@POSIX
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602])
async def test_a_secret_that_others_reach_is_refused(folder: Path, mode: int):
    secret = server_keys(folder).own.secret.decode()
    path = folder / "server.key_secret"
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:o}.*run 'chmod 600 {path}'") as caught:
        async with Publisher(free_address(), str(folder)):
            pytest.fail("it listens")
    assert secret not in str(caught.value)
    theirs = folder / "hand_out" / "viewer"
    (theirs / "viewer.key_secret").chmod(mode)
    with pytest.raises(ValueError, match=f"mode {mode:o}.*chmod 600"):
        viewer_keys(theirs)


@POSIX
@pytest.mark.parametrize("name", ["", "viewers"])
def test_a_folder_into_which_others_can_put_keys_is_refused(folder: Path, name: str):
    (folder / name).chmod(0o777)
    with pytest.raises(ValueError, match=r"let anybody watch.*chmod 700"):
        server_keys(folder)


@POSIX
def test_keys_of_somebody_else_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ValueError, match="belongs to another user"):
        server_keys(folder)


def test_a_run_without_viewers_is_refused(folder: Path):
    (folder / "viewers" / "viewer.key").unlink()
    with pytest.raises(ValueError, match="run 'tipsmith keys viewer"):
        server_keys(folder)


def test_a_secret_among_public_keys_is_refused(folder: Path):
    secret = (folder / "hand_out" / "viewer" / "viewer.key_secret").read_text()
    (folder / "viewers" / "viewer.key").write_text(secret)
    with pytest.raises(ValueError, match="holds a secret key where a public one belongs"):
        server_keys(folder)
