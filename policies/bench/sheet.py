"""Contact sheets of scans that were judged wrongly, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from drivers.errors import FileError
from drivers.formats.atomic import write_atomically
from drivers.scan import Image

ACROSS = 8


@dataclass(frozen=True, slots=True)
class Strip:
    """One row of a sheet.

    Attributes:
        title: what is wrong with all of its pictures.
        pictures: NaN where not scanned, each of shape (lines, pixels); the first ``ACROSS`` count.
        captions: one each.
    """

    title: str
    pictures: Sequence[Image]
    captions: Sequence[str]


def draw_sheet(path: Path, strips: Sequence[Strip]) -> None:
    """Write strips below each other as a PNG.

    Raises:
        FileError: the folder or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot draw into {path.parent}: {error.strerror or error}") from None
    figure = Figure(figsize=(ACROSS * 1.3, len(strips) * 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(len(strips), 1, squeeze=False)[:, 0]
    for part, strip in zip(parts, strips, strict=True):
        part.suptitle(strip.title, fontsize=10)
        every = part.subplots(1, ACROSS, squeeze=False)[0]
        for axes, picture, caption in zip(every, strip.pictures, strip.captions, strict=False):
            low, high = np.nanpercentile(picture, (1, 99))
            axes.imshow(picture, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axes.set_title(caption, fontsize=8)
        for axes in every:
            axes.set_axis_off()
    content = BytesIO()
    figure.savefig(content, format="png", dpi=100)
    write_atomically(path, content.getvalue())
