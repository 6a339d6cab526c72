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
        self._running = False
        self._overflown = False
        # The client that is connected, and the one that has had frames since the last start. A
        # start may come before the client's connection, or before its last one is seen to end.
        self._client: asyncio.StreamWriter | None = None
        self._fed: asyncio.StreamWriter | None = None
        self._counter = 0
        self._sent_until_s = 0.0
        instrument.before_change.append(self._deliver)

    @command("TCPLog.Start")
    async def start(self, _: Values) -> Values:
        """Start the stream."""
        if not self._channels:
            raise Refusal("No channels are selected.")
        self._running, self._overflown, self._fed = True, False, None
        self._counter = 0
        self._sent_until_s = self._instrument.now()
        return NOTHING

    @command("TCPLog.Stop")
    async def stop_stream(self, _: Values) -> Values:
        """Stop the stream, once all that was recorded is sent."""
        self._deliver()
        self._running = self._overflown = False
        return NOTHING

    @command("TCPLog.ChsSet")
    async def choose(self, values: Values) -> Values:
        """Choose the channels of the next start."""
        if any(not 0 <= channel < len(NAMES) for channel in values["channels"]):
            raise Refusal("A channel index is out of range.")
        # Frames carry no names: a change in mid-stream could not be told from data.
        if self._running:
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
        if self._overflown:
            return {"status": LoggerStatus.OVERFLOW}
        if self._running:
            return {"status": LoggerStatus.RUNNING}
        connected = self._client is not None
        return {"status": LoggerStatus.IDLE if connected else LoggerStatus.DISCONNECTED}

    async def stream(self, client: asyncio.StreamWriter) -> None:
        """Feed the client that has connected to the logger's port, until it is cancelled."""
        self._client = client
        try:
            while True:
                await asyncio.sleep(_INTERVAL_S)
                self._deliver()
        finally:
            self._client = None
            if self._fed is client:
                self._running = False

    def _deliver(self) -> None:
        """Send what was sampled since the last time."""
        client = self._client
        if client is None or not self._running:
            return
        rate_hz = RT_FREQUENCY_HZ / self._oversampling
        count = int((self._instrument.settled_until() - self._sent_until_s) * rate_hz)
        # A client that does not read must not fill the memory; it is told by the status.
        waiting = client.transport.get_write_buffer_size()
        if count > _MOST_FRAMES or waiting > _MOST_BUFFERED_BYTES:
            self._running, self._overflown = False, True
        elif count:
            if self._fed is not client:
                client.write(self._frames(np.array([self._channels], np.float32)))
            self._fed = client
            times_s = self._sent_until_s + np.arange(1, count + 1) / rate_hz
            self._sent_until_s = float(times_s[-1])
            client.write(self._frames(self._values(times_s)))

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
