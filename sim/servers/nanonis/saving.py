"""Where completed scans go: numbered files in the session folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drivers.formats import write_sxm
from drivers.scan import Scan

# Simulated instruments have no calendar; their first second is this one.
_FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)
_UNFIT_FOR_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


class Series:
    """Names files ``<series><number>.sxm``, the first number that is free.

    Args:
        folder: says in which folder.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder

    def save(self, scan: Scan, series: str, time_s: float) -> str:
        """Write ``scan``, taken at ``time_s`` of the instrument; returns the path.

        Raises:
            FileError: the folder cannot be written to.
        """
        base = _UNFIT_FOR_NAMES.sub("_", series)
        folder = self._folder()
        # Looked up each time: a session may hold files of earlier runs, and be cleared meanwhile.
        taken = {path.name for path in folder.glob("*.sxm")}
        number = 1
        while (name := f"{base}{number:03d}.sxm") in taken:
            number += 1
        started = (_FIRST_DAY + timedelta(seconds=time_s)).strftime("%d.%m.%Y %H:%M:%S")
        comment = f"simulated by tipsmith\n{scan.comment}".strip()
        write_sxm(folder / name, replace(scan, started=started, comment=comment))
        return str(folder / name)
