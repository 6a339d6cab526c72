"""Run the tests on a machine that has only Python: ``python3 scripts/test.py [ARGUMENT ...]``."""

from __future__ import annotations

import sys

from environment import prepare, run


def main() -> None:
    """Install once, then run pytest with any extra arguments."""
    python = prepare("dev")
    arguments = sys.argv[1:] or ["--numprocesses", "2"]
    run([str(python), "-m", "pytest", *arguments], "the tests failed")


if __name__ == "__main__":
    main()
