"""Presets: every number of a simulated surface and its tips, read from TOML with its provenance.

Units are those of the files (nm, pm, pA, Hz), in the field's name. Each block says where its
numbers come from: ``provenance`` maps a field, or ``"*"`` for the rest of the block, to
``"published: ..."``, ``"measured: ..."`` or ``"assumed: ..."``. A block without provenance for
one of its numbers is refused.
"""

from __future__ import annotations

import hashlib
import tomllib
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from drivers.complaints import complaint
from drivers.errors import ConfigError, FileError
from drivers.materials import TipMaterial
from sim.presets.blocks import Block, Frozen
from sim.presets.inheritance import Table, extended, resolved
from sim.presets.instrument import Controller, Landing, Motion, Noise
from sim.presets.quantities import Factor, Length
from sim.spectra.spectral import GoodSpectrum, SpectrumLaw
from sim.surfaces.blocks import (
    AdatomCell,
    Adatoms,
    Dimers,
    Lattice,
    Molecules,
    Mounting,
    Reconstruction,
    Steps,
    Waves,
)
from sim.tips.blocks import (
    Apexes,
    CarbonMonoxide,
    Changes,
    DipLaw,
    Dragging,
    FirstTip,
    Good,
    Healing,
    Hidden,
    Instability,
    LargeMolecule,
    Marks,
    PulseLaw,
    Tunnelling,
)

#: What all tip materials have in common; no material itself.
COMMON_TIP = "any"
#: How the path of a preset of one's own ends; names of shipped ones do not.
SUFFIX = ".toml"
LARGEST_PIXELS = 2048


class Grid(Block):
    """How finely the surface is rendered: with the pixels, within limits.

    A lattice wants more than one point per pixel, or the straight lines between them show.
    """

    points_per_pixel: Factor = 1.0
    coarsest_nm: Length
    finest_nm: Length
    probe_nm: Length
    margin_nm: Length


class UsualFrame(Block):
    """The frame that shows what the surface is judged by, for those who ask for none."""

    size_nm: Length
    pixels: Annotated[int, Field(ge=16, le=LARGEST_PIXELS, multiple_of=16)]


