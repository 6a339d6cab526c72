"""The one face of all benchmarks: rows of figures, each with its target, and the machine below.

A benchmark is a function ``run(BenchOptions) -> Report`` under the entry-point group
``tipsmith.benches``; its docstring's first line says what it measures.
"""

from __future__ import annotations

import json
import operator
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from rich.table import Table

from drivers.errors import UserError

GROUP = "tipsmith.benches"
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        name: what was measured.
        value: the figure, or None if it could not be had.
        unit: its unit, empty for plain numbers.
        target: what it should be, such as ``>= 18``, or None if it only informs.
        holds: whether it is so; None without a target, or where the measurement cannot tell.
        note: what else there is to know of it.
        interval: where the true figure lies, with 95 % confidence, or None if that is not known.
    """

    name: str
    value: float | None
    unit: str = ""
    target: str | None = None
    holds: bool | None = None
    note: str = ""
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """Figures of many alike, one line each, for people.

    Attributes:
        title: what they are.
        columns: headings; the first names the line.
        lines: as many texts each.
    """

    title: str
    columns: Sequence[str]
    lines: Sequence[Sequence[str]]

    def table(self) -> Table:
        """The grid as people read it."""
        table = Table(title=self.title)
        for index, heading in enumerate(self.columns):
            table.add_column(heading, justify="right" if index else "left", no_wrap=not index)
        for line in self.lines:
            table.add_row(*line)
        return table


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a benchmark ran; says nothing of whose it is."""

    cpu: str
    cores: int
    python: str
    platform: str

    @classmethod
    def this(cls) -> Machine:
        """The machine this runs on."""
        return cls(
            cpu=_cpu_model(),
            cores=os.cpu_count() or 1,
            python=platform.python_version(),
            platform=f"{platform.system()} {platform.machine()}",
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What a benchmark found.

    Attributes:
        bench: its name.
        rows: every figure.
        machine: where it ran.
        grids: the figures again, where they are too many for people to read in rows.
    """

    bench: str
    rows: Sequence[Row]
    machine: Machine = field(default_factory=Machine.this)
    grids: Sequence[Grid] = ()

    def to_json(self) -> str:
        """The report as one JSON object."""
        return json.dumps(asdict(self))

    def tables(self) -> list[Table]:
        """The report as people read it: its grids, or its rows where it has none."""
        return [grid.table() for grid in self.grids] or [self.table()]

    def table(self) -> Table:
        """Every figure."""
        machine = self.machine
        table = Table(
            title=self.bench,
            caption=f"{machine.cpu}, {machine.cores} cores, Python {machine.python}, "
            f"{machine.platform}",
        )
        for heading in ("figure", "value", "target", "holds", "note"):
            table.add_column(heading, justify="right" if heading == "value" else "left")
        words = {True: "yes", False: "NO", None: ""}
        for row in self.rows:
            value = "none" if row.value is None else f"{row.value:.4g} {row.unit}".rstrip()
            undecided = row.target is not None and row.holds is None
            holds = "cannot tell" if undecided else words[row.holds]
            table.add_row(row.name, value, row.target or "", holds, row.note)
        return table


def _ignore(_done: float, _text: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """How to run a benchmark.

    Attributes:
        quick: less of it, within a minute.
        data: folder with data of others that some benchmarks compare with.
        plot: folder for pictures, or None for none.
        episodes: how many episodes, for those that count in them; as many as usual if None.
        cache: folder where those that take long keep what is finished; the user's own if None.
        progress: told the share that is done, 0..1, and what comes next.
        minutes: how long those that wait for trouble shall wait, or None for their own choice.
        only: parts to run, for those that come in parts; all if empty.
    """

    quick: bool = False
    data: Path | None = None
    plot: Path | None = None
    episodes: int | None = None
    cache: Path | None = None
    progress: Callable[[float, str], None] = _ignore
    minutes: float | None = None
    only: Sequence[str] = ()


Bench = Callable[[BenchOptions], Report]


def judged(
    name: str,
    value: float | None,
    unit: str,
    target: str,
    interval: tuple[float, float] | None = None,
    note: str = "",
) -> Row:
    """A row held against its target.

    Args:
        name: what was measured.
        value: the figure.
        unit: its unit.
        target: a comparison and a number, such as ``< 0.01``.
        interval: where the true figure lies; if it straddles the target, nothing is decided.
        note: what else there is to know of it.

    Raises:
        ValueError: the target is not a comparison and a number.
    """
    sign, _, bound = target.partition(" ")
    if sign not in COMPARISONS:
        raise ValueError(f"target {target!r} must be one of {', '.join(COMPARISONS)} and a number")
    if value is None:
        return Row(name, None, unit, target, None, note)
    verdicts = {COMPARISONS[sign](end, float(bound)) for end in interval or (value,)}
    holds = verdicts.pop() if len(verdicts) == 1 else None
    return Row(name, value, unit, target, holds, note, interval)


def find_benches() -> dict[str, EntryPoint]:
    """The benchmarks by name."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)}


def load_bench(name: str) -> Bench:
    """The benchmark called ``name``.

    Raises:
        UserError: there is none.
    """
    benches = find_benches()
    if name not in benches:
        raise UserError(f"no benchmark is called {name!r}; known are {', '.join(benches)}")
    bench: Bench = benches[name].load()
    return bench


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
