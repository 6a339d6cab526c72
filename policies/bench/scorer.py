"""What the scorer sees: simulated and real scans, shipped and adapted, and how fast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.benchmark import BenchOptions, Report, Row
from drivers.errors import ConfigError, FileError

if TYPE_CHECKING:
    from policies.scorer import Scorer


@dataclass(frozen=True, slots=True)
class _Amount:
    """How much to measure: pictures of H:Si(100), chunks of simulated scans, timed scans."""

    pictures: int | None
    chunks: int
    timed: int


FULL = _Amount(pictures=None, chunks=4, timed=40)
QUICK = _Amount(pictures=400, chunks=1, timed=8)


def run(options: BenchOptions) -> Report:
    """What the scorer sees in simulated and real scans, shipped and adapted, and how fast."""
    if options.data is None:
        raise ConfigError("bench scorer needs --data, the folder that holds the real scans")
    if not options.data.is_dir():
        raise FileError(f"--data {options.data} is not a folder")
    # Slow to import; the list of benchmarks should appear at once.
    from policies.bench import simulated, speed, surfaces
    from policies.scorer import Scorer

    scorer, data = Scorer.load(), options.data
    amount = QUICK if options.quick else FULL
    parts: dict[str, Callable[[], list[Row]]] = {
        "simulated": lambda: simulated.rows(scorer, amount.chunks, options.plot),
        "H:Si(100)": lambda: _hsi(scorer, data, amount, options),
        "other surfaces": lambda: surfaces.rows(scorer, data),
        "speed": lambda: speed.rows(scorer, amount.timed),
    }
    rows: list[Row] = []
    for done, (name, part) in enumerate(parts.items()):
        options.progress(done / len(parts), name)
        try:
            rows += part()
        except FileError as error:
            # One of the sets is missing: said, and the others go on.
            rows.append(Row(name, None, note=f"left out: {error}"))
    return Report("scorer", rows)


def _hsi(scorer: Scorer, data: Path, amount: _Amount, options: BenchOptions) -> list[Row]:
    from policies.bench import failures, hsi, real_rows

    def progress(done: float, text: str) -> None:
        options.progress(0.25 + 0.25 * done, text)

    pictures = hsi.read_pictures(
        scorer, data, amount.pictures, lambda done, text: progress(done / 4, text)
    )
    found = hsi.judge(pictures, lambda done, text: progress(0.25 + 0.75 * done, text))
    if options.plot is not None:
        failures.draw_real(options.plot, pictures, found)
    return real_rows.rows(pictures, found)
