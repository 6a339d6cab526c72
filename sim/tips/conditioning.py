"""What a pulse, an indentation, a landing or a scan does to the tip and to the sample below it.

No transition probabilities have been published. The shapes follow what has: thresholds and both
signs of marks for pulses between gold and gold, transfer of the last atom at first contact (Limot
et al., Phys. Rev. Lett. 94, 126102), annealing by repeated gentle contact (Sabater et al., Phys.
Rev. Lett. 108, 205502), imprints that mirror the apex. What one cannot know varies from episode to
episode (``Latents``) and is never shown. Lengths are nm; marks are relative to the tip.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.presets.preset import Preset
from sim.scans.kernels import Doubles
from sim.tips.aging import Aging
from sim.tips.indenting import Indenting
from sim.tips.latents import Latents
from sim.tips.law import Change, Law
from sim.tips.monoxide import Monoxide
from sim.tips.pulsing import Pulsing
from sim.tips.tip import Termination, Tip


class Conditioning(Law):
    """The laws of one episode together."""

    def __init__(self, preset: Preset, latents: Latents, rng: np.random.Generator) -> None:
        super().__init__(preset, latents, rng)
        self._pulsing = Pulsing(preset, latents, rng)
        self._indenting = Indenting(preset, latents, rng)
        self._monoxide = Monoxide(preset, latents, rng)
        self._aging = Aging(preset, latents, rng)

    def pulse(
        self,
        tip: Tip,
        bias_v: float,
        width_s: float,
        lift_nm: float,
        feedback_on: bool,
        over_molecule: bool = False,
    ) -> Change:
        """A voltage pulse of sample bias ``bias_v``."""
        tip, transfer = self._monoxide.pulse(tip, bias_v, over_molecule)
        change = self._pulsing.pulse(tip, bias_v, width_s, lift_nm, feedback_on)
        return replace(change, transfer=transfer)

    def dip(
        self,
        tip: Tip,
        penetration_nm: float,
        bias_v: float,
        dwell_s: float,
        over_molecule: bool = False,
    ) -> Change:
        """An indentation that gets ``penetration_nm`` past first contact, or stays short of it."""
        tip, transfer = self._monoxide.dip(tip, penetration_nm, over_molecule)
        # A molecule in between keeps the metals apart.
        if transfer:
            return Change(tip, [], transfer)
        return self._indenting.dip(tip, penetration_nm, bias_v, dwell_s)

    def scan_line(self, tip: Tip, corrugation_nm: float) -> Tip:
        """The tip after one more line of a scan: usually the same one."""
        return self._aging.line(tip, corrugation_nm)

    def scan_lines(self, tip: Tip, corrugation_nm: Doubles) -> tuple[int, Tip]:
        """Lines up to the first that changes the tip, or all of them; and the tip after them.

        The same as line by line.
        """
        return self._aging.lines(tip, corrugation_nm)

    def moment(self) -> float:
        """Where on its line a change happens: share of the way there and back."""
        return self._aging.moment()

    def life_frames(self, tip: Tip) -> float:
        """Mean number of frames until ``tip`` changes by itself."""
        return self._aging.life_frames(tip)

    def landing(self, tip: Tip) -> Change:
        """The coarse approach reaches the sample, gently as a rule."""
        law = self._preset.landing
        if not self._happens(law.bad_share):
            return Change(tip, [])
        return self._indenting.plastic(tip, law.bad_depth_nm.draw(self._rng), 0.0, 0.0)

    def crash(self, tip: Tip) -> Change:
        """The tip is driven into the sample."""
        change = self._indenting.plastic(tip, self._preset.marks.crash_depth_nm, 0.0, 0.0)
        # Whatever came up from the sample sticks, and nothing sits firmly any more.
        bare = replace(change.tip, stable=False, termination=Termination.CLEAN, adsorbate=None)
        return Change(self._terminated(bare, Termination.STRONG), change.marks)
