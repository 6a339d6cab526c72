"""Key files: who may watch a run over a network, and how a viewer knows the run for what it is.

A folder of keys holds ``server.key_secret`` and ``server.key``, in ``viewers`` the public key of
everybody who may watch, and in ``hand_out`` a folder for each of them, to be carried to where they
watch. The files are those of ZeroMQ's certificates.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.auth import load_certificate
from zmq.utils import z85

from agent.guardian.statefile import READ_OR_WRITE, WRITE, check_private

SERVER, VIEWER = "server", "viewer"
PUBLIC, SECRET = ".key", ".key_secret"
VIEWERS, HAND_OUT = "viewers", "hand_out"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_KEY_BYTES = 32
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600


@dataclass(frozen=True, slots=True)
class Pair:
    """A key that may be told and one that may not, as text of 40 characters."""

    public: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """What a run needs: its own keys, and the public ones of those who may watch."""

    own: Pair
    viewers: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class ViewerKeys:
    """What a viewer needs: its own keys, and the public one of the run."""

    own: Pair
    server: bytes


def new_keys(folder: Path) -> Path:
    """Make the keys of a run and of a first viewer.

    Returns:
        The folder to hand out to the viewer.

    Raises:
        ValueError: there are keys already.
        OSError: they cannot be written.
    """
    _make_folder(folder)
    _make_folder(folder / VIEWERS)
    _write_pair(folder / SERVER, folder)
    return new_viewer(folder, VIEWER)


def new_viewer(folder: Path, name: str) -> Path:
    """Make the keys of another viewer; runs that begin from now on let it in.

    Returns:
        The folder to hand out to the viewer.

    Raises:
        ValueError: the folder holds no keys, or the name is none or taken.
        OSError: they cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:50]!r} cannot be a viewer's name; take up to 40 letters, digits, - and _"
        )
    server = _public(folder / f"{SERVER}{PUBLIC}")
    handed = folder / HAND_OUT / name
    if handed.exists() or (folder / VIEWERS / f"{name}{PUBLIC}").exists():
        raise ValueError(f"{folder} has a viewer {name!r} already; choose another name")
    _make_folder(folder / HAND_OUT)
    _make_folder(handed)
    _write_public(handed / f"{SERVER}{PUBLIC}", server)
    _write_pair(handed / VIEWER, folder / VIEWERS, name)
    return handed


def server_keys(folder: Path) -> ServerKeys:
    """The keys of a run.

    Raises:
        ValueError: they are missing, damaged or not private, or nobody may watch.
        OSError: they cannot be read.
    """
    for path in (folder, folder / VIEWERS):
        check_private(path, WRITE, "let anybody watch")
    viewers = frozenset(_public(path) for path in sorted((folder / VIEWERS).glob(f"*{PUBLIC}")))
    own = _pair(folder / f"{SERVER}{SECRET}")
    if not viewers:
        raise ValueError(
            f"{folder / VIEWERS} holds no viewer's key; run 'tipsmith keys viewer {folder} NAME'"
        )
    return ServerKeys(own, viewers)


def viewer_keys(folder: Path) -> ViewerKeys:
    """The keys of a viewer.

    Raises:
        ValueError: they are missing, damaged or not private.
        OSError: they cannot be read.
    """
    return ViewerKeys(_pair(folder / f"{VIEWER}{SECRET}"), _public(folder / f"{SERVER}{PUBLIC}"))


def _pair(path: Path) -> Pair:
    check_private(path, READ_OR_WRITE, "pass for its owner")
    public, secret = _loaded(path)
    if secret is None or not _fits(public, secret):
        raise ValueError(f"{path} holds no pair of keys; make new ones with 'tipsmith keys'")
    return Pair(public, secret)


def _public(path: Path) -> bytes:
    check_private(path, WRITE, "pass for somebody else")
    public, secret = _loaded(path)
    if secret is not None:
        raise ValueError(f"{path} holds a secret key where a public one belongs; take it away")
    return public


def _loaded(path: Path) -> tuple[bytes, bytes | None]:
    if not path.is_file():
        raise ValueError(f"the key {path} is missing; 'tipsmith keys' makes keys")
    try:
        public, secret = load_certificate(path)
        if len(z85.decode(public)) != _KEY_BYTES:
            raise ValueError("it is too long or too short")
    except Exception:
        # Whatever it was: its text may hold what was read.
        raise ValueError(f"{path} holds no key; make new ones with 'tipsmith keys'") from None
    return public, secret


def _fits(public: bytes, secret: bytes) -> bool:
    try:
        return zmq.curve_public(secret) == public
    except Exception:
        # Its text may hold the key.
        return False


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)


def _write_pair(path: Path, public_folder: Path, public_name: str = SERVER) -> None:
    public, secret = zmq.curve_keypair()
    text = f'curve\n    public-key = "{public.decode()}"\n    secret-key = "{secret.decode()}"\n'
    _write(path.with_name(f"{path.name}{SECRET}"), text)
    _write_public(public_folder / f"{public_name}{PUBLIC}", public)


def _write_public(path: Path, public: bytes) -> None:
    _write(path, f'curve\n    public-key = "{public.decode()}"\n')


def _write(path: Path, text: str) -> None:
    # Private from its first moment on, which ZeroMQ's own writer does not care for.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with os.fdopen(os.open(path, flags, _PRIVATE_FILE), "w", encoding="ascii") as file:
            file.write(text)
    except FileExistsError:
        raise ValueError(f"{path} exists already; give another folder") from None
