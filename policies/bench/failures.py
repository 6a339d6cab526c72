"""Pictures of what the adapted scorer gets wrong, most confidently first."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from drivers.errors import FileError
from drivers.formats.atomic import write_atomically
from policies.bench.hsi import Judged, Pictures
from policies.bench.real_rows import TARGETS, asked, scores_of

ACROSS = 8
NAME = "scorer_failures.png"


def draw(folder: Path, pictures: Pictures, found: Judged) -> None:
    """Write a contact sheet: per class a row of what was missed and one of false alarms.

    Raises:
        FileError: the folder or the file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot draw into {folder}: {error.strerror or error}") from None
    figure = Figure(figsize=(ACROSS * 1.3, 2 * len(TARGETS) * 1.55), layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(2 * len(TARGETS), 1, squeeze=False)[:, 0]
    for number, name in enumerate(TARGETS):
        which, question = asked(name, pictures)
        scores = scores_of(name, found.adapted)[which]
        order = np.argsort(scores)
        missed = [k for k in order if question.positive[k]][:ACROSS]
        alarmed = [k for k in order[::-1] if not question.positive[k]][:ACROSS]
        for row, (what, wrong) in enumerate((("low", missed), ("high", alarmed))):
            part = parts[2 * number + row]
            truth = "yes" if what == "low" else "no"
            part.suptitle(f"{name}: labelled {truth}, scored {what}", fontsize=10)
            for axes, k in zip(part.subplots(1, ACROSS, squeeze=False)[0], wrong, strict=False):
                photo = pictures.voted[which[k]].photo
                axes.imshow(photo, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
                axes.set_title(f"{scores[k]:.2f}", fontsize=8)
            for axes in part.axes:
                axes.set_axis_off()
    content = BytesIO()
    figure.savefig(content, format="png", dpi=100)
    write_atomically(folder / NAME, content.getvalue())
