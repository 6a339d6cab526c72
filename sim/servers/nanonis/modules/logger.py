"""The TCP logger: a stream of samples on a port of its own."""

from __future__ import annotations

import asyncio

import numpy as np
from numpy.typing import NDArray

from drivers.nanonis.codes import LoggerStatus
from sim.servers.nanonis.handlers import NOTHING, Refusal, Values, command
from sim.servers.nanonis.instrument import Instrument
from sim.servers.nanonis.modules.signals import CURRENT, NAMES, Signals, Z
from sim.servers.nanonis.modules.util import RT_FREQUENCY_HZ

#: Wall time between two deliveries (s).
_INTERVAL_S = 0.02
_MOST_FRAMES = 200_000
_MOST_OVERSAMPLING = 1000
_MOST_BUFFERED_BYTES = 1 << 24


class TcpLogger:
    """The module TCP Logger.

    A frame is (channels u32, oversampling f32, counter u64, state u16, values f32 each). The first
    frame after a start has the counter 0 and the numbers of the channels in place of values.
    """

    def __init__(self, instrument: Instrument, signals: Signals) -> None:
        self._instrument = instrument
        self._signals = signals
        self._channels: tuple[int, ...] = (CURRENT, Z)
        self._oversampling = 20
        self._status = LoggerStatus.DISCONNECTED
        self._writer: asyncio.StreamWriter | None = None
        self._counter = 0
        self._sent_until_s = 0.0

    @command("TCPLog.Start")
    async def start(self, _: Values) -> Values:
        """Start the stream."""
        if self._writer is None:
            raise Refusal("No client is connected to the port of the TCP Logger.")
        if not self._channels:
            raise Refusal("No channels are selected.")
        self._status = LoggerStatus.RUNNING
        self._counter = 0
        self._sent_until_s = self._instrument.now()
        self._writer.write(self._frames(np.array([self._channels], np.float32)))
        return NOTHING

    @command("TCPLog.Stop")
    async def stop_stream(self, _: Values) -> Values:
        """Stop the stream, once all that was recorded is sent."""
        self._deliver()
        if self._writer is not None:
            self._status = LoggerStatus.IDLE
        return NOTHING

    @command("TCPLog.ChsSet")
    async def choose(self, values: Values) -> Values:
        """Choose the channels of the next start."""
        if any(not 0 <= channel < len(NAMES) for channel in values["channels"]):
            raise Refusal("A channel index is out of range.")
        if self._status == LoggerStatus.RUNNING:
            raise Refusal("The channels cannot be changed while the logger is running.")
        self._channels = values["channels"]
        return NOTHING

    @command("TCPLog.OversamplSet")
    async def oversample(self, values: Values) -> Values:
        """Choose over how many samples a value is averaged; 0 is taken as 1."""
        if not 0 <= values["oversampling"] <= _MOST_OVERSAMPLING:
            raise Refusal("The oversampling is out of range.")
        self._oversampling = max(values["oversampling"], 1)
        return NOTHING

    @command("TCPLog.StatusGet")
    async def status(self, _: Values) -> Values:
        """The state of the logger."""
        return {"status": self._status}

    async def stream(self, writer: asyncio.StreamWriter) -> None:
        """Feed the client that has connected to the logger's port, until it is cancelled."""
        self._writer, self._status = writer, LoggerStatus.IDLE
        try:
            while True:
                await asyncio.sleep(_INTERVAL_S)
                self._deliver()
        finally:
            self._writer, self._status = None, LoggerStatus.DISCONNECTED

    def _deliver(self) -> None:
        """Send what was sampled since the last time."""
        writer = self._writer
        if writer is None or self._status != LoggerStatus.RUNNING:
            return
        rate_hz = RT_FREQUENCY_HZ / self._oversampling
        count = int((self._instrument.now() - self._sent_until_s) * rate_hz)
        if count > _MOST_FRAMES or writer.transport.get_write_buffer_size() > _MOST_BUFFERED_BYTES:
            self._status = LoggerStatus.OVERFLOW
            return
        if count:
            times_s = self._sent_until_s + np.arange(1, count + 1) / rate_hz
            self._sent_until_s = float(times_s[-1])
            writer.write(self._frames(self._values(times_s)))

    def _values(self, times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """One row per time, one column per channel."""
        trace_hz = self._instrument.world.preset.controller.trace_hz
        averaged = max(round(self._oversampling * trace_hz / RT_FREQUENCY_HZ), 1)
        current, z = self._instrument.recorded(times_s, averaged)
        columns = [
            current if c == CURRENT else z if c == Z else np.full_like(z, self._signals.value(c))
            for c in self._channels
        ]
        return np.stack(columns, axis=1)

    def _frames(self, values: NDArray[np.float32]) -> bytes:
        count, channels = values.shape
        layout = [("n", ">u4"), ("o", ">f4"), ("i", ">u8"), ("s", ">u2"), ("v", ">f4", (channels,))]
        frames = np.zeros(count, layout)
        frames["n"] = channels
        frames["o"] = self._oversampling
        frames["i"] = self._counter + np.arange(count)
        frames["s"] = LoggerStatus.RUNNING
        frames["v"] = values
        self._counter += count
        return frames.tobytes()