class Preset(Frozen):
    """All numbers of one simulated surface and the tips over it.

    What covers the terraces is one of ``reconstruction``, ``lattice``, ``dimers`` and
    ``adatom_cell``, or nothing; ``waves`` are those of the surface state in ``spectrum``.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    title: str
    frame: UsualFrame
    good: Good
    good_spectrum: GoodSpectrum
    surface: Mounting
    steps: Steps
    reconstruction: Reconstruction | None = None
    lattice: Lattice | None = None
    dimers: Dimers | None = None
    adatom_cell: AdatomCell | None = None
    adatoms: Adatoms
    molecules: Molecules | None = None
    waves: Waves | None = None
    tunnelling: Tunnelling
    apexes: Apexes
    first_tip: FirstTip
    instability: Instability
    hidden: Hidden
    changes: Changes
    pulse: PulseLaw
    dip: DipLaw
    marks: Marks
    carbon_monoxide: CarbonMonoxide | None = None
    large_molecule: LargeMolecule | None = None
    healing: Healing | None = None
    dragging: Dragging | None = None
    tip_material: TipMaterial = "unknown"
    landing: Landing
    controller: Controller
    noise: Noise
    motion: Motion
    grid: Grid
    spectrum: SpectrumLaw

    @property
    def hash(self) -> str:
        """Short fingerprint of the content; what a surface does not have is no part of it.

        Nor is the usual frame: where one looks changes nothing of what is there.
        """
        return _fingerprint(self.model_dump_json(exclude_defaults=True, exclude={"frame"}))

    @property
    def good_definition(self) -> str:
        """Short fingerprint of what counts as good; the same for every preset that agrees on it."""
        parts = self.good, self.good_spectrum
        numbers = [part.model_dump_json(exclude={"provenance"}) for part in parts]
        return _fingerprint(f"{numbers} {self.steps.height_nm}")

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        covers = ("reconstruction", "lattice", "dimers", "adatom_cell")
        present = [name for name in covers if getattr(self, name)]
        if len(present) > 1:
            raise ValueError(f"only one of {' and '.join(present)} can cover the terraces")
        state = self.spectrum.surface_state
        if self.waves and not (state and state.onset_ev < 0):
            raise ValueError("waves need spectrum.surface_state with onset_ev below zero")
        if self.grid.finest_nm > self.grid.coarsest_nm:
            raise ValueError("grid.finest_nm must not exceed grid.coarsest_nm")
        events = ("pink", "rattle", "jumps", "glitches")
        loud = [name for name in events if getattr(self.noise, name)]
        if loud and not self.controller.scanner:
            raise ValueError(f"noise.{loud[0]} needs controller.scanner, which answers to it")
        return self


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _folder() -> Traversable:
    return files("sim") / "presets"


def known_presets() -> tuple[str, ...]:
    """Names of the surfaces that ``load_preset`` knows."""
    return _names(_folder())


def known_tips() -> tuple[str, ...]:
    """Tip materials that can follow the name of a surface, behind a hyphen."""
    return tuple(name for name in _names(_folder() / "tips") if name != COMMON_TIP)


def known_conditions() -> tuple[str, ...]:
    """Conditions that can follow the name of a surface, behind a hyphen and before the tip."""
    return _names(_folder() / "conditions")


def known_instruments() -> tuple[str, ...]:
    """Instruments that a preset can name."""
    return _names(_folder() / "instruments")


def _names(folder: Traversable) -> tuple[str, ...]:
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


def load_preset(name: str) -> Preset:
    """Read a preset: a surface, perhaps a condition, perhaps a tip material (``au111-300k-ptir``).

    What ends in ``.toml`` is the path of a file of one's own, which may extend a shipped surface.
    Its ``name`` is free, and that of the file where it gives none.

    Raises:
        ConfigError: there is no such preset, or a number in it cannot be.
        FileError: there is no such file, or it is no TOML.
    """
    return _from_file(Path(name)) if name.endswith(SUFFIX) else _shipped(name)


def _from_file(path: Path) -> Preset:
    own = str(path)

    def read(name: str) -> Table:
        if name == own:
            return {"name": path.stem, **_own_table(path)}
        try:
            return _read(name)
        except ConfigError as error:
            raise ConfigError(f"preset {own!r}: {error}") from None

    return _checked(own, extended(own, read))


def _own_table(path: Path) -> Table:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"cannot read preset {str(path)!r}: {error.strerror or error}") from None
    except ValueError as error:
        raise FileError(f"preset {str(path)!r} is no TOML: {error}") from None


@lru_cache(maxsize=64)
def _shipped(name: str) -> Preset:
    content = resolved(*_parts(name), _read)
    if content.get("name") != name:
        raise ConfigError(f"preset {name!r}: name is {content.get('name')!r}, not that of its file")
    return _checked(name, content)


def _checked(name: str, content: Table) -> Preset:
    try:
        return Preset.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"preset {name!r}: {_what_is_wrong(error)}") from None


def _parts(name: str) -> tuple[str, str | None, str | None]:
    """Surface, condition and tip of a preset's name."""
    surface, *rest = name.split("-")
    if surface not in known_presets():
        raise ConfigError(
            f"unknown simulated surface {surface!r}; known are {', '.join(known_presets())}; "
            f"a condition ({', '.join(known_conditions())}) and a tip ({', '.join(known_tips())}) "
            "may follow, each behind a hyphen"
        )
    condition = rest.pop(0) if rest and rest[0] in known_conditions() else None
    if rest and (len(rest) > 1 or rest[0] not in known_tips()):
        raise ConfigError(
            f"unknown tip {'-'.join(rest)!r}; known are {', '.join(known_tips())}; the conditions, "
            f"which come before the tip, are {', '.join(known_conditions())}"
        )
    return surface, condition, rest[0] if rest else None


def _read(name: str) -> Table:
    folder, _, part = name.rpartition("/")
    if folder == "tips" and part not in (COMMON_TIP, *known_tips()):
        raise ConfigError(f"unknown tip {part!r}; known are {', '.join(known_tips())}")
    if folder == "instruments" and part not in known_instruments():
        known = ", ".join(known_instruments())
        raise ConfigError(f"unknown instrument {part!r}; known are {known}")
    if folder not in ("tips", "instruments", "conditions") and name not in known_presets():
        raise ConfigError(
            f"unknown simulated surface {name!r}; known are {', '.join(known_presets())}"
        )
    text = (_folder() / f"{name}.toml").read_text(encoding="utf-8")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"preset {name!r} cannot be read: {error}") from None


def _what_is_wrong(error: ValidationError) -> str:
    """The first trouble in one line: field, expectation, and what was there."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    # A field that is missing, or wrong in company, has no value of its own to be shown.
    shown = "" if isinstance(first["input"], dict | Frozen) else f" (got {first['input']!r})"
    return f"{field + ': ' if field else ''}{complaint(error)}{shown}"
