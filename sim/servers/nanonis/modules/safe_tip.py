"""The controller's own protection of the tip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from drivers.nanonis.codes import Switch
from drivers.outcome import Trace
from sim.servers.nanonis.handlers import Values, command
from sim.servers.nanonis.instrument import Instrument
from sim.servers.nanonis.modules.zctrl import ZController
from sim.servers.nanonis.settings import Settings


class SafeTip:
    """Withdraws the tip when the current exceeds a threshold.

    Args:
        instrument: what is watched.
        settings: where the threshold is kept.
        controller: what withdraws.
        pause_scan: called where the scan is to pause.
    """

    def __init__(
        self,
        instrument: Instrument,
        settings: Settings,
        controller: ZController,
        pause_scan: Callable[[], None],
    ) -> None:
        self._instrument = instrument
        self._settings = settings
        self._controller = controller
        self._pause_scan = pause_scan
        instrument.on_trace.append(self._watch_trace)
        instrument.on_change.append(self._watch)

    @command("SafeTip.SignalGet")
    async def signal(self, _: Values) -> Values:
        """The signal that is watched: the current."""
        return {"signal": self._instrument.reading()[0]}

    def _watch_trace(self, trace: Trace) -> None:
        self._judge(float(np.abs(trace.current_a).max()))

    def _watch(self) -> None:
        # A reading costs a draw of noise, so it is taken only where it is needed.
        if self._settings.read("SafeTip.OnOff")["status"] == Switch.ON:
            self._judge(abs(self._instrument.world.read_current_a()))

    def _judge(self, current_a: float) -> None:
        props = self._settings.read("SafeTip.Props")
        on = self._settings.read("SafeTip.OnOff")["status"] == Switch.ON
        if not on or self._controller.tripped or current_a <= props["threshold"]:
            return
        self._controller.tripped = True
        self._controller.pull_back()
        if props["auto_pause_scan"] == Switch.ON:
            self._pause_scan()
        if props["auto_recovery"] == Switch.ON:
            # Still marked as tripped while it closes, or a low threshold would trip it for ever.
            self._instrument.act(lambda world: world.set_feedback(True))
            self._controller.tripped = False
