"""Commands of this room: ``score``, ``label``, ``adapt`` and ``train``."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from drivers.errors import ConfigError, FileError
from drivers.formats import read_scan
from drivers.scan import Scan
from policies.report import TipReport

if TYPE_CHECKING:
    from policies.scorer.explaining import Explanation

#: Probability from which a state is named in the table.
SIGN = 0.2

train = typer.Typer(help="Train the scorer or the policy.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class _Scored:
    """A file, what is in it, what that says about the tip, and why; None where nothing can be said.

    Attributes:
        flagged: what stands out.
    """

    path: Path
    scan: Scan
    report: TipReport
    why: Explanation | None
    flagged: list[str]


def score(
    paths: Annotated[list[Path], typer.Argument(help="Scan files, or folders of them.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    png: Annotated[bool, typer.Option("--png", help="Draw FILE.png beside each file.")] = False,
) -> None:
    """Score the tip from scan files."""
    from policies.scorer import Scorer
    from policies.scorer.drawing import draw
    from policies.scorer.explaining import explain
    from policies.scorer.flagging import flags

    scorer = Scorer.load()
    rows: list[_Scored] = []
    failures: list[str] = []
    for path in _files(paths):
        try:
            scan = read_scan(path)
            report = scorer.judge(scan)
            why = None if report.not_assessable else explain(scorer, scan, report)
            if png:
                draw(scan, report, why, path.name, path.with_suffix(path.suffix + ".png"))
            flagged = flags(report, scorer.manifest.flags)
            rows.append(_Scored(path, scan, report, why, flagged))
        except FileError as error:
            failures.append(str(error))
    if as_json:
        found = {"scans": [_as_dict(row) for row in rows], "failures": failures}
        typer.echo(json.dumps(found, indent=2))
    elif rows:
        Console().print(_table(rows))
    for failure in failures:
        typer.echo(f"tipsmith: {failure}", err=True)
    if failures:
        raise typer.Exit(FileError.exit_code)


def label(
    folder: Annotated[Path, typer.Argument(help="Folder with .sxm, .gsf, .webp or .png scans.")],
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names such as good,double,blunt; the folder's own, else tip states, if left out."
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1024, max=65535, help="Port of the page; a free one.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Label the scans in a folder by keyboard, on a page in the browser of this computer.

    Digits mark the classes that hold, Enter saves and goes on, the left arrow goes back, s skips,
    u undoes. Every key is kept at once in labels.journal.jsonl, beside the scans, and counts when
    the command is started again. The labels are in labels.csv. Ctrl-C ends.
    """
    import threading
    import webbrowser

    from policies.labelling.desk import Desk
    from policies.labelling.records import parse_classes
    from policies.labelling.server import LabelServer

    chosen = None if classes is None else parse_classes(classes)
    with Desk(folder, chosen) as desk, LabelServer(desk, port or 0) as server:
        for note in desk.notes:
            typer.echo(f"tipsmith: {note}", err=True)
        typer.echo(f"label {len(desk.folder.names)} scans at {server.url}\nCtrl-C ends")
        if browser:
            # Some browsers keep their caller waiting.
            threading.Thread(target=webbrowser.open, args=[server.url], daemon=True).start()
        with suppress(KeyboardInterrupt):
            server.serve_forever()
        typer.echo(desk.summary())


