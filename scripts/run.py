"""Run tipsmith on a machine that has only Python: ``python3 scripts/run.py [COMMAND ...]``.

Without arguments it does the main job on the simulated STM: a bad tip is repaired.
"""

from __future__ import annotations

import os
import subprocess
import sys

from environment import prepare

MAIN_JOB = ["repair", "--microscope", "sim:au111", "--seed", "1"]


def main() -> None:
    """Install once, then hand over to the command line of tipsmith."""
    python = prepare()
    arguments = sys.argv[1:] or MAIN_JOB
    program = "from agent.main import main; main()"
    # The caller's folder stays the current one, so that relative paths mean what they say.
    try:
        command = [str(python), "-P", "-c", program, *arguments]
        code = subprocess.run(command, check=False, env=dict(os.environ)).returncode
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
