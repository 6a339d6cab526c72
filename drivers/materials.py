"""What tips and surfaces bear, as limits that narrow the envelope.

Nobody has published what spoils a tip; these are what others hold to. Tips: the tables of MAST
(HamsterPark/MAST-public), where not said otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from drivers.envelope import Limits

TipMaterial = Literal["unknown", "w", "ptir", "coated", "qplus"]
Surface = Literal["unknown", "metal", "hopg", "si111_7x7", "hsi100"]

_Bearing = Mapping[str, Mapping[str, float]]

_TIPS: _Bearing = MappingProxyType(
    {
        "w": {"max_pulse_v": 5.0, "max_depth_nm": 2.0},
        "ptir": {"max_pulse_v": 3.0, "max_depth_nm": 1.5},
        # Covered by the sample's metal. Assumed: between tungsten and PtIr, as the field moves the
        # metal on both sides; dips of 0.3 to 1.2 nm count as gentle in the cold.
        "coated": {"max_pulse_v": 4.0, "max_depth_nm": 1.2},
        "qplus": {"max_pulse_v": 2.0, "max_depth_nm": 0.3},
    }
)
# Assumed throughout: some way beyond what is published for repairs on these surfaces.
_SURFACES: _Bearing = MappingProxyType(
    {
        # Dips of 0.5 nm are used; stronger pulses strip the hydrogen far around.
        "hsi100": {"max_pulse_v": 4.0, "max_depth_nm": 1.0},
        # Dips of 0.9 nm and 0.15 nm more each time: Diao et al., Small Methods 2024, 2400813.
        "si111_7x7": {"max_depth_nm": 4.0},
        # Layers come off.
        "hopg": {"max_pulse_v": 6.0, "max_depth_nm": 2.0},
    }
)


def borne(limits: Limits, tip: TipMaterial = "unknown", surface: Surface = "unknown") -> Limits:
    """``limits``, narrowed to what a tip of this material and this surface bear.

    What is unknown narrows nothing, and so does a bare metal.
    """
    for bearing in (_TIPS.get(tip, {}), _SURFACES.get(surface, {})):
        limits = limits.narrowest(Limits().narrowed(**bearing))
    return limits
