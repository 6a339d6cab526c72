"""Actions and spots as operators read them: nm, pA, V and s, and nothing left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivers.actions import Action

#: By the ending of a field's name: what is written for one SI unit of it, and its ending there.
UNITS = {"m": (1e9, "nm"), "a": (1e12, "pA"), "s": (1.0, "s"), "v": (1.0, "V")}
SPEED = "_m_per_s"


def spot(x_m: float, y_m: float) -> str:
    """A place in the frame of the scanner."""
    return f"({round(x_m / 1e-9)}, {round(y_m / 1e-9)}) nm"


def describe(action: Action) -> str:
    """An action with all that decides what it does; what is approved must be what was read."""
    return f"{action.kind}: {_fields(action.model_dump(exclude={'kind'}))}"


def _fields(values: dict[str, object]) -> str:
    return ", ".join(_field(name, value) for name, value in values.items())


def _field(name: str, value: object) -> str:
    if isinstance(value, dict):
        return f"{name} {_fields(value)}"
    if isinstance(value, float):
        return _quantity(name, value)
    return f"{name.replace('_', ' ')} {value}"


def _quantity(name: str, value: float) -> str:
    if name.endswith(SPEED):
        what, unit, factor = name.removesuffix(SPEED), "nm/s", 1e9
    else:
        what, _, ending = name.rpartition("_")
        factor, unit = UNITS[ending]
    return f"{what.replace('_', ' ')} {value * factor:g} {unit}"
