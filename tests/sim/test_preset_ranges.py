"""Ranges of the numbers in presets: what cannot be meant is refused, and the field is named."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from sim.presets import quantities
from sim.presets.blocks import Spread
from sim.presets.preset import Preset, known_presets, known_tips, load_preset

PRESETS = (*known_presets(), *(f"cu111-{tip}" for tip in known_tips()))
PLURALS = {
    name: kind
    for name, kind in vars(quantities).items()
    if getattr(kind, "__origin__", None) is Spread
}

Path = tuple[str | int, ...]


def numbers(content: object, path: Path = ()) -> Iterator[Path]:
    """Where in ``content`` there are numbers."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from numbers(value, (*path, key))
    elif isinstance(content, list | tuple):
        for index, value in enumerate(content):
            yield from numbers(value, (*path, index))
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield path


def replaced(content: dict[str, Any], path: Path, value: float) -> dict[str, Any]:
    """A copy of ``content`` with another number at ``path``."""
    other = copy.deepcopy(content)
    inner: Any = other
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return other


@pytest.mark.parametrize("absurd", [-1e9, 1e12])
@pytest.mark.parametrize("name", PRESETS)
def test_no_number_of_any_preset_may_be_absurd(name: str, absurd: float):
    content = load_preset(name).model_dump(mode="json")
    found = list(numbers(content))
    assert len(found) > 200
    accepted, misnamed = [], []
    for path in found:
        try:
            Preset.model_validate(replaced(content, path, absurd))
        except ValidationError as error:
            named = error.errors()[0]["loc"]
            # The ends of a distribution are no fields of their own.
            if named not in (path, path[:-1]) or len(named) < 2:
                misnamed.append((path, named))
        else:
            accepted.append(path)
    assert (accepted, misnamed) == ([], [])


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_what_they_were_when_read_again(name: str):
    preset = load_preset(name)
    again = Preset.model_validate(preset.model_dump())
    assert (again, again.hash) == (preset, preset.hash)


@pytest.mark.parametrize("kind", PLURALS.values(), ids=PLURALS)
def test_a_range_holds_for_every_law(kind: Any):
    adapter = TypeAdapter(kind)
    for law in ("uniform", "log_uniform", "normal", "log_normal"):
        for a, b in ((1e12, 2e12), (1e12, 0.0), (1.0, 1e12), (-1e9, 0.0)):
            with pytest.raises(ValidationError):
                adapter.validate_python({"law": law, "a": a, "b": b})
    assert adapter.validate_python({"law": "uniform", "a": 1.0, "b": 1.0}).b == 1.0


@pytest.mark.parametrize(
    ("kind", "law", "says"),
    [
        (quantities.Lengths, {"law": "normal", "a": 5.0, "b": 0.1}, "normal draws numbers below 0"),
        (quantities.Shares, {"law": "uniform", "a": 0.5, "b": 1.5}, "outside of 0 to 1"),
        (quantities.Shares, {"law": "log_normal", "a": 0.9, "b": 0.5}, "outside of 0 to 1"),
        (quantities.Shifts, {"law": "normal", "a": 8.0, "b": 2.0}, "outside of -10 to 10"),
        (quantities.Shifts, {"law": "normal", "a": 0.0, "b": -1.0}, "normal needs b >= 0"),
    ],
)
def test_what_a_distribution_would_draw_counts(kind: Any, law: dict[str, Any], says: str):
    with pytest.raises(ValidationError, match=says):
        TypeAdapter(kind).validate_python(law)


@pytest.mark.parametrize(
    ("section", "field", "value", "says"),
    [
        ("apexes", "min_radius_nm", 50.0, "min_radius_nm must be below max_radius_nm"),
        ("apexes", "offset_max_nm", 0.4, "offset_min_nm must be below offset_max_nm"),
        ("carbon_monoxide", "pick_up_v", 3.2, "pick_up_v must be below lose_v"),
        ("controller", "bias_v", 0.0, "no current flows at a bias of 0"),
    ],
)
def test_numbers_must_agree(section: str, field: str, value: float, says: str):
    content = load_preset("cu111").model_dump()
    content[section][field] = value
    with pytest.raises(ValidationError, match=says):
        Preset.model_validate(content)


def test_every_number_of_a_block_has_two_bounds():
    """A field that no shipped preset uses is bounded, too."""
    open_fields = [
        f"{block.__name__}.{name}"
        for block in blocks(Preset)
        for name, field in block.model_fields.items()
        if field.annotation in (float, int) and not bounded(field.metadata)
    ]
    assert open_fields == []


def blocks(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for field in model.model_fields.values():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel) and part is not Spread:
                yield part
                yield from blocks(part)


def bounded(metadata: list[Any]) -> bool:
    below = any(hasattr(one, "ge") or hasattr(one, "gt") for one in metadata)
    return below and any(hasattr(one, "le") or hasattr(one, "lt") for one in metadata)