def adapt(
    labels: Annotated[
        Path, typer.Option(help="Table: image, one column per class (0..1 or empty), session.")
    ],
    images: Annotated[Path, typer.Option(help="Folder with the images of the table.")],
    out: Annotated[
        Path | None, typer.Option(help="Where the weights go; beside the labels by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Adapt the scorer to a surface from a few labelled scans."""
    from policies.adaptation.adapt import adapt as run
    from policies.scorer import Scorer

    out = out or labels.with_suffix(".safetensors")
    manifest = run(Scorer.load(), labels, images, out, seed)
    if as_json:
        typer.echo(manifest.model_dump_json(indent=2))
        return
    table = Table(title=f"expected on other sessions: AUC, {manifest.data}", box=box.SIMPLE)
    for heading in ("class", "shipped", "adapted", "gain, 95 %", "adapted, first lines only"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for name, one in manifest.expected.items():
        gain = f"{one.gain_low:+.2f} to {one.gain_high:+.2f}"
        first = f"{one.from_first_lines:.2f}"
        table.add_row(name, f"{one.shipped:.2f}", f"{one.adapted:.2f}", gain, first)
    Console().print(table)
    typer.echo(f"{out} written")


@train.command("scorer")
def train_scorer(
    seed: Annotated[int, typer.Option(help="Seed of data and weights.")] = 1,
    scans: Annotated[int, typer.Option(help="Simulated scans to train on.", min=100)] = 180_000,
    out: Annotated[
        Path | None, typer.Option(help="Where the weights go; the shipped ones by default.")
    ] = None,
) -> None:
    """Train the scorer on simulated scans and write weights with their manifest."""
    from policies.scorer.weights import SHIPPED
    from policies.training.scorer import train as run

    manifest = run(seed=seed, scans=scans, out=out or SHIPPED)
    table = Table("measure", "held-out value")
    for name, value in manifest.metrics.items():
        table.add_row(name, f"{value:.3f}")
    Console(file=sys.stderr).print(table)


@train.command("policy")
def train_conditioner(
    out: Annotated[Path, typer.Option(help="Where the policy goes.")],
    seed: Annotated[int, typer.Option(help="Seed of bank, episodes and weights.", min=0)] = 1,
    steps: Annotated[int, typer.Option(help="Choices to learn from.", min=1)] = 5_000_000,
    tips: Annotated[int, typer.Option(help="Tips in the bank of reports.", min=50)] = 2400,
) -> None:
    """Train the conditioning policy in the compact world; a killed training goes on."""
    try:
        from policies.training.policy import train_policy
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{error.name} is not installed; training policies needs: pip install 'tipsmith[train]'"
        ) from None

    train_policy(seed, steps, tips, out)
    typer.echo(f"{out} written")


@train.command("deepspm")
def train_baseline(
    seed: Annotated[int, typer.Option(help="Seed of worlds and weights.", min=0)] = 1,
    steps: Annotated[int, typer.Option(help="Actions to learn from.", min=1)] = 120_000,
    out: Annotated[
        Path | None, typer.Option(help="Where the weights go; the shipped ones by default.")
    ] = None,
) -> None:
    """Train the DeepSPM baseline of the benchmark; a killed training goes on."""
    from policies.conditioner.rules.deepspm_network import SHIPPED
    from policies.training.deepspm import train_deepspm

    train_deepspm(seed, steps, out or SHIPPED)
    typer.echo(f"{out or SHIPPED} written")


def _files(paths: list[Path]) -> list[Path]:
    """The files meant by ``paths``: a folder stands for the scans in it."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.glob("*.sxm"))
            if not inside:
                raise FileError(f"{path}: no .sxm file in this folder")
            files += inside
        else:
            files.append(path)
    return files


def _as_dict(row: _Scored) -> dict[str, object]:
    scan, report, why = row.scan, row.report, row.why
    return {
        "file": str(row.path),
        "lines": report.lines,
        "lines_expected": scan.forward.shape[0],
        "quantity": scan.quantity,
        "width_nm": None if scan.frame is None else scan.frame.width_m / 1e-9,
        "quality": report.quality,
        "novelty": report.novelty,
        "familiar": report.familiar,
        "not_assessable": report.not_assessable,
        "featureless": report.featureless,
        "uncertainty": report.uncertainty,
        "flagged": row.flagged,
        "changed_line": why.changed_line if why else None,
        "states": {state.value: value for state, value in report.states.items()},
        "image": {state.value: value for state, value in report.image.items()},
    }


def _table(rows: list[_Scored]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("file", overflow="fold")
    for name in ("size", "lines", "quality", "novelty"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("signs of trouble")
    for row in rows:
        scan, report = row.scan, row.report
        size = "?" if scan.frame is None else f"{scan.frame.width_m / 1e-9:.0f} nm"
        # A bad scan says little against a tip; one with nothing wrong and no verdict says nothing.
        colour = "red" if row.flagged else "green" if report.quality >= 0.5 else "yellow"
        table.add_row(
            row.path.name,
            size,
            f"{report.lines}/{scan.forward.shape[0]}",
            f"[{colour}]{report.quality:.2f}[/]" if _is_judged(report) else "?",
            f"{report.novelty:.1f}",
            _signs(report, row.why),
        )
    return table


def _is_judged(report: TipReport) -> bool:
    return report.familiar and report.not_assessable is None


def _signs(report: TipReport, why: Explanation | None) -> str:
    if report.not_assessable:
        return f"cannot be judged: {report.not_assessable}"
    # Of a scan unlike any that it was trained on, the scorer's numbers say nothing.
    if not report.familiar:
        return "unlike the training data: not judged"
    every = [*report.states.items(), *report.image.items()]
    signs = sorted(every, key=lambda sign: -sign[1])
    named = [f"{state.value} {value:.2f}" for state, value in signs if value >= SIGN]
    if why and why.changed_line is not None:
        named.append(f"another tip from line {why.changed_line + 1} on")
    if report.featureless:
        named.append("nothing here shows how sharp it is: look at a step, an adatom or an imprint")
    return ", ".join(named) or "none"
