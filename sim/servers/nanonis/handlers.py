"""How a module of the controller offers its commands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

#: Values of a request or of a reply, by the names of the command table.
Values = Mapping[str, Any]
Handler = Callable[[Values], Awaitable[Values]]

_MARK = "_nanonis_command"
_Method = TypeVar("_Method", bound=Callable[..., Awaitable[Values]])

#: What a command without return values answers.
NOTHING: Values = {}
#: No single step of an action takes longer (s).
LONGEST_S = 3600.0


class Refusal(Exception):
    """The controller refuses a command; the text is the detail that it gives."""


def require(what: str, value: float, low: float, high: float) -> None:
    """Refuse a value that no instrument takes, before it makes nonsense of the simulation.

    Raises:
        Refusal: the value is not a number from ``low`` to ``high``.
    """
    if not low <= value <= high:
        raise Refusal(f"The {what} must be between {low:g} and {high:g}.")


def command(name: str) -> Callable[[_Method], _Method]:
    """Mark a method as the handler of the command ``name``."""

    def mark(method: _Method) -> _Method:
        setattr(method, _MARK, name)
        return method

    return mark


def handlers_of(module: object) -> dict[str, Handler]:
    """The marked methods of ``module``, by command."""
    methods = (getattr(module, name) for name in dir(type(module)))
    return {getattr(method, _MARK): method for method in methods if hasattr(method, _MARK)}
