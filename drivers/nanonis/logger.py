"""The TCP logger: current and height during an action, streamed on a port of their own.

Frames of the stream are not in the published interface; this follows what open clients read: number
of channels (uint32), oversampling (float32), counter (uint64), state (uint16), one float32 for each
channel, all big-endian. The frame with counter 0 describes the channels and holds no data.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np

from drivers.clock import Clock
from drivers.errors import InstrumentError, ProtocolError
from drivers.nanonis.codes import LoggerStatus
from drivers.nanonis.session import CURRENT, Session, Z
from drivers.outcome import Trace

_log = logging.getLogger(__name__)

_FRAME = struct.Struct(">IfQH")
_MAX_CHANNELS = 128
# With the logger's usual 20 kHz this gives a sample a millisecond.
_OVERSAMPLING = 20
# Wall time without a byte after which a stopped stream counts as ended, and the most waited for it.
_QUIET_S = 0.02
_LONGEST_TAIL_S = 1.0


@dataclass(frozen=True, slots=True)
class LogFrame:
    """One frame of the stream.

    Attributes:
        counter: number of the frame; 0 describes the channels.
        state: status of the logger, as ``TCPLog.StatusGet`` has it.
        oversampling: how many samples were averaged into this one.
        values: one for each channel.
    """

    counter: int
    state: int
    oversampling: float
    values: tuple[float, ...]

    def encode(self) -> bytes:
        """The bytes of the frame."""
        head = _FRAME.pack(len(self.values), self.oversampling, self.counter, self.state)
        return head + struct.pack(f">{len(self.values)}f", *self.values)


class LogParser:
    """Cuts the stream into frames, however the network has cut it."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[LogFrame]:
        """The frames that ``data`` completes.

        Raises:
            ProtocolError: a frame claims more channels than there are; the stream is lost.
        """
        data = self._rest + data
        frames = []
        offset = 0
        while len(data) - offset >= _FRAME.size:
            count, oversampling, counter, state = _FRAME.unpack_from(data, offset)
            if count > _MAX_CHANNELS:
                raise ProtocolError(
                    f"the logger's stream claims {count} channels of at most {_MAX_CHANNELS}"
                )
            end = offset + _FRAME.size + 4 * count
            if end > len(data):
                break
            values = struct.unpack_from(f">{count}f", data, offset + _FRAME.size)
            frames.append(LogFrame(counter, state, oversampling, values))
            offset = end
        self._rest = data[offset:]
        return frames


class Recording(asyncio.Protocol):
    """Collects frames while the logger runs."""

    def __init__(self, clock: Clock, columns: tuple[int, int]) -> None:
        self._clock = clock
        self._columns = columns
        self._parser = LogParser()
        self._frames: list[LogFrame] = []
        self._started_s = clock.now()
        self._last_s = self._started_s
        self._received = 0
        self._damage = ""

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._received += len(data)
        if self._damage:
            return
        try:
            frames = self._parser.feed(data)
        except ProtocolError as error:
            self._damage = str(error)
            return
        self._frames.extend(frame for frame in frames if frame.counter)
        self._last_s = self._clock.now()

    async def quiet(self) -> None:
        """Wait until nothing has come for a while: the end of the stream is not marked in it.

        It comes over another connection than the answer to the command that ends it.
        """
        waited_s = 0.0
        while waited_s < _LONGEST_TAIL_S:
            before = self._received
            await asyncio.sleep(_QUIET_S)
            waited_s += _QUIET_S
            if self._received == before:
                return

    def trace(self) -> Trace | None:
        """What was recorded, or None if that is nothing or of other channels.

        The rate of the stream is not part of it, so the samples are spread evenly by their counters
        between the start of the recording and the arrival of the last one.
        """
        # The logger is known to go on sending the channels of its last user now and then.
        wrong = [frame for frame in self._frames if len(frame.values) != len(self._columns)]
        if wrong or self._damage:
            found = self._damage or f"frames of {len(wrong[0].values)} channels instead of 2"
            _log.warning("no trace of this action: the TCP logger sent %s", found)
            return None
        if not self._frames:
            return None
        counters = np.array([frame.counter for frame in self._frames], np.float64)
        values = np.array([frame.values for frame in self._frames], np.float32)
        span = max(counters[-1] - counters[0], 1.0)
        times = (counters - counters[0]) / span * (self._last_s - self._started_s)
        current, z = self._columns
        return Trace(times, values[:, current].copy(), values[:, z].copy())


class TraceRecorder:
    """Records current and z through the TCP logger; without one, actions go unrecorded."""

    def __init__(self, session: Session, port: int) -> None:
        self._session = session
        self._port = port
        # In ascending order, because it is not known whether the stream keeps the order asked for.
        self._channels = sorted((session.index(CURRENT), session.index(Z)))
        self._columns = (
            self._channels.index(session.index(CURRENT)),
            self._channels.index(session.index(Z)),
        )
        self.available = False

    async def probe(self) -> None:
        """Find out whether the stream can be connected to."""
        try:
            (await self._connect()).close()
        except OSError as error:
            _log.info(
                "actions leave no traces: no TCP logger at %s:%d (%s)",
                self._session.host,
                self._port,
                str(error) or "time-out",
            )
            return
        self.available = await self._session.probe("TCPLog.StatusGet") is not None

    @asynccontextmanager
    async def recording(self) -> AsyncGenerator[Recording]:
        """Record while the context is open; a recording that fails is empty, never an error."""
        recording = Recording(self._session.clock, self._columns)
        transport = await self._start(recording) if self.available else None
        try:
            yield recording
        finally:
            if transport is not None:
                await self._stop(transport, recording)

    async def _connect(self, recording: Recording | None = None) -> asyncio.BaseTransport:
        async with asyncio.timeout(self._session.options.timeout_s):
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: recording or asyncio.Protocol(), self._session.host, self._port
            )
        return transport

    async def _start(self, recording: Recording) -> asyncio.BaseTransport | None:
        transport = None
        try:
            status = (await self._session.call("TCPLog.StatusGet"))["status"]
            if status is LoggerStatus.RUNNING:
                raise InstrumentError("somebody else is using it")
            await self._session.call("TCPLog.ChsSet", channels=self._channels)
            await self._session.call("TCPLog.OversamplSet", oversampling=_OVERSAMPLING)
            transport = await self._connect(recording)
            await self._session.call("TCPLog.Start")
        except (InstrumentError, OSError) as error:
            _log.warning("no trace of this action: the TCP logger cannot start (%s)", error)
            if transport is not None:
                transport.close()
            return None
        return transport

    async def _stop(self, transport: asyncio.BaseTransport, recording: Recording) -> None:
        try:
            await self._session.call("TCPLog.Stop")
            await recording.quiet()
        except InstrumentError as error:
            _log.warning("the TCP logger was not stopped: %s", error)
        finally:
            transport.close()
