"""The units in which the scorer measures."""

from __future__ import annotations

#: Heights are counted in this where the scale of a scan is known.
UNIT_M = 20e-12
#: Distance of pixels that counts as usual, and that is assumed where it is unknown.
USUAL_PITCH_M = 0.25e-9
