"""The controller as the driver uses it: three connections, instrument time, signals by name.

The first port carries commands, the second readings, the third the commands that block until the
instrument has done something. The fourth is never opened: it is kept for the emergency stop.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from drivers.clock import ScaledClock
from drivers.errors import (
    CommandFailed,
    ConfigError,
    ConnectionFailed,
    ConnectionLost,
    InstrumentError,
    ProtocolError,
)
from drivers.nanonis.client import NanonisConnection
from drivers.nanonis.codes import Switch
from drivers.nanonis.commands import RELEASES, SIMULATED_PRODUCT, lookup
from drivers.nanonis.options import NanonisOptions

CURRENT, Z, X, Y = "Current (A)", "Z (m)", "X (m)", "Y (m)"
_SIGNALS = (CURRENT, Z, X, Y)

#: Commands that move the tip or touch the sample: once one may have left, the action has begun.
_ACTING = frozenset(
    {
        "AutoApproach.OnOffSet",
        "Bias.Pulse",
        "FolMe.XYPosSet",
        "Motor.StartMove",
        "TipShaper.Start",
        "ZCtrl.GainSet",
        "ZCtrl.ZPosSet",
    }
)
_VERSION_KNOWN_SINCE = 13742
# However fast a simulated instrument runs, it is polled no faster and given no less time than this.
_MIN_POLL_WALL_S = 0.005
_MIN_PATIENCE_WALL_S = 0.5


class Session:
    """Connections to one controller.

    Attributes:
        host: where it listens.
        port: the first of its ports.
        options: what the address says.
        product: product line and version as the controller names them; empty if it does not.
        clock: instrument time.
        release: the release whose layouts are spoken.
        acted: whether a command that moves the tip or touches the sample may have left since this
            was last set to False.
    """

    def __init__(self, host: str, port: int, options: NanonisOptions) -> None:
        self.host = host
        self.port = port
        self.options = options
        self.product = ""
        self.clock = ScaledClock()
        self.acted = False
        self.release = RELEASES[0]
        self._commands, self._readings, self._blocking = (
            NanonisConnection(host, port + role, timeout_s=options.timeout_s) for role in range(3)
        )
        self._index: dict[str, int] = {}

    async def open(self) -> None:
        """Connect, find out the release and the time scale, and look up the signals.

        Raises:
            ConnectionFailed: nobody answers, it does not speak the protocol, or it is no STM
                controller.
            ConfigError: the address claims a time scale that the controller does not have.
        """
        version = await self._version()
        simulated = version.get("product_line") == SIMULATED_PRODUCT
        scale = _time_scale(str(version.get("version", ""))) if simulated else 1.0
        self._check_scale(scale, simulated=simulated)
        self.clock = ScaledClock(scale)
        self.product = " ".join(str(version[k]) for k in ("product_line", "version") if version)
        self.release = self.options.release or version.get("engine_release", RELEASES[0])
        for connection in (self._commands, self._readings, self._blocking):
            connection.release = self.release
        # Numbers of signals differ between releases and rigs; names do not.
        names = (await self.call("Signals.NamesGet"))["names"]
        missing = [name for name in _SIGNALS if name not in names]
        if missing:
            raise ConnectionFailed(
                f"the controller at {self.host}:{self.port} has no signal {missing[0]!r}; "
                f"an STM needs {', '.join(_SIGNALS)}"
            )
        self._index = {name: names.index(name) for name in _SIGNALS}

    async def close(self) -> None:
        """Close every connection."""
        for connection in (self._commands, self._readings, self._blocking):
            await connection.close()

    async def call(self, name: str, /, **values: Any) -> dict[str, Any]:  # noqa: ANN401
        """Send a command that returns at once."""
        return await self._send(self._commands, name, 0.0, values)

    async def read(self, name: str, /, **values: Any) -> dict[str, Any]:  # noqa: ANN401
        """Read something, on the connection that no command ever blocks."""
        return await self._send(self._readings, name, 0.0, values)

    async def block(self, name: str, seconds: float, /, **values: Any) -> dict[str, Any]:  # noqa: ANN401
        """Send a command that answers when it is done, after about ``seconds`` (instrument)."""
        return await self._send(self._blocking, name, seconds / self.clock.scale, values)

    async def urge(self, name: str, /, *, turn: int, within_s: float, **values: Any) -> None:  # noqa: ANN401
        """Send a command that cannot wait for its usual connection to answer.

        Args:
            name: the command; one that may be carried out twice.
            turn: counts the tries; each takes another connection, new if its last was in doubt.
            within_s: wall-clock time for all of it (s).
            values: its arguments.

        Raises:
            InstrumentError: it was refused, or not answered within ``within_s``.
        """
        connections = (self._commands, self._readings, self._blocking)
        connection = connections[turn % len(connections)]
        try:
            async with asyncio.timeout(within_s):
                await self._send(connection, name, 0.0, values)
        except TimeoutError:
            raise ConnectionLost(
                f"{connection.host}:{connection.port} did not answer {name} within {within_s:g} s"
            ) from None

    async def probe(self, name: str, /, **values: Any) -> dict[str, Any] | None:  # noqa: ANN401
        """Read something that not every controller has; None where it is refused."""
        try:
            return await self.read(name, **values)
        except CommandFailed:
            return None

    def arguments(self, name: str) -> tuple[str, ...]:
        """Names of the arguments that ``name`` takes on this controller."""
        return tuple(field.name for field in lookup(name, self.release).request.fields)

    def index(self, signal: str) -> int:
        """The number under which the controller keeps ``signal``."""
        return self._index[signal]

    async def signals(self, *names: str, newest: bool = False) -> list[float]:
        """Values of signals; ``newest`` waits for data taken after the question."""
        indexes = tuple(self._index[name] for name in names)
        values = (await self.read("Signals.ValsGet", indexes=indexes, wait_newest=newest))["values"]
        if len(values) != len(names):
            raise ProtocolError(f"asked for {len(names)} signals, got {len(values)} values")
        return list(values)

    async def pause(self, seconds: float) -> None:
        """Let instrument time pass between two looks."""
        await self.clock.sleep(max(seconds, _MIN_POLL_WALL_S * self.clock.scale))

    def patience(self, seconds: float) -> float:
        """``seconds`` of the instrument, or more where that is hardly any wall-clock time."""
        return max(seconds, _MIN_PATIENCE_WALL_S * self.clock.scale)

    async def until(
        self, done: Callable[[], Awaitable[bool]], *, every_s: float, within_s: float
    ) -> bool:
        """Ask ``done`` every so often (instrument s); False if it is not so ``within_s``."""
        deadline = self.clock.now() + self.patience(within_s)
        while not await done():
            if self.clock.now() >= deadline:
                return False
            await self.pause(every_s)
        return True

    @asynccontextmanager
    async def stopping(self, name: str) -> AsyncGenerator[None]:
        """Send the command ``name``, which stops something, if the context fails or is left."""
        try:
            yield
        except BaseException:
            # What was started must not go on when nobody waits for it any more.
            with suppress(InstrumentError):
                await self.call(name)
            raise

    async def _send(
        self, connection: NanonisConnection, name: str, wait_s: float, values: dict[str, Any]
    ) -> dict[str, Any]:
        acts = name in _ACTING and values.get("status") is not Switch.OFF
        try:
            reply = await connection.call(name, wait_s=wait_s, **values)
        except (ConnectionLost, ProtocolError, asyncio.CancelledError):
            self.acted |= acts
            raise
        self.acted |= acts
        return reply

    async def _version(self) -> dict[str, Any]:
        # Older controllers refuse the question itself, which is an answer too.
        self._commands.release = _VERSION_KNOWN_SINCE
        try:
            return await self.call("Util.VersionGet")
        except CommandFailed:
            return {}
        except (ConnectionLost, ProtocolError) as error:
            raise ConnectionFailed(self._stranger(error)) from error

    def _stranger(self, error: InstrumentError) -> str:
        where = f"the server at {self.host}:{self.port}"
        check = "check host and port, and that no other program holds this port"
        if isinstance(error.__cause__, TimeoutError):
            seconds = f"{self.options.timeout_s:g} s"
            return f"{where} does not answer like a Nanonis controller within {seconds}; {check}"
        return f"{where} does not speak the Nanonis protocol ({error}); {check}"

    def _check_scale(self, scale: float, *, simulated: bool) -> None:
        asked = self.options.time_scale
        if asked is None:
            return
        if not simulated:
            raise ConfigError(
                f"time_scale={asked:g} is refused: the controller at {self.host}:{self.port} does "
                "not say that it is simulated, and real instruments run at 1"
            )
        if asked != scale:
            raise ConfigError(
                f"time_scale={asked:g} differs from the {scale:g} of the simulated controller at "
                f"{self.host}:{self.port}; leave it out to take the controller's"
            )


def _time_scale(version: str) -> float:
    """The time scale in a version such as ``0.1.0 time_scale=100``; 1 if it names none."""
    found = re.search(r"time_scale=([0-9.eE+-]+)", version)
    if found is None:
        return 1.0
    try:
        scale = float(found[1])
    except ValueError:
        scale = 0.0
    if not 0 < scale < float("inf"):
        raise InstrumentError(f"the simulated controller's version {version!r} has no time scale")
    return scale
