"""What a person did while labelling, one record a key: the lines of the journal.

Records are numbered from 1 upwards. Nothing is ever taken back from a journal: an undo is a record
of its own, that names the one it takes back.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from drivers.errors import ConfigError

DEFAULT_CLASSES = ("good", "double", "blunt", "unstable", "contaminated", "changed")
#: One digit key each.
MOST_CLASSES = 9
#: Columns of the table that a class would clash with.
RESERVED = ("image", "raters", "session")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    n: Annotated[int, Field(ge=1)]


class Begin(_Record):
    """The classes that all labels of this journal choose from."""

    do: Literal["begin"] = "begin"
    classes: Annotated[tuple[str, ...], Field(strict=False)]


class Toggle(_Record):
    """A class was marked on a scan, or unmarked."""

    do: Literal["toggle"] = "toggle"
    scan: str
    mark: str


class Save(_Record):
    """The label of a scan was decided; ``marks`` are all classes that hold."""

    do: Literal["save"] = "save"
    scan: str
    marks: Annotated[tuple[str, ...], Field(strict=False)]
    session: str


class Skip(_Record):
    """A scan shall have no label."""

    do: Literal["skip"] = "skip"
    scan: str


class Show(_Record):
    """Another scan was turned to."""

    do: Literal["show"] = "show"
    scan: str


class Undo(_Record):
    """The record numbered ``of`` no longer counts."""

    do: Literal["undo"] = "undo"
    of: int


Step = Toggle | Save | Skip | Show
Record = Begin | Step | Undo

#: Reads a record back from a line of JSON.
RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="do")])


def parse_classes(text: str) -> tuple[str, ...]:
    """Names of classes from ``a,b,c``.

    Raises:
        ConfigError: a name cannot be the heading of a column, comes twice, or there are too many.
    """
    names = tuple(name.strip() for name in text.split(","))
    if len(names) > MOST_CLASSES:
        raise ConfigError(
            f"--classes names {len(names)} classes; there is a digit key for {MOST_CLASSES} at most"
        )
    for name in names:
        if not re.fullmatch(r"[A-Za-z][\w-]{0,31}", name, re.ASCII):
            raise ConfigError(
                f"--classes: {name!r} is no name of a class; expected a letter, then up to 31 "
                "letters, digits, - and _"
            )
        if name in RESERVED or names.count(name) > 1:
            reason = "is a column of its own" if name in RESERVED else "comes twice"
            raise ConfigError(f"--classes: {name!r} {reason}; choose another name")
    return names
