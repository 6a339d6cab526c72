"""How well simulated scans pass for real ones, and what gives them away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drivers.benchmark import BenchOptions, Report, Row, judged
from drivers.errors import ConfigError, FileError, UserError
from sim.benches.realism import measures, sheet
from sim.benches.realism.classifier import FOLDS, Verdict, telling, told_apart
from sim.benches.realism.features import table
from sim.benches.realism.real import Picture, Tile, hsi_pictures, tiles
from sim.benches.realism.simulated import cu_simulated, hsi_simulated, imprints, white_noise
from sim.dataset.photograph import photograph

HSI, CU = "H:Si(100)", "Cu(111)"
#: What the surfaces are called in the labels.
CU_LABEL, IMPRINT_LABEL = "CO/Cu(111)", "tip imprints"
WANTED_NOISE = 0.95
GIVEAWAYS = 3
#: Neighbouring scans of a session are nearly one picture: so many are judged together.
BLOCK = 5


@dataclass(frozen=True, slots=True)
class _Amount:
    """How many scans to compare."""

    real: int | None
    simulated: int
    cu: int
    imprints: int


FULL = _Amount(real=None, simulated=600, cu=156, imprints=60)
QUICK = _Amount(real=400, simulated=150, cu=52, imprints=20)


def run(options: BenchOptions) -> Report:
    """Simulated scans held against real ones: statistics, and whether a classifier tells them."""
    if options.data is None:
        raise ConfigError("bench realism needs --data, the folder that holds the real scans")
    if not options.data.is_dir():
        raise FileError(f"--data {options.data} is not a folder")
    amount = QUICK if options.quick else FULL
    rows: list[Row] = []
    parts = {HSI: _hsi, CU: _cu, "imprints": _imprints}
    for done, (name, part) in enumerate(parts.items()):
        options.progress(done / len(parts), name)
        try:
            rows += part(options.data, amount, options.plot)
        except UserError as error:
            # Preset or data missing: said, and the others go on.
            rows.append(Row(name, None, note=f"left out: {error}"))
    if all(row.value is None for row in rows):
        raise FileError(f"nothing in {options.data} could be compared: {rows[0].note}")
    return Report("realism", rows)


def _hsi(data: Path, amount: _Amount, plot: Path | None) -> list[Row]:
    real = hsi_pictures(data, amount.real)
    simulated = hsi_simulated(amount.simulated)
    if plot is not None:
        _draw(plot, "hsi100", HSI, [one.photo for one in real], [one.photo for one in simulated])
    good = ([one for one in real if one.good], [one for one in simulated if one.good])
    rows = [_told(f"{HSI}: AUC, real against simulated", real, simulated)]
    if min(map(len, good)) > 5 * FOLDS:
        rows.append(_told(f"{HSI}: AUC, good tips only", *good))
    rows.append(_noise(HSI, real, len(simulated)))
    rows.append(_control(HSI, real))
    return rows + _pictures(HSI, real, simulated)


def _cu(data: Path, amount: _Amount, plot: Path | None) -> list[Row]:
    real = tiles(data, CU_LABEL)
    if not real:
        raise FileError(f"no scan of {CU_LABEL} in {data}")
    simulated = cu_simulated(amount.cu, [tile.width_nm for tile in real])
    pictures, made = _photographed(real), _photographed(simulated)
    if plot is not None:
        _draw(plot, "cu111", CU, [one.photo for one in pictures], [one.photo for one in made])
    rows = [
        _told(f"{CU}: AUC, real against simulated", pictures, made),
        _noise(CU, pictures, len(made)),
    ]
    return rows + _beside(CU, [measures.of_tile(one) for one in real], simulated)


def _imprints(data: Path, amount: _Amount, _plot: Path | None) -> list[Row]:
    real, simulated = tiles(data, IMPRINT_LABEL), imprints(amount.imprints)
    if not real:
        raise FileError(f"no {IMPRINT_LABEL} in {data}")
    found = [[measures.imprint(one) for one in some] for some in (real, simulated)]
    kept = [[one for one in some if one is not None] for some in found]
    rows = _rows("imprints", measures.medians(kept[0]), measures.medians(kept[1]))
    share = len(kept[1]) / len(simulated)
    return [*rows, Row("imprints: indentations that leave a mound, simulated", share)]


def _beside(
    surface: str, real: Sequence[measures.Measures], simulated: Sequence[Tile]
) -> list[Row]:
    ours = [measures.of_tile(one) for one in simulated]
    return _rows(surface, measures.medians(real), measures.medians(ours))


def _pictures(surface: str, real: Sequence[Picture], simulated: Sequence[Picture]) -> list[Row]:
    """Statistics of pictures without a scale: heights count in the spread of each picture."""
    names = (
        "line noise at the start",
        "line noise at the middle",
        "line noise at the end",
        "skewness",
        "likeness of neighbouring lines",
        "fine grain",
    )
    rows = []
    tables = [table([one.photo for one in some]) for some in (real, simulated)]
    columns = tables[0][1]
    for name in names:
        for (values, _), whose in zip(tables, ("real", "simulated"), strict=True):
            column = values[:, columns.index(name)]
            # These are kept as logarithms for the classifier.
            if name.startswith(("line noise", "fine grain")):
                column = 10**column
            rows.append(
                _figure(
                    f"{surface}: {name}, {whose}", column, "" if "ness" in name else "deviations"
                )
            )
    return rows


def _told(title: str, real: Sequence[Picture], other: Sequence[Picture]) -> Row:
    values, names, first = _together(real, other)
    groups = [one.session for one in real] + [f"other {k // BLOCK}" for k in range(len(other))]
    verdict = told_apart(values, first, groups)
    alone = telling(values, first)
    worst = sorted(range(len(names)), key=lambda k: -abs(alone[k] - 0.5))[:GIVEAWAYS]
    middle = [np.median(values[one], axis=0) for one in (first, ~first)]
    given = "; ".join(f"{names[k]} {middle[0][k]:.2g}, simulated {middle[1][k]:.2g}" for k in worst)
    return _auc_row(title, verdict, f"{len(real)} and {len(other)} pictures; told by: {given}")


def _noise(surface: str, real: Sequence[Picture], count: int) -> Row:
    values, _, first = _together(real, other := white_noise(max(count // 2, 5 * FOLDS)))
    groups = [one.session for one in real] + [one.session for one in other]
    verdict = told_apart(values, first, groups)
    title = f"{surface}: AUC, real against white noise"
    return judged(title, verdict.auc, "", f">= {WANTED_NOISE}", verdict.interval)


def _control(surface: str, real: Sequence[Picture]) -> Row:
    """Sessions against other sessions: what it looks like if both sets are real."""
    sessions = sorted({one.session for one in real})
    values, _ = table([one.photo for one in real])
    # Every session in blocks of time, so that no block is judged by its twin.
    seen = dict.fromkeys(sessions, 0)
    groups = []
    for one in real:
        groups.append(f"{one.session} {seen[one.session] * FOLDS * 2 // _count(real, one.session)}")
        seen[one.session] += 1
    found = []
    for split in range(FOLDS):
        order = np.random.default_rng(split).permutation(sessions)
        half = set(order[::2])
        first = np.array([one.session in half for one in real])
        found.append(told_apart(values, first, groups).auc)
    title = f"{surface}: AUC, real against real of other sessions"
    ends = (min(found), max(found))
    return _auc_row(title, Verdict(float(np.median(found)), ends), "sessions halved five times")


def _count(real: Sequence[Picture], session: str) -> int:
    return sum(one.session == session for one in real)


def _together(
    real: Sequence[Picture], other: Sequence[Picture]
) -> tuple[np.ndarray, list[str], np.ndarray]:
    values, names = table([one.photo for one in (*real, *other)])
    return values, names, np.arange(len(values)) < len(real)


def _photographed(scans: Sequence[Tile]) -> list[Picture]:
    """Pictures of scans; a few neighbours at a time count as one session."""
    return [
        Picture(photograph(scan.forward), f"{scan.session} {place // BLOCK}")
        for place, scan in enumerate(scans)
    ]


def _draw(
    folder: Path, name: str, surface: str, real: Sequence[np.ndarray], ours: Sequence[np.ndarray]
) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot draw into {folder}: {error.strerror or error}") from None
    sheet.contact_sheet(folder / f"{name}_pictures.png", surface, real, ours)
    sheet.curves(folder / f"{name}_curves.png", surface, real, ours)


Table = dict[str, tuple[float, float, float, str]]


def _rows(surface: str, real: Table, simulated: Table) -> list[Row]:
    rows = []
    for name in real:
        for whose, one in (("real", real), ("simulated", simulated)):
            if name in one:
                middle, low, high, unit = one[name]
                note = f"two thirds from {low:.3g} to {high:.3g}"
                rows.append(Row(f"{surface}: {name}, {whose}", middle, unit, note=note))
    return rows


def _figure(title: str, values: np.ndarray, unit: str) -> Row:
    low, middle, high = np.percentile(values, (16, 50, 84))
    return Row(title, float(middle), unit, note=f"two thirds from {low:.3g} to {high:.3g}")


def _auc_row(title: str, verdict: Verdict, note: str) -> Row:
    low, high = verdict.interval
    return Row(title, verdict.auc, note=f"{low:.2f} to {high:.2f}; {note}")
