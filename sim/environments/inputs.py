"""What is handed to the environments, looked at before anything happens.

Types are checked at run time because arrays and configuration files keep no promises: a float
would be cut to a whole number, an empty dictionary taken for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any

import numpy as np

from drivers.complaints import shown
from drivers.errors import ConfigError
from sim.environments.memory import Whole

#: Seeds and episodes travel as 64-bit numbers.
END = 2**63


def expect(what: str, given: object, kind: type | UnionType, expected: str) -> None:
    """Let ``given`` pass if it is of ``kind``, described as ``expected``.

    Raises:
        ConfigError: it is of another.
    """
    if not isinstance(given, kind):
        raise ConfigError(f"{what} must be {expected}, got {shown(given)}")


def whole_number(what: str, given: object, least: int = 0) -> int:
    """``given`` as a whole number of at least ``least``.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(given, int | np.integer) and not isinstance(given, bool) and least <= given < END:
        return int(given)
    raise ConfigError(f"{what} must be a whole number of at least {least}, got {shown(given)}")


def optional_seed(given: object) -> int | None:
    """``given`` as a seed, or None for a new one.

    Raises:
        ConfigError: it is neither.
    """
    return None if given is None else whole_number("seed", given)


def own_options(given: object) -> Mapping[str, Any]:
    """The options of a reset; none if None.

    Raises:
        ConfigError: it is no dictionary.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return given
    raise ConfigError(f"options must be a dictionary, got {shown(given)}")


def one_for_each(what: str, given: object, worlds: int) -> Sequence[object]:
    """``given`` as a list with one entry for each world.

    Raises:
        ConfigError: it is no list, or has another length.
    """
    if isinstance(given, np.ndarray) and given.ndim == 1:
        given = list(given)
    if not isinstance(given, list | tuple):
        raise ConfigError(f"expected {worlds} {what} in a list, got {shown(given)}")
    if len(given) != worlds:
        raise ConfigError(f"expected {worlds} {what}, one for each world, got {len(given)}")
    return given


def choice_numbers(given: object, choices: int, worlds: int | None = None) -> Whole:
    """``given``, a whole number or one for each of ``worlds``, as numbers of choices.

    Raises:
        ConfigError: it is no number, there is no such choice, or not one for each world.
    """
    try:
        numbers = np.asarray(given)
    except ValueError:
        numbers = np.array(None)
    if numbers.dtype.kind not in "iu":
        raise ConfigError(
            f"action must be a whole number from 0 to {choices - 1}, got {shown(given)}"
        )
    if numbers.shape != (() if worlds is None else (worlds,)):
        expected = "one action" if worlds is None else f"{worlds} actions, one for each world"
        raise ConfigError(f"expected {expected}, got an array of shape {numbers.shape}")
    wrong = numbers[(numbers < 0) | (numbers >= choices)]
    if wrong.size:
        raise ConfigError(f"action {wrong[0]} is none of the {choices} choices, 0 to {choices - 1}")
    return numbers.astype(np.int64)
