"""Run tipsmith on a machine that has only Python: ``python3 scripts/run.py [COMMAND ...]``.

Without arguments it does the main job on the simulated STM: a bad tip is repaired.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import NoReturn

from environment import prepare

MAIN_JOB = ["repair", "--microscope", "sim:au111", "--seed", "1"]


def main() -> None:
    """Install once, then hand over to the command line of tipsmith."""
    python = prepare()
    arguments = sys.argv[1:] or MAIN_JOB
    program = "from agent.main import main; main()"
    # The caller's folder stays the current one, so that relative paths mean what they say.
    hand_over([str(python), "-P", "-c", program, *arguments])


def hand_over(command: list[str]) -> NoReturn:
    """Go on as ``command``, so that every signal reaches it and it has all the time it needs."""
    if os.name == "posix":
        os.execv(command[0], command)  # noqa: S606 - there is no shell to start it with
    process = subprocess.Popen(command)
    while True:
        # The command gets Ctrl-C itself, and withdraws the tip before it leaves.
        with contextlib.suppress(KeyboardInterrupt):
            sys.exit(process.wait())


if __name__ == "__main__":
    main()
