"""Whether a pinned dependency has a known hole: ``python scripts/audit.py``.

Asks the advisories of the package index through pip-audit, in an environment of its own. Where
these cannot be reached it says so and passes: the gate must work without a network. Needs the
extra ``dev``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from environment import CONSTRAINTS

from drivers.errors import UserError
from drivers.peers import peer_python

TIMEOUT_S = 180.0
PINNED = ("--disable-pip", "--no-deps", "--requirement", str(CONSTRAINTS))


def main() -> None:
    """Print what is known of how many packages, and leave with 1 if one has a hole."""
    try:
        packages = audited()
    except (UserError, ValueError, subprocess.TimeoutExpired) as error:
        print(f"not audited: {error}")
        return
    told = [one for one in packages if "skip_reason" not in one]
    holes = [f"{one['name']} {one['version']}: {_named(one)}" for one in told if one["vulns"]]
    unknown = len(packages) - len(told)
    print(f"{len(told)} packages looked up, {unknown} of which the advisories here know nothing")
    if told:
        print("\n".join(holes) or "no known hole")
    sys.exit(1 if holes else 0)


def audited() -> list[dict[str, Any]]:
    """What pip-audit says of each pinned package.

    Raises:
        UserError: it cannot be installed here.
        ValueError: it did not answer.
        TimeoutExpired: it did not answer in time.
    """
    command = [str(peer_python("pip-audit")), "-m", "pip_audit", "--format", "json", *PINNED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        raise ValueError((done.stderr.strip() or "no answer").splitlines()[-1]) from None
    return found


def _named(package: dict[str, Any]) -> str:
    fixes = (", ".join(hole["fix_versions"]) or "none" for hole in package["vulns"])
    names = (hole["id"] for hole in package["vulns"])
    return "; ".join(f"{name} (mended in {fix})" for name, fix in zip(names, fixes, strict=True))


if __name__ == "__main__":
    main()
