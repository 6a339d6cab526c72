"""The sample: an endless surface that is a function of (seed, x, y), and the marks left on it.

Coordinates are nm in the frame of the sample; the world adds where the scanner looks. Which of
its parts a surface has (herringbone, lattice, molecules, standing waves) its preset says.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from sim.grounds import Ground, Grounds, Pile
from sim.presets.preset import Preset
from sim.scans.kernels import Doubles
from sim.surfaces.cells import adatom_cell, dimer_cell, lattice_cell
from sim.surfaces.crystal import Crystal
from sim.surfaces.herringbone import Herringbone
from sim.surfaces.relief import Corners, Tile, direction, draw_bumps
from sim.surfaces.scattered import adatom_bumps, molecule_bumps
from sim.surfaces.strewn import Strewn
from sim.surfaces.terraces import Terraces
from sim.surfaces.view import IDEAL, View
from sim.surfaces.waves import StandingWaves


class Bump(NamedTuple):
    """A mound (positive height) or pit on the surface; lengths in nm, see ``draw_bumps``."""

    x: float
    y: float
    height: float
    wide: float
    tall: float
    angle: float = 0.0
    flatness: float = 0.0

    def moved(self, dx: float, dy: float) -> Bump:
        """The same bump elsewhere."""
        return self._replace(x=self.x + dx, y=self.y + dy)


class Box(NamedTuple):
    """A rectangle of the sample in nm."""

    x0: float
    y0: float
    x1: float
    y1: float

    def grown(self, margin: float) -> Box:
        """The box with ``margin`` added on every side."""
        return Box(self.x0 - margin, self.y0 - margin, self.x1 + margin, self.y1 + margin)

    def holds(self, other: Box) -> bool:
        """Whether ``other`` lies inside."""
        return (
            self.x0 <= other.x0
            and self.y0 <= other.y0
            and self.x1 >= other.x1
            and self.y1 >= other.y1
        )


class Sample:
    """One sample; the same preset and seed give the same surface.

    Attributes:
        revision: grows with everything that is changed on it.
        tilt: slope of the mounted sample along x and y.
        polar: whether the bias changes what is seen.
        adatoms: adatoms and clusters.
        molecules: molecules, if it has any.
    """

    def __init__(self, preset: Preset, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        self._preset = preset
        self._layer_nm = preset.steps.height_nm
        self._seed = int(rng.integers(2**31))
        self._terraces = Terraces(preset.steps, self._seed, direction(rng))
        ridges = preset.reconstruction
        self._herringbone = Herringbone(ridges, self._layer_nm, rng) if ridges else None
        degrees = [preset.surface.tilt_deg.draw(rng) for _ in range(2)]
        self.tilt = (math.tan(math.radians(degrees[0])), math.tan(math.radians(degrees[1])))
        self._crystal = _crystal(preset, self._terraces.course, rng)
        self.adatoms = Strewn(partial(adatom_bumps, preset.adatoms, self._seed))
        seed = int(rng.integers(2**31))
        spot = preset.molecules.spot if preset.molecules else None
        self.molecules = Strewn(partial(molecule_bumps, spot, seed)) if spot else None
        self._waves = _waves(preset)
        self.polar = self._waves is not None or bool(self._crystal and self._crystal.polar)
        self._grounds = Grounds(self._ground, bool(self._crystal or self._waves))
        self._marks = np.empty((0, len(Bump._fields)))
        self._healed_s = 0.0
        self.revision = 0

    @property
    def marks(self) -> Doubles:
        """All marks so far, one ``Bump`` per row."""
        return self._marks

    def add(self, marks: list[Bump]) -> None:
        """Leave ``marks`` on the surface."""
        if marks:
            self._marks = np.concatenate([self._marks, np.array(marks, dtype=float)])
            self.revision += 1

    def heal(self, time_s: float) -> None:
        """Let marks fill up until ``time_s``; nothing where the preset has no healing."""
        law, since = self._preset.healing, time_s - self._healed_s
        self._healed_s = time_s
        if law and len(self._marks) and since > 0:
            self._marks[:, 2] *= math.exp(-since / law.time_s)
            self._marks = self._marks[np.abs(self._marks[:, 2]) > law.gone_nm]
            self.revision += 1

    def step_distance_nm(self, x: float, y: float) -> float:
        """Distance to the nearest step, measured along the course; infinite if none is near."""
        past = self._terraces.over((x, y, x, y), 0.0).past_nm(np.array(x), np.array(y))
        return min((abs(float(one)) for one in past), default=math.inf)

    def molecule_near(self, x: float, y: float, reach: float) -> Doubles | None:
        """A molecule within ``reach`` of a point, if there is one."""
        point = np.array([x, y])
        rows = self.molecules.along(point, point, reach) if self.molecules else None
        return None if rows is None or not len(rows) else rows[0]

    def take_molecule(self, row: Doubles) -> None:
        """Take away a molecule that was found."""
        if self.molecules:
            self.molecules.take(row)
            self._rearranged()

    def lay_molecule(self, x: float, y: float) -> None:
        """Lay a molecule down, where the surface has any."""
        spot = self._preset.molecules.spot if self._preset.molecules else None
        if spot and self.molecules:
            height = (spot.height_nm.a + spot.height_nm.b) / 2
            self.molecules.put(np.array([x, y, height, spot.wide_nm, spot.tall_nm, 0.0, 0.0]))
            self._rearranged()

    def drag_adatom(self, row: Doubles, x: float, y: float) -> None:
        """Bring an adatom that was found to another place."""
        self.adatoms.take(row)
        self.adatoms.put(np.array([x, y, *row[2:]]))
        self._rearranged()

    def lattice_deg(self, x: float, y: float) -> float:
        """Direction of the first lattice vector at a point, counterclockwise from x.

        For dimers that is across their rows; without a lattice, across the steps.
        """
        if self._crystal is None:
            cx, cy = self._terraces.course
            return math.degrees(math.atan2(cy, cx))
        stairs = self._terraces.over((x, y, x, y), 0.0)
        level = stairs.level_at(np.array([x]), np.array([y]))
        return math.degrees(self._crystal.turn(round(float(level[0]))))

    def take_adatoms(
        self, start: tuple[float, float], end: tuple[float, float], reach: float
    ) -> None:
        """Take away the adatoms and clusters within ``reach`` of the way from start to end."""
        rows = self.adatoms.along(np.array(start), np.array(end), reach)
        for row in rows:
            self.adatoms.take(row)
        if len(rows):
            self._rearranged()

    def tile(self, box: Box, spacing: float, view: View = IDEAL) -> Tile:
        """The surface over ``box`` as it is to a tip with this ``view``."""
        ground = self._grounds.over(box, spacing, view)
        self._pile(ground.tile, ground.kinds, view)
        return ground.tile

    def _ground(self, area: Corners, spacing: float, view: View) -> Ground:
        """Everything but what lies on the terraces."""
        tile = Tile.blank(area, spacing, bool(self._crystal or self._waves))
        reach = self._waves.reach_nm if self._waves else 0.0
        stairs = self._terraces.over(tile.corners, reach)
        stairs.draw(tile)
        defects: list[Pile] = []
        if self._crystal and tile.texture is not None:
            self._crystal.draw(tile, tile.texture, stairs, view)
            defects = [Pile(*kind) for kind in self._crystal.defects(tile, stairs)]
        if self._herringbone:
            self._herringbone.draw(tile)
        else:
            tile.height[:] *= np.float32(self._layer_nm)
        strewn = self._strewn(tile, reach)
        if self._waves and tile.texture is not None:
            centres = np.concatenate([pile.bumps for pile in strewn])
            self._waves.draw(tile, tile.texture, stairs, centres, view)
        return Ground(tile, strewn + defects)

    def _rearranged(self) -> None:
        self._grounds.forget()
        self.revision += 1

    def _strewn(self, tile: Tile, reach: float) -> list[Pile]:
        """Adatoms and molecules near ``tile``."""
        piles = [Pile(self.adatoms.over(tile.corners, reach), 0.0)]
        if self.molecules and self._preset.molecules:
            halo = self._preset.molecules.spot.halo
            piles.append(Pile(self.molecules.over(tile.corners, reach), halo, molecular=True))
        return piles

    def _pile(self, tile: Tile, kinds: list[Pile], view: View) -> None:
        """Draw everything that lies on the terraces; a lattice does not go on below it."""
        bare = tile.height.copy() if self._crystal else tile.height
        for bumps, halo, molecular in kinds:
            moat = view.halo + halo
            if molecular and view.molecule_factor != 1:
                bumps = bumps * np.array([1, 1, view.molecule_factor, 1, 1, 1, 1])
                moat += view.molecule_halo
            draw_bumps(tile.height, tile.origin, tile.spacing, bumps, moat)
        # Marks are metal like the terrace: an adsorbate on the tip sees no moat around them.
        if len(self._marks):
            draw_bumps(tile.height, tile.origin, tile.spacing, self._marks_in(tile), 0.0)
        if self._crystal and tile.texture is not None:
            self._crystal.hide(tile.texture, bare, tile.height)

    def _marks_in(self, tile: Tile) -> Doubles:
        marks, (x0, y0, x1, y1) = self._marks, tile.corners
        reach = 6 * np.maximum(marks[:, 3], marks[:, 4])
        near = (marks[:, 0] > x0 - reach) & (marks[:, 0] < x1 + reach)
        near &= (marks[:, 1] > y0 - reach) & (marks[:, 1] < y1 + reach)
        return marks[near]


def _crystal(
    preset: Preset, course: tuple[float, float], rng: np.random.Generator
) -> Crystal | None:
    """The lattice that the preset describes, if any."""
    if preset.lattice:
        return Crystal(preset.lattice, lattice_cell(preset.lattice), course, rng)
    if preset.dimers:
        return Crystal(preset.dimers, dimer_cell(preset.dimers), course, rng)
    if preset.adatom_cell:
        return Crystal(preset.adatom_cell, adatom_cell(preset.adatom_cell), course, rng)
    return None


def _waves(preset: Preset) -> StandingWaves | None:
    state = preset.spectrum.surface_state
    return StandingWaves(preset.waves, state) if preset.waves and state else None
