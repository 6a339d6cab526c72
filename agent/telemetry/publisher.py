"""Tells a run to whoever watches, and never waits for them."""

from __future__ import annotations

import asyncio
import errno
import socket
import stat
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

import zmq

from agent.aside import aside
from agent.config import TelemetrySettings
from agent.phases import Phase
from agent.result import Listener, Progress
from agent.telemetry.doorkeeper import Doorkeeper
from agent.telemetry.endpoint import Endpoint, guarded
from agent.telemetry.glance import encode
from agent.telemetry.keys import server_keys
from agent.telemetry.telling import glance_of
from drivers.errors import ConfigError

#: Wall time between two glances that tell nothing but further lines (s), at least.
LINE_GAP_S = 0.05
#: Time between two glances whatever goes on (s): for who comes later, and as a sign of life.
BEAT_S = 1.0
#: Glances that are kept for a viewer who does not keep up; what comes then is lost to them.
KEPT = 1000
#: Nothing that viewers may say is longer (bytes).
LONGEST_QUESTION = 1024
#: Wall time to hand over the last glance (s), and after which nobody waits for it any more.
LAST_WORDS_MS, CLOSE_TIMEOUT_S = 500, 2.0


@asynccontextmanager
async def publishing(settings: TelemetrySettings) -> AsyncGenerator[Publisher | None]:
    """A publisher as configured; None where nothing is.

    Raises:
        ConfigError: the address or the keys cannot be used, or the address is taken.
    """
    if settings.publish is None:
        yield None
        return
    async with Publisher(settings.publish, settings.keys) as publisher:
        yield publisher


class Publisher:
    """Sends glances at a run to viewers, from the control loop; an asynchronous context manager.

    Args:
        address: where to listen.
        keys: folder of keys, or None if everybody who reaches the address may watch.
        clock: wall time that never goes back (s).

    Attributes:
        run: name of the run, once it has one.
    """

    def __init__(
        self, address: str, keys: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.run = ""
        self._address = address
        self._keys = keys
        self._clock = clock
        self._latest = Progress(Phase.STARTING)
        self._sent_s = -LINE_GAP_S

    async def __aenter__(self) -> Self:
        try:
            where = guarded(self._address, keyed=self._keys is not None)
            keys = None if self._keys is None else server_keys(Path(self._keys))
        except (OSError, ValueError) as error:
            raise ConfigError(f"[telemetry]: {error}") from None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        try:
            self._socket.linger = LAST_WORDS_MS
            self._socket.sndhwm = KEPT
            self._socket.maxmsgsize = LONGEST_QUESTION
            self._socket.ipv6 = where.version6
            if keys is not None:
                self._socket.curve_server = True
                self._socket.curve_publickey = keys.own.public
                self._socket.curve_secretkey = keys.own.secret
                Doorkeeper(self._context, keys.viewers).keep(self._socket)
            _bind(self._socket, where)
        except BaseException:
            await self._close()
            raise
        self._beating = asyncio.create_task(self._beat(), name="telemetry")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._beating.cancel()
        try:
            await asyncio.wait({self._beating})
        finally:
            await self._close()

    def beside(self, listener: Listener) -> Listener:
        """A listener that passes on to ``listener`` first, and then tells the viewers."""

        def see(progress: Progress) -> None:
            try:
                listener(progress)
            finally:
                self.see(progress)

        return see

    def see(self, progress: Progress) -> None:
        """Tell ``progress``; what tells nothing but further lines, not too often.

        Raises:
            ZMQError: it cannot be sent.
            ValueError: it cannot be told.
        """
        latest, self._latest = self._latest, progress
        now_s = self._clock()
        if now_s - self._sent_s < LINE_GAP_S and _only_lines(latest, progress):
            return
        self._sent_s = now_s
        self._socket.send(encode(glance_of(progress, self.run)), zmq.NOBLOCK)

    async def _beat(self) -> None:
        while True:
            # A beat that fails must not end the others; what is wrong, the run itself is told.
            with suppress(Exception):
                # What happens once is told once.
                state = replace(self._latest, event=None, note=None)
                self._socket.send(encode(glance_of(state, self.run)), zmq.NOBLOCK)
            await asyncio.sleep(BEAT_S)

    async def _close(self) -> None:
        self._socket.close()
        # It waits for the last glance to be taken, and for the doorkeeper.
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await aside(self._context.term)


def _only_lines(before: Progress, after: Progress) -> bool:
    """Whether ``after`` tells nothing that somebody who saw ``before`` must not miss."""
    return (
        after.event is None
        and after.note is None
        and after.phase is before.phase
        and after.step is before.step
        and after.request is before.request
        and after.result is before.result
    )


def _bind(listening: zmq.Socket[bytes], where: Endpoint) -> None:
    try:
        if where.path is not None:
            _clear(Path(where.path))
        listening.bind(where.address)
    except zmq.ZMQError as error:
        why = zmq.strerror(error.errno or 0)
        raise _cannot_listen(where.address, error.errno, why) from None
    except OSError as error:
        raise _cannot_listen(where.address, error.errno, error.strerror) from None


def _clear(path: Path) -> None:
    """See that nothing is at ``path`` but what a run before has left: ZeroMQ would remove it.

    Raises:
        OSError: something is, with the reason why it has to stay.
    """
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise OSError(errno.EEXIST, "there is a file")
    with socket.socket(socket.AF_UNIX) as asking, suppress(ConnectionRefusedError):
        asking.connect(str(path))
        raise OSError(errno.EADDRINUSE, "")


def _cannot_listen(address: str, number: int | None, reason: str | None) -> ConfigError:
    if number == errno.EADDRINUSE:
        return ConfigError(
            f"[telemetry] publish: {address} is taken, perhaps by another run; wait for its end, "
            "or give another port"
        )
    return ConfigError(
        f"[telemetry] publish: {address} cannot be listened on ({reason}); give an address of this "
        "computer"
    )
