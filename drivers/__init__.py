"""The instrument: its vocabulary, its limits, and every way to reach one."""

from drivers.actions import (
    ACTION,
    Action,
    Approach,
    CoarseMove,
    Indentation,
    MoveTo,
    Pulse,
    RetuneFeedback,
    TunnellingPoint,
    Wait,
)
from drivers.clock import Clock, ScaledClock, VirtualClock
from drivers.envelope import EnvelopedMicroscope, Limits, check_action, check_scan
from drivers.microscope import Capability, Feedback, KnowsTruth, Microscope, MicroscopeState
from drivers.outcome import Outcome, Trace
from drivers.registry import Address, open_microscope
from drivers.scan import Frame, Scan, ScanLine, ScanSettings

__all__ = [
    "ACTION",
    "Action",
    "Address",
    "Approach",
    "Capability",
    "Clock",
    "CoarseMove",
    "EnvelopedMicroscope",
    "Feedback",
    "Frame",
    "Indentation",
    "KnowsTruth",
    "Limits",
    "Microscope",
    "MicroscopeState",
    "MoveTo",
    "Outcome",
    "Pulse",
    "RetuneFeedback",
    "ScaledClock",
    "Scan",
    "ScanLine",
    "ScanSettings",
    "Trace",
    "TunnellingPoint",
    "VirtualClock",
    "Wait",
    "check_action",
    "check_scan",
    "open_microscope",
]
