"""How a tip looks at the surface, as far as it decides what the surface is to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """Tip and bias.

    Attributes:
        bias_v: bias of the sample (V).
        radius_nm: radius of the tip.
        decay_per_nm: 2 kappa.
        halo: moat that adsorbates seem to have.
        pixel_nm: distance between the points of a picture; zero for a single point.
        molecule_factor: how much higher molecules come out than with metal; negative turns dents
            into mounds.
        molecule_halo: moat around molecules, besides ``halo``.
        lattice_gain: how much higher a lattice comes out than with metal.
        dirty: whether an adsorbate images in place of the last atom of metal.
    """

    bias_v: float
    radius_nm: float
    decay_per_nm: float
    halo: float
    pixel_nm: float
    molecule_factor: float = 1.0
    molecule_halo: float = 0.0
    lattice_gain: float = 1.0
    dirty: bool = False


#: An infinitely sharp tip at next to no bias; without a radius the decay does not matter.
IDEAL = View(bias_v=0.0, radius_nm=0.0, decay_per_nm=1.0, halo=0.0, pixel_nm=0.0)
