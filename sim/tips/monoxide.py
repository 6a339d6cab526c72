"""How a tip gets a molecule of carbon monoxide at its apex, and how it loses it. Lengths are nm.

It goes to the tip and back by a field or a light touch: Bartels, Meyer and Rieder, Appl. Phys.
Lett. 71, 213 (1997). Nothing of this happens where the preset has no ``carbon_monoxide``.
"""

from __future__ import annotations

from sim.tips.law import Law, Transfer, logistic
from sim.tips.tip import Termination, Tip


class Monoxide(Law):
    """The law of the transfer of CO; ``over`` says whether a molecule lies below the tip."""

    def pulse(self, tip: Tip, bias_v: float, over: bool) -> tuple[Tip, Transfer | None]:
        """The tip after the field of a pulse, before anything else happens to it."""
        law = self._preset.carbon_monoxide
        if law is None:
            return tip, None
        loses = logistic((abs(bias_v) - law.lose_v) / law.steepness_v)
        if tip.termination is Termination.CO and self._happens(loses):
            return self._cleaned(tip), "left"
        picks = law.pulse_picks * logistic((abs(bias_v) - law.pick_up_v) / law.steepness_v)
        if over and tip.clean and self._happens(picks * (1 - loses)):
            return self._terminated(tip, Termination.CO), "taken"
        return tip, None

    def dip(self, tip: Tip, penetration_nm: float, over: bool) -> tuple[Tip, Transfer | None]:
        """The tip after coming so close, before any metal touches."""
        law, atom_nm = self._preset.carbon_monoxide, self._preset.dip.atom_depth_nm
        if law is None:
            return tip, None
        if tip.termination is Termination.CO and penetration_nm > 0:
            if penetration_nm >= atom_nm:
                # Pressed into the metal, it is not found again.
                return self._cleaned(tip), None
            return (self._cleaned(tip), "left") if self._happens(law.touch_loses) else (tip, None)
        light = -law.near_nm <= penetration_nm < atom_nm
        if over and light and tip.clean and self._happens(law.dip_picks):
            return self._terminated(tip, Termination.CO), "taken"
        return tip, None
