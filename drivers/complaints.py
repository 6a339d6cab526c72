"""What was wrong with settings or files that pydantic looked at, in the words for people."""

from __future__ import annotations

import reprlib

from pydantic import ValidationError

#: Pydantic puts this before what our own validators say.
PREFIX = "Value error, "


def complaint(error: ValidationError) -> str:
    """What the first trouble in ``error`` is, without where it is and what was found there."""
    message: str = error.errors(include_url=False)[0]["msg"]
    return message.removeprefix(PREFIX)


def shown(given: object) -> str:
    """Type and value of what was given, shortened if it is long."""
    return f"{type(given).__name__} {reprlib.repr(given)}"
