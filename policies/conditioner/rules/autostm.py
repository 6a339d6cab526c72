"""The six actions of AutoSTM (JACS 2024), chosen uniformly.

Pulses of -2, -4 and -6 V for 50 ms, indentations of 1.5, 2.5 and 6 nm; one image with a probability
above 0.7 ends it. Its deep Q-network chose among them; neither weights nor data are public, so this
is the agent before its training. Its forced action after five scans in a row skipped for rough
ground has no counterpart: where nothing fits, another spot is looked for.
"""

from __future__ import annotations

from drivers.actions import TunnellingPoint
from drivers.envelope import Limits
from policies.acceptance import OneImage
from policies.conditioner.doing import indentation, pulse
from policies.conditioner.rules.uniform import Drawn

PULSES_V = (-2.0, -4.0, -6.0)
PULSE_S = 0.05
DEPTHS_NM = (1.5, 2.5, 6.0)
QUALITY = 0.7


def six_actions(at: TunnellingPoint, limits: Limits, seed: int) -> Drawn:
    """The six, each as probable."""
    pulses = [pulse(at, height, PULSE_S, limits) for height in PULSES_V]
    dips = [indentation(at, depth, limits) for depth in DEPTHS_NM]
    return Drawn([*pulses, *dips], limits, seed)


def acceptance() -> OneImage:
    """As published: one whole image."""
    return OneImage(QUALITY)
