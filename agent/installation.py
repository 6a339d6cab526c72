"""Whether the packages on the path are ours: their names are short enough to be taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

DISTRIBUTION = "tipsmith"
PACKAGES = ("agent", "drivers", "policies", "sim")
ROOT = Path(__file__).resolve().parents[1]


def own_version() -> str:
    """Version of the installed distribution, or ``unknown`` when run from a bare checkout."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def find_trouble() -> str | None:
    """One sentence about the first of our packages that is not ours, or None if all are."""
    return trouble(packages_distributions(), {name: _location(name) for name in PACKAGES}, ROOT)


def trouble(
    owners: Mapping[str, Sequence[str]], locations: Mapping[str, Path | None], root: Path
) -> str | None:
    """Judge what is known of the packages; pure.

    Args:
        owners: the distributions that installed each importable package.
        locations: the folder each of our packages would be imported from.
        root: the folder that all of them should lie in.
    """
    for name, location in locations.items():
        strangers = sorted(set(owners.get(name, ())) - {DISTRIBUTION})
        if strangers:
            return (
                f"the distribution {strangers[0]!r} has installed a package {name!r} over ours; "
                f"run 'pip uninstall {strangers[0]}' and install tipsmith again, "
                "best in an environment of its own"
            )
        if location is None or location.parent != root:
            return (
                f"the package {name!r} comes from {location or 'nowhere'} instead of {root}; "
                "take that folder off the path or install tipsmith in an environment of its own"
            )
    return None


def _location(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).resolve().parent if spec and spec.origin else None
