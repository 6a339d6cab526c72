"""Unit cells of atomically resolved surfaces, as an infinitely sharp tip would show them.

A cell is a square array of heights over fractional coordinates; lengths are nm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.scans.kernels import Doubles
from sim.surfaces.blocks import AdatomCell, Dimers, Lattice, Spot

#: Points of a cell along each lattice vector: 0.04 nm apart in the largest one.
POINTS = 64
# Sites of the dimer-adatom-stacking-fault model in units of the bulk lattice, seven to a side:
# Takayanagi et al., Surf. Sci. 164, 367 (1985). The other half follows by inversion.
SIDE = 7
#: Makes the gaps between rows and between dimers about a third as wide as either.
BREADTH = 3
#: Makes the node of a dimer half as wide as the distance of its atoms, 0.24 nm.
NODE_POWER = 4
ADATOMS = ((1, 1), (5, 1), (1, 5), (3, 1), (1, 3), (3, 3))
CORNER_ADATOMS = 3
REST_ATOMS = ((5 / 3, 5 / 3), (11 / 3, 5 / 3), (5 / 3, 11 / 3))


@dataclass(frozen=True, slots=True)
class Cell:
    """What repeats.

    Attributes:
        basis: lattice vectors as rows, the first one along x.
        heights: heights (POINTS, POINTS) at a bias (V); the first axis runs along the first vector.
        defects: kinds of defects, each with the sites in the cell (fractional) it may take.
        polar: whether the bias matters.
        quarter_turns: whether the lattice turns by a right angle from level to level.
        domain_nm: size of the domains it falls into; zero for a lattice that is one.
        steps: cells of the bulk's own surface along each lattice vector.
    """

    basis: Doubles
    heights: Callable[[float], Doubles]
    defects: tuple[tuple[Spot, Doubles], ...] = ()
    polar: bool = False
    quarter_turns: bool = False
    domain_nm: float = 0.0
    steps: int = 1


def lattice_cell(lattice: Lattice) -> Cell:
    """One atom per cell: the three lowest waves of a triangular lattice."""

    def heights(_: float) -> Doubles:
        u, v = _fractions()
        waves = np.cos(2 * np.pi * u) + np.cos(2 * np.pi * v) + np.cos(2 * np.pi * (u - v))
        # The sum runs from -1.5 between the atoms to 3 on top of them.
        return lattice.corrugation_nm / 4.5 * waves

    return Cell(_rhombus(lattice.period_nm, 120), heights)


def dimer_cell(dimers: Dimers) -> Cell:
    """One dimer: the first vector runs across the rows, the second along them."""

    def heights(bias_v: float) -> Doubles:
        across, along = (0.5 + 0.5 * np.cos(2 * np.pi * w) for w in _fractions())
        # Beans lie across their row like the rungs of a ladder: broad, with narrow gaps.
        rows, rungs = (1 - (1 - wave) ** BREADTH for wave in (across, along))
        empty = 0.5 + 0.5 * math.tanh(bias_v / dimers.polarity_v)
        # The antibonding state of the dimer vanishes between its atoms, and only there.
        node = empty * dimers.node_nm * across**NODE_POWER
        # No product of both: good public scans show dimers as high between the rows as on them.
        return dimers.row_height_nm * rows + dimers.dimer_height_nm * rungs - node

    side = dimers.bond_offset_nm / dimers.row_nm
    bonds, middle = np.array([[side, 0.0], [-side, 0.0]]), np.zeros((1, 2))
    return Cell(
        np.diag([dimers.row_nm, dimers.dimer_nm]),
        heights,
        ((dimers.bonds, bonds), (dimers.missing, middle), (dimers.split, middle)),
        polar=True,
        quarter_turns=True,
    )


def adatom_cell(cell: AdatomCell) -> Cell:
    """Twelve adatoms and six rest atoms per cell, a hole in every corner."""
    basis = _rhombus(cell.cell_nm, 60)
    faulted = np.array(ADATOMS) / SIDE
    rest = np.array(REST_ATOMS) / SIDE
    adatoms = np.concatenate([faulted, 1 - faulted])

    def heights(bias_v: float) -> Doubles:
        filled = 0.5 - 0.5 * math.tanh(bias_v / cell.polarity_v)
        half = np.full(len(faulted), cell.adatom_nm)
        half[:CORNER_ADATOMS] += filled * cell.corner_nm
        half[CORNER_ADATOMS:] += (1 - filled) * cell.centre_nm
        tops = np.concatenate([half + filled * cell.faulted_nm, half])
        low = np.full(2 * len(rest), filled * cell.rest_nm)
        return (
            _peaks(basis, adatoms, tops, cell.adatom_sigma_nm)
            + _peaks(basis, np.concatenate([rest, 1 - rest]), low, cell.rest_sigma_nm)
            - _peaks(basis, np.zeros((1, 2)), np.array([cell.hole_nm]), cell.hole_sigma_nm)
        )

    defects = ((cell.vacancies, adatoms), (cell.reacted, adatoms))
    return Cell(basis, heights, defects, polar=True, domain_nm=cell.domain_nm, steps=SIDE)


def _rhombus(side_nm: float, degrees: float) -> Doubles:
    angle = math.radians(degrees)
    return side_nm * np.array([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])


def _fractions() -> tuple[Doubles, Doubles]:
    axis = np.arange(POINTS) / POINTS
    u, v = np.meshgrid(axis, axis, indexing="ij")
    return u, v


def _peaks(basis: Doubles, sites: Doubles, heights: Doubles, sigma_nm: float) -> Doubles:
    """A Gaussian on every site (fractional), repeated with the lattice."""
    u, v = _fractions()
    total = np.zeros_like(u)
    for (s, t), height in zip(sites, heights, strict=True):
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                du, dv = u - s - i, v - t - j
                x = du * basis[0, 0] + dv * basis[1, 0]
                y = du * basis[0, 1] + dv * basis[1, 1]
                total += height * np.exp(-0.5 * (x * x + y * y) / sigma_nm**2)
    return total
