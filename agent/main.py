"""The entry point: turns errors and interruptions into one line and an exit code.

It loads nothing but the standard library until an interruption can be answered.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import NoReturn

NAME = "tipsmith"
BROKEN_INSTALLATION_EXIT = 2
INTERRUPTED_EXIT = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; leaves with 0, or with 1 to 3 or 130 when something is amiss.

    Args:
        arguments: what follows the program's name; ``sys.argv[1:]`` if None.
    """
    _encode_anything()
    try:
        _run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        # Commands at work answer for themselves; this one came while they were loaded.
        _leave("interrupted", INTERRUPTED_EXIT)


def _run(arguments: Sequence[str]) -> None:
    from agent.installation import find_trouble

    trouble = find_trouble()
    if trouble is not None:
        _leave(trouble, BROKEN_INSTALLATION_EXIT)
    # Only now is it certain that this is our package.
    from agent.root import run

    try:
        run(arguments)
    except Exception as error:
        # It brings all drivers with it, and 'tipsmith stop' must not wait for them.
        from drivers.errors import TipsmithError

        if not isinstance(error, TipsmithError):
            raise
        _leave(str(error), error.exit_code)


def _encode_anything() -> None:
    """Let no output end a command because its encoding lacks a character."""
    output = sys.stdout
    # Another way than the strict one was chosen by whoever runs this.
    if isinstance(output, io.TextIOWrapper) and output.errors == "strict":
        output.reconfigure(errors="backslashreplace")


def _leave(sentence: str, code: int) -> NoReturn:
    sys.stderr.write(f"{NAME}: {sentence}\n")
    sys.exit(code)
