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
    """

    name: str
    value: float | None
    unit: str = ""
    target: str | None = None
    holds: bool | None = None
    note: str = ""


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
    """What a benchmark found."""

    bench: str
    rows: Sequence[Row]
    machine: Machine = field(default_factory=Machine.this)

    def to_json(self) -> str:
        """The report as one JSON object."""
        return json.dumps(asdict(self))

    def table(self) -> Table:
        """The report as people read it."""
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
        progress: told the share that is done, 0..1, and what comes next.
    """

    quick: bool = False
    data: Path | None = None
    plot: Path | None = None
    progress: Callable[[float, str], None] = _ignore


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
    return Row(name, value, unit, target, verdicts.pop() if len(verdicts) == 1 else None, note)


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
