"""What is in a journal that can be read may still make no sense: told in one sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from agent.journal.journal import Journal
from drivers.complaints import complaint
from drivers.errors import FileError

# A bit may flip anywhere: a key is missing, a text is where a number was, a number is out of all
# proportion.
_SENSELESS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


@contextlib.contextmanager
def read(path: Path) -> Iterator[Journal]:
    """Open the journal at ``path`` for whoever makes something of what is in it.

    Raises:
        FileError: there is none, or what is in it makes no sense, wherever in the context that
            shows.
    """
    with Journal.open(path) as journal:
        try:
            yield journal
        except _SENSELESS as error:
            raise FileError(
                f"an entry of {path} is not understood: {_why(error)}; "
                "the file is damaged or from another version of tipsmith"
            ) from error


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        place = ".".join(map(str, error.errors(include_url=False)[0]["loc"]))
        return f"{place}: {complaint(error).lower()}"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    # Of some errors the text has several lines.
    return " ".join(str(error).split()) or type(error).__name__
