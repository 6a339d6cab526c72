"""The watches beside a run, as one table: what each complains of, and what happens then; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from agent.config import WatchdogSettings
from agent.hands import Left
from drivers.microscope import Feedback, MicroscopeState

PA, NM = 1e-12, 1e-9
#: Setpoints that a current may reach where ``max_current_pa`` leaves less.
HEADROOM = 1.5


class Reaction(StrEnum):
    """What a watch that is set off leads to."""

    WITHDRAW = "stop and withdraw"
    PAUSE = "pause"
    NOTIFY = "notify"


@dataclass(frozen=True, slots=True)
class Sighting:
    """What there is to watch at one moment; None is what was not looked at or cannot be known.

    Attributes:
        state: the instrument.
        left: how the agent has left it.
        under_way: whether the agent scans, and so sets what it needs itself.
        overdue_s: wall time for which a line of the scan was waited for in vain (s).
        silent_s: wall time for which an answer of the instrument was waited for in vain (s).
        jumped_s: how far this computer's clock has jumped since the last sighting (s).
        disk_mib: room on the disk of the journal (MiB).
        memory_mib: memory that this computer has left (MiB).
    """

    state: MicroscopeState | None = None
    left: Left | None = None
    overdue_s: float | None = None
    silent_s: float | None = None
    jumped_s: float | None = None
    disk_mib: float | None = None
    memory_mib: float | None = None
    under_way: bool = False


Complaint = str | None


@dataclass(frozen=True, slots=True)
class Watch:
    """One watch.

    Attributes:
        name: what people call it.
        reaction: what it leads to.
        complain: what is wrong, in words, or None.
    """

    name: str
    reaction: Reaction
    complain: Callable[[Sighting, WatchdogSettings], Complaint]


def _current(seen: Sighting, settings: WatchdogSettings) -> Complaint:
    state = seen.state
    if state is None:
        return None
    relative_a = settings.current_ratio * state.setpoint_a
    # Where the setpoint itself is that high, so is what the preamplifier can tell.
    absolute_a = max(settings.max_current_pa * PA, HEADROOM * state.setpoint_a)
    if abs(state.current_a) <= min(relative_a, absolute_a):
        return None
    told = f"the current is {state.current_a / PA:.0f} pA, more than"
    setpoint = f"the setpoint of {state.setpoint_a / PA:g} pA"
    if relative_a <= absolute_a:
        return f"{told} {settings.current_ratio:g} times {setpoint}"
    return f"{told} {absolute_a / PA:.0f} pA, at {setpoint}"


def _z_range(seen: Sighting, settings: WatchdogSettings) -> Complaint:
    state = seen.state
    if state is None or state.feedback is not Feedback.ON:
        return None
    low_m, high_m = state.z_reach_m
    margin_m = settings.z_margin * (high_m - low_m)
    if low_m + margin_m <= state.z_m <= high_m - margin_m:
        return None
    which = "range" if state.z_limits_m is None else "z limits"
    return (
        f"z is {state.z_m / NM:.1f} nm, at the end of its {which} from {low_m / NM:g} to "
        f"{high_m / NM:g} nm; approach anew from the middle of it"
    )


def _feedback(seen: Sighting, _: WatchdogSettings) -> Complaint:
    state = seen.state
    if state is None or seen.left is None or seen.left.feedback is Feedback.WITHDRAWN:
        return None
    # Setting a scan up may find the feedback off, and switches it on before it starts.
    if seen.under_way and state.scanning and state.feedback is Feedback.HELD:
        return "the feedback is off while the tip scans; find out why before going on"
    if state.feedback is not Feedback.WITHDRAWN:
        return None
    return (
        "the tip was in contact and is withdrawn, by the controller's protection or by somebody "
        "else; find out why before going on"
    )


def _operator(seen: Sighting, _: WatchdogSettings) -> Complaint:
    if seen.left is None or seen.state is None or seen.under_way:
        return None
    changes = seen.left.changes(seen.state)
    if not changes:
        return None
    return f"somebody else is at the instrument: {'; '.join(changes)}; nothing is overwritten"


def _stalled(seen: Sighting, _: WatchdogSettings) -> Complaint:
    if seen.overdue_s is None:
        return None
    return f"no line of the scan came for {seen.overdue_s:.0f} s; look at the instrument"


def _silent(seen: Sighting, _: WatchdogSettings) -> Complaint:
    if seen.silent_s is None:
        return None
    return f"the instrument has not told its state for {seen.silent_s:g} s; look at the link to it"


def _clock(seen: Sighting, settings: WatchdogSettings) -> Complaint:
    if seen.jumped_s is None or abs(seen.jumped_s) <= settings.clock_jump_s:
        return None
    return (
        f"this computer's clock has jumped by {seen.jumped_s:+.0f} s, or the computer slept; "
        "times of day in the journal jump with it"
    )


def _disk(seen: Sighting, settings: WatchdogSettings) -> Complaint:
    if seen.disk_mib is None or seen.disk_mib >= settings.min_disk_mib:
        return None
    return (
        f"the disk of the journal has {seen.disk_mib:.1f} MiB left, less than "
        f"{settings.min_disk_mib:g}; make room"
    )


def _memory(seen: Sighting, settings: WatchdogSettings) -> Complaint:
    if seen.memory_mib is None or seen.memory_mib >= settings.min_memory_mib:
        return None
    return (
        f"this computer has {seen.memory_mib:.0f} MiB of memory left, less than "
        f"{settings.min_memory_mib:g}; end other programs"
    )


#: Every watch, the most urgent first; docs/watchdogs.md says the same to people.
WATCHES = (
    Watch("current", Reaction.WITHDRAW, _current),
    Watch("z range", Reaction.WITHDRAW, _z_range),
    Watch("feedback lost", Reaction.WITHDRAW, _feedback),
    Watch("scan stalled", Reaction.WITHDRAW, _stalled),
    Watch("controller silent", Reaction.WITHDRAW, _silent),
    Watch("disk", Reaction.WITHDRAW, _disk),
    Watch("operator", Reaction.PAUSE, _operator),
    Watch("clock jump", Reaction.NOTIFY, _clock),
    Watch("memory", Reaction.NOTIFY, _memory),
)
