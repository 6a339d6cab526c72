"""Presets that say only what differs from another preset.

``extends = "au111"`` takes over everything of that preset; ``without`` lists sections (dotted where
they lie inside another) that are left out. A number given anew replaces the old one together with
its provenance. A ``provenance`` with ``"*"`` speaks for its whole section, inherited numbers
included: what was measured on one surface is only assumed on the next.

``instrument = "usual"`` puts what ``instruments/usual`` says between both, or behind a preset that
extends none.
``au111-300k-ptir`` is the surface ``au111`` under the condition ``300k`` and the tip material
``ptir``: what ``conditions/300k`` says takes the place of what the surface says, and ``tips/ptir``
that of both. The ``for`` of a condition has a last word about single surfaces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drivers.errors import ConfigError

Table = dict[str, Any]


def resolved(
    surface: str, condition: str | None, tip: str | None, read: Callable[[str], Table]
) -> Table:
    """The whole content of a preset; ``read`` returns what a file says.

    Raises:
        ConfigError: presets extend each other in a circle, ``without`` names what is not there, or
            a number that replaces another does not say where it comes from.
    """
    table = extended(surface, read, ())
    if condition:
        table = _under(table, surface, read(f"conditions/{condition}"))
    if tip:
        own = extended(f"tips/{tip}", read, ())
        title = f"{table['title']}, {own['title']}"
        table = _overlaid(table, own, title)
    return table


def _under(table: Table, surface: str, condition: Table) -> Table:
    own = dict(condition)
    exceptions = own.pop("for", {})
    # Titles are: what, how cold, simulated.
    what = table["title"].split(", ")[0]
    table = _overlaid(table, own, f"{what}, {own['title']}, simulated")
    special = dict(exceptions.get(surface, {}))
    where = f"condition {own['name']!r}, for {surface!r}: "
    for section in special.pop("without", []):
        table = _without(table, section.split("."), f"{where}without {section!r}")
    return _merged(table, special, where)


def _overlaid(table: Table, own: Table, title: str) -> Table:
    name = f"{table['name']}-{own['name']}"
    return {**_merged(table, own, f"preset {name!r}: "), "name": name, "title": title}


def _filled(table: Table, instrument: Table) -> Table:
    """``table`` with every section of ``instrument`` that it has not yet."""
    return {
        **table,
        **{
            key: _filled(table[key], value) if key in table and not _is_section(value) else value
            for key, value in instrument.items()
            if key not in table or not _is_section(value)
        },
    }


def extended(name: str, read: Callable[[str], Table], below: tuple[str, ...] = ()) -> Table:
    """What ``name`` says together with what it extends; ``below`` are those that extend it.

    Raises:
        ConfigError: as ``resolved``.
    """
    if name in below:
        raise ConfigError(f"presets extend each other in a circle: {' -> '.join([*below, name])}")
    own = dict(read(name))
    parent, absent = own.pop("extends", None), own.pop("without", [])
    instrument = own.pop("instrument", None)
    if parent is None and not absent:
        return own if instrument is None else _filled(own, read(f"instruments/{instrument}"))
    if not isinstance(parent, str) or not isinstance(absent, list):
        raise ConfigError(
            f"preset {name!r}: extends must name a preset, without must list sections"
        )
    base = extended(parent, read, (*below, name))
    for section in absent:
        base = _without(base, str(section).split("."), f"preset {name!r}: without {section!r}")
    if instrument is not None:
        base = _merged(base, read(f"instruments/{instrument}"), f"instrument {instrument!r}: ")
    return _merged(base, own, f"preset {name!r}: ")


def _without(table: Table, path: list[str], where: str) -> Table:
    head, *rest = path
    if head not in table or (rest and not isinstance(table[head], dict)):
        raise ConfigError(f"{where}: there is no such section to leave out")
    if rest:
        return {**table, head: _without(table[head], rest, where)}
    return {key: value for key, value in table.items() if key != head}


def _merged(base: Table, own: Table, where: str) -> Table:
    """``base`` with everything that ``own`` says in its place."""
    result = dict(base)
    for key, value in own.items():
        old = base.get(key)
        if key == "provenance":
            continue
        # Sections have a provenance; every other table is one value, such as a spread.
        if isinstance(old, dict) and isinstance(value, dict) and "provenance" in old:
            result[key] = _merged(old, value, f"{where}{key}.")
        else:
            result[key] = value
    if "provenance" in base:
        result["provenance"] = _sources(base, own, where)
    return result


def _sources(base: Table, own: Table, where: str) -> Table:
    """Where the numbers of a section come from, once ``own`` has replaced some of ``base``."""
    sources: Table = own.get("provenance", {})
    if not isinstance(sources, dict):
        raise ConfigError(f"{where}provenance must be a table, got {sources!r}")
    if "*" in sources:
        return sources
    sections = {
        key for key, value in own.items() if _is_section(value) or _is_section(base.get(key))
    }
    silent = own.keys() - sources.keys() - sections - {"provenance"}
    if silent:
        raise ConfigError(f"{where}{min(silent)} is given anew without saying where it comes from")
    return {**base["provenance"], **sources}


def _is_section(value: object) -> bool:
    return isinstance(value, dict) and "provenance" in value
