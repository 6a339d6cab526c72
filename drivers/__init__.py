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
from drivers.emergency import Emergency, Guardable
from drivers.envelope import Limits, check_action, check_scan, check_spectrum
from drivers.enveloped import Delicate, EnvelopedMicroscope
from drivers.microscope import (
    Capability,
    Feedback,
    KnowsTruth,
    Microscope,
    MicroscopeState,
    TakesSpectra,
)
from drivers.outcome import Outcome, Trace
from drivers.registry import Address, open_microscope
from drivers.scan import Frame, Scan, ScanLine, ScanSettings
from drivers.spectrum import Spectrum, SpectrumSettings

__all__ = [
    "ACTION",
    "Action",
    "Address",
    "Approach",
    "Capability",
    "Clock",
    "CoarseMove",
    "Delicate",
    "Emergency",
    "EnvelopedMicroscope",
    "Feedback",
    "Frame",
    "Guardable",
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
    "Spectrum",
    "SpectrumSettings",
    "TakesSpectra",
    "Trace",
    "TunnellingPoint",
    "VirtualClock",
    "Wait",
    "check_action",
    "check_scan",
    "check_spectrum",
    "open_microscope",
]
