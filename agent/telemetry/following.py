"""Follows a run from afar: what it tells, that it is silent, and why it cannot be heard."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

import zmq

from agent.telemetry.glance import Glance, decode
from agent.telemetry.keys import ViewerKeys

#: How long one waits for the first connection (s).
CONNECT_S = 10.0
#: Without a message for so long (s), the run is called silent: it sends one a second at least.
SILENT_S = 5.0
#: How often silence is told (s).
POLL_S = 1.0
#: Handshakes that the other end may break off without a word; one can be chance.
BROKEN_OFF = 3
#: Longer messages are nobody's (bytes).
LONGEST = 2**20
#: What a socket's monitor says first: which event, and a number with it.
_EVENT = struct.Struct("=hi")
_WATCHED = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
)


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing was heard.

    Attributes:
        seconds: for how long (s).
    """

    seconds: float


def follow(
    address: str,
    keys: ViewerKeys | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Glance | Silence]:
    """What the run at ``address`` tells, until it has told its result and is gone.

    A run that breaks off without a result is silent from then on; the next one at the same address
    is followed as well.

    Args:
        address: where it is told.
        keys: of the viewer, where the run asks for some.
        clock: wall time that never goes back (s).

    Raises:
        ValueError: the address is none.
        ConnectionError: nobody answers within ``CONNECT_S``, the viewer is refused, or what is told
            cannot be read; the text says which.
    """
    with _Ear(address, keys) as ear:
        heard_s = clock()
        ended = False
        while True:
            # From one that is gone, nothing more can come than has come already.
            message = ear.listen(0.0 if ended and not ear.connected else POLL_S)
            now_s = clock()
            if message is not None:
                heard_s = now_s
                glance = _read(message, address)
                ended = glance.result is not None
                yield glance
            elif ended and (not ear.connected or now_s - heard_s > SILENT_S):
                return
            elif not ear.met and now_s - heard_s > CONNECT_S:
                raise ConnectionError(_unmet(address, ear.broken_off, keyed=keys is not None))
            elif ear.met and now_s - heard_s > SILENT_S:
                yield Silence(now_s - heard_s)


class _Ear:
    """A socket that hears, and the monitor that tells how its connection fares.

    Attributes:
        met: whether it was ever connected.
        connected: whether it is.
        broken_off: handshakes in a row that the other end broke off.
    """

    def __init__(self, address: str, keys: ViewerKeys | None) -> None:
        self.met = self.connected = False
        self.broken_off = 0
        self._address = address
        self._keys = keys

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            context = undo.enter_context(zmq.Context())
            self._socket = undo.enter_context(context.socket(zmq.SUB))
            self._socket.linger = 0
            self._socket.maxmsgsize = LONGEST
            self._socket.ipv6 = True
            if self._keys is not None:
                self._socket.curve_publickey = self._keys.own.public
                self._socket.curve_secretkey = self._keys.own.secret
                self._socket.curve_serverkey = self._keys.server
            self._monitor = undo.enter_context(self._socket.get_monitor_socket(_WATCHED))
            undo.callback(self._socket.disable_monitor)
            self._socket.subscribe(b"")
            self._connect()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def listen(self, seconds: float) -> bytes | None:
        """The next message, or None if none comes in time or the connection changes first.

        Raises:
            ConnectionError: the viewer is refused.
        """
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        if self._monitor in dict(poller.poll(round(1000 * seconds))):
            self._take(self._monitor.recv_multipart()[0])
        # Afterwards: what was sent before a farewell is there when the farewell is.
        try:
            return self._socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None

    def _connect(self) -> None:
        try:
            self._socket.connect(self._address)
        except zmq.ZMQError:
            raise ValueError(
                f"{self._address!r} is no address to watch; give one such as tcp://127.0.0.1:6510"
            ) from None

    def _take(self, said: bytes) -> None:
        event, _ = _EVENT.unpack(said)
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            raise ConnectionError(
                f"{self._address} refuses this viewer's key; have its public key put among the "
                "run's viewers ('tipsmith keys viewer'), which the next run reads"
            )
        if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            raise ConnectionError(_mismatch(self._address, keyed=self._keys is not None))
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.met = self.connected = True
            self.broken_off = 0
        else:
            self.connected = False
            self.broken_off += event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
        if self.broken_off >= BROKEN_OFF:
            raise ConnectionError(_broken_off(self._address, keyed=self._keys is not None))


def _read(message: bytes, address: str) -> Glance:
    try:
        return decode(message)
    except ValueError as error:
        raise ConnectionError(f"{address}: {error}") from None


def _mismatch(address: str, *, keyed: bool) -> str:
    if keyed:
        return f"{address} uses no keys, or is no run; to watch it all the same, leave --keys out"
    return f"{address} asks for keys, or is no run; give the folder that was handed out by --keys"


def _broken_off(address: str, *, keyed: bool) -> str:
    if not keyed:
        # Which end finds out first that only one has keys is chance.
        return _mismatch(address, keyed=False)
    return (
        f"{address} broke off before it was heard; see that it is a run, and that the key of the "
        "run among the keys is its own"
    )


def _unmet(address: str, broken_off: int, *, keyed: bool) -> str:
    if broken_off:
        return _broken_off(address, keyed=keyed)
    return (
        f"nobody tells a run at {address} within {CONNECT_S:g} s; see that one is under way and "
        "has this address under [telemetry] publish"
    )
