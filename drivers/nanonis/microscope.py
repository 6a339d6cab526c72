"""An STM behind a Nanonis controller, as a ``drivers.Microscope``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from drivers.actions import (
    Action,
    Approach,
    CoarseMove,
    Indentation,
    MoveTo,
    Pulse,
    RetuneFeedback,
    Wait,
)
from drivers.clock import ScaledClock
from drivers.emergency import Emergency
from drivers.errors import (
    ApproachFailed,
    CommandFailed,
    ContactLost,
    InstrumentError,
    OutcomeUnknown,
    ProtocolError,
    SettingsChanged,
)
from drivers.microscope import Capability, Debts, MicroscopeState
from drivers.nanonis.bias import POINT, WorkingPoint
from drivers.nanonis.coarse import approach, coarse_move
from drivers.nanonis.codes import Switch
from drivers.nanonis.emergency import emergency_frames
from drivers.nanonis.logger import TraceRecorder
from drivers.nanonis.options import LOGGER_OFFSET, first_port, read_options
from drivers.nanonis.readiness import expect_ready
from drivers.nanonis.rig import Rig
from drivers.nanonis.safe_tip import (
    SAFE_TIP,
    probe_safe_tip,
    restore_safe_tip,
    unprotected,
)
from drivers.nanonis.scanning import scan_lines
from drivers.nanonis.session import CURRENT, Session, X, Y, Z
from drivers.nanonis.settings import Settings
from drivers.nanonis.tip_actions import indent, move_to, pulse, retune
from drivers.nanonis.zcontrol import ZControl
from drivers.outcome import Outcome
from drivers.registry import Address
from drivers.scan import ScanLine, ScanSettings

_log = logging.getLogger(__name__)

#: Wall-clock time for putting back the operator's settings (s): a link that is gone must not hold
#: up the end of a run.
PUT_BACK_S = 25.0
_MODULES = {
    Capability.INDENT: ("TipShaper.PropsGet", {}),
    Capability.COARSE: ("Motor.StepCounterGet", {"reset_x": 0, "reset_y": 0, "reset_z": 0}),
}


class NanonisMicroscope:
    """A microscope behind a Nanonis controller; open it with ``open_nanonis``."""

    def __init__(self, rig: Rig, capabilities: frozenset[Capability]) -> None:
        session = rig.session
        self._rig = rig
        self.name = f"{session.product or 'Nanonis'} at {session.host}:{session.port}"
        self.clock: ScaledClock = session.clock
        self.capabilities = capabilities

    async def state(self) -> MicroscopeState:
        """Read the instrument; changes nothing."""
        session = self._rig.session
        current_a, z_m, x_m, y_m = await session.signals(CURRENT, Z, X, Y)
        bias_v, setpoint_a = await self._rig.point.get()
        range_m = await session.read("Piezo.RangeGet")
        return MicroscopeState(
            time_s=self.clock.now(),
            bias_v=bias_v,
            setpoint_a=setpoint_a,
            current_a=current_a,
            x_m=x_m,
            y_m=y_m,
            z_m=z_m,
            feedback=await self._rig.z.feedback(z_m),
            scanning=(await session.read("Scan.StatusGet"))["status"] is Switch.ON,
            range_m=(range_m["x_m"], range_m["y_m"], range_m["z_m"]),
            retracted_steps=self._rig.retracted_steps,
            z_limits_m=await self._rig.z.limits(),
        )

    def scan(self, settings: ScanSettings) -> AsyncGenerator[ScanLine]:
        """Scan, yielding each line as it is complete both ways; closing it stops the scan.

        Raises:
            InstrumentError: a scan runs already, settings were not taken over, or the scan ended
                or stalled before its last line.
            ContactLost: the tip is withdrawn.
        """
        return scan_lines(self._rig, settings)

    async def perform(self, action: Action) -> Outcome:
        """Carry out one action.

        Raises:
            OutcomeUnknown: something went wrong after the action had begun.
            ApproachFailed: the approach found no contact; the tip is withdrawn.
            ContactLost: there is no tunnelling contact to act on, or none any more.
            SettingsChanged: somebody else has changed what was set; the action was not sent.
            InstrumentError: the instrument failed before the action began.
            ConfigError: the address lacks what this action needs to know.
        """
        await expect_ready(self._rig)
        # From the first command that touches something on, failing means not knowing.
        self._rig.session.acted = False
        try:
            return await self._perform(action)
        except (ApproachFailed, ContactLost, OutcomeUnknown):
            raise
        except InstrumentError as error:
            if not self._rig.session.acted:
                raise
            raise OutcomeUnknown(
                f"the {action.kind} had begun and its end was not seen: {error}; "
                "do not repeat it, look first"
            ) from error

    async def withdraw(self) -> None:
        """Stop what runs and pull the tip back to the upper end of the z range.

        Raises:
            InstrumentError: the tip did not get there.
        """
        await self._rig.z.withdraw()

    async def emergency(self) -> Emergency:
        """How to withdraw the tip without this driver; changes nothing.

        Raises:
            InstrumentError: the controller does not tell its z range.
        """
        return await emergency_frames(self._rig.session, self._rig.z)

    async def account_to(self, told: Callable[[Debts], Awaitable[None]]) -> None:
        """Tell ``told`` what has to be put back, and every change of it.

        Raises:
            FileError: ``told`` cannot keep it.
        """
        await self._rig.settings.debts.account_to(told)

    async def take_up(self, debts: Debts) -> None:
        """Switch SafeTip on if it was left off; put the rest that was left changed back on closing.

        What a human has changed since stays as it is.

        Raises:
            InstrumentError: SafeTip was not seen to be on again, or the controller fails.
        """
        self._rig.settings.debts.adopt(debts)
        await restore_safe_tip(self._rig)
        for name, debt in debts.items():
            if name != SAFE_TIP and debt is not None:
                await self._take_up(name, debt)

    async def _take_up(self, name: str, debt: Mapping[str, Any]) -> None:
        try:
            if name == POINT:
                await self._rig.point.take_up(debt)
            else:
                await self._rig.settings.take_up(name, debt)
        except CommandFailed as error:
            # Of a module that is not open; it stays owed, for whoever comes when it is.
            _log.warning("whether %s is as it was left is unknown: %s", name, error)
        except (AttributeError, LookupError, TypeError, ValueError, ProtocolError) as error:
            _log.warning("what the run before has left of %s is not understood: %s", name, error)
            await self._rig.settings.debts.settle(name)

    async def unprotected(self) -> str | None:
        """Why SafeTip, although there is one, does not protect the tip, and what to do; or None."""
        return await unprotected(self._rig)

    async def close(self) -> None:
        """Put back what the operator had set, and disconnect.

        What somebody else has set since stays, and so does everything while they scan, but for
        SafeTip, which is switched on if an action could not do so. Bias and setpoint are left as
        they are unless the feedback is on now and was on, at a bias above ``MIN_BIAS_V``, when they
        were first changed.

        Raises:
            SettingsChanged: somebody else is at work, so something was left as they have it.
            InstrumentError: something could not be put back; the connections are closed anyway.
        """
        self._rig.settings.debts.end()
        failures: list[str] = []
        problem: type[InstrumentError] = InstrumentError
        steps = (
            partial(restore_safe_tip, self._rig),
            self._expect_nobody_scans,
            self._rig.point.restore,
            self._rig.settings.give_back_all,
        )
        try:
            async with asyncio.timeout(PUT_BACK_S):
                for step in steps:
                    try:
                        await step()
                    except SettingsChanged as error:
                        failures.append(str(error))
                        problem = SettingsChanged
                        break
                    except InstrumentError as error:
                        failures.append(str(error))
        except TimeoutError:
            failures.append(
                f"not everything was put back within {PUT_BACK_S:g} s; set the rest by hand"
            )
        finally:
            await self._rig.session.close()
        if failures:
            raise problem("; and ".join(failures))

    async def _expect_nobody_scans(self) -> None:
        # Scans of ours are over by now: to change anything under another's would spoil it.
        if not (self._rig.point.borrowed or self._rig.settings.borrowed):
            return
        if (await self._rig.session.read("Scan.StatusGet"))["status"] is Switch.ON:
            raise SettingsChanged(
                "somebody else has started a scan, so bias, setpoint and scan settings are left as "
                "they are; set them by hand"
            )

    async def _perform(self, action: Action) -> Outcome:
        match action:
            case Pulse():
                return await pulse(self._rig, action)
            case Indentation():
                return await indent(self._rig, action)
            case MoveTo():
                return await move_to(self._rig, action)
            case CoarseMove():
                return await coarse_move(self._rig, action)
            case Approach():
                return await approach(self._rig, action)
            case RetuneFeedback():
                return await retune(self._rig, action)
            case Wait():
                started_s = self.clock.now()
                await self.clock.sleep(action.seconds)
                return Outcome(started_s, self.clock.now())


async def open_nanonis(address: Address) -> NanonisMicroscope:
    """Connect to the controller at ``nanonis://host:port`` and find out what it can do.

    The first of four consecutive ports is 6501 unless the address says otherwise; options are the
    fields of ``NanonisOptions``.

    Raises:
        ConfigError: the address or an option is wrong.
        ConnectionFailed: nobody answers, or it is no STM controller.
        InstrumentError: the controller fails while being asked, or SafeTip's auto-recovery is on.
    """
    options = read_options(address)
    port = first_port(address)
    session = Session(address.host, port, options)
    try:
        await session.open()
        settings = Settings(session)
        z = ZControl(session, settings)
        recorder = TraceRecorder(session, options.logger_port or port + LOGGER_OFFSET)
        rig = Rig(session, settings, z, WorkingPoint(session, settings, z), recorder)
        return NanonisMicroscope(rig, await _find_capabilities(rig))
    except BaseException:
        await session.close()
        raise


async def _find_capabilities(rig: Rig) -> frozenset[Capability]:
    found = {Capability.SCAN, Capability.PULSE}
    for capability, (question, values) in _MODULES.items():
        if await rig.session.probe(question, **values) is None:
            _log.info("%s is not available: %s was refused", capability, question)
        else:
            found.add(capability)
    if await probe_safe_tip(rig):
        found.add(Capability.SAFE_TIP)
    # A motor whose directions nobody has told us about is as good as none.
    if rig.session.options.z_retract is None:
        found.discard(Capability.COARSE)
    await rig.recorder.probe()
    if rig.recorder.available:
        found.add(Capability.TRACES)
    return frozenset(found)
