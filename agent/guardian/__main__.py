"""``python -m agent.guardian --state FILE``: runs a guardian until it is ended."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.guardian.process import GuardianProcess

FAILED_EXIT = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a guardian; returns the exit code.

    Args:
        arguments: what follows the program's name; ``sys.argv[1:]`` if None.
    """
    parser = argparse.ArgumentParser(
        prog="python -m agent.guardian",
        description="Withdraws the tip of a microscope when the agent that drives it falls silent.",
    )
    parser.add_argument("--state", type=Path, required=True, help="file that tells its state")
    parser.add_argument("--once", action="store_true", help="end with the first run it guards")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_run(options.state, once=options.once))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"tipsmith guardian: cannot start: {error}\n")
        return FAILED_EXIT
    return 0


async def _run(path: Path, *, once: bool) -> None:
    await GuardianProcess(path, once=once).run()


if __name__ == "__main__":
    sys.exit(main())
