"""Where a run may be told: addresses, and which of them only this computer reaches; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address

#: Where viewers look when they are told nothing.
USUAL = "tcp://127.0.0.1:6510"
_TCP = re.compile(r"tcp://(?P<host>[^\s/;]+):(?P<port>[0-9]{1,5})")
_IPC = re.compile(r"ipc://(?P<path>[^\s*]+)")
_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address to listen on.

    Attributes:
        address: as ZeroMQ takes it.
        local: whether only programs on this computer reach it.
        version6: whether its host is an address of the Internet protocol, version 6.
        path: the socket's file, if it is one.
    """

    address: str
    local: bool
    version6: bool = False
    path: str | None = None


def endpoint(text: str) -> Endpoint:
    """The address in ``text``.

    A host is taken for local only where its spelling leaves no doubt: names of hosts and of
    network cards mean what others say they mean.

    Raises:
        ValueError: it is none that can be listened on.
    """
    if found := _IPC.fullmatch(text):
        return Endpoint(text, local=True, path=found["path"])
    found = _TCP.fullmatch(text)
    if found is None or not 0 < int(found["port"]) <= _HIGHEST_PORT:
        raise ValueError(
            f"expected an address such as {USUAL} or ipc:///run/user/1000/tipsmith, with a port "
            f"from 1 to {_HIGHEST_PORT}"
        )
    # Not left to a file of names.
    host = "127.0.0.1" if found["host"] == "localhost" else found["host"]
    bracketed = host.startswith("[") and host.endswith("]")
    local = _is_local6(host[1:-1]) if bracketed else _is_local4(host)
    return Endpoint(f"tcp://{host}:{found['port']}", local, version6=bracketed)


def guarded(text: str, *, keyed: bool) -> Endpoint:
    """The address in ``text``, if it may be listened on.

    Args:
        text: the address.
        keyed: whether only viewers with known keys get in.

    Raises:
        ValueError: it is no address, or others than this computer reach it and there are no keys.
    """
    found = endpoint(text)
    if not (found.local or keyed):
        raise ValueError(
            "an address that others than this computer may reach needs keys; make them with "
            "'tipsmith keys new FOLDER' and give the folder as keys, or listen on 127.0.0.1"
        )
    return found


def _is_local4(host: str) -> bool:
    try:
        return IPv4Address(host) in IPv4Network("127.0.0.0/8")
    except ValueError:
        return False


def _is_local6(host: str) -> bool:
    try:
        return IPv6Address(host) == IPv6Address("::1")
    except ValueError:
        return False
