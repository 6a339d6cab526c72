"""``labels.csv``: the labels as a table, one row a scan, for training.

Columns: ``image`` (path below the folder), ``raters`` (1), one column per class (0 or 1) and
``session``. It is made from the journal and replaced whole; what counts is the journal.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from drivers.errors import FileError
from drivers.formats.atomic import write_atomically
from policies.labelling.marking import Marking

NAME = "labels.csv"


def write(folder: Path, marking: Marking) -> None:
    """Write the labels decided so far, in the order of the scans.

    Raises:
        FileError: the table cannot be written; what was there before is unchanged.
    """
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["image", "raters", *marking.classes, "session"])
    for name in marking.scans:
        label = marking.labels.get(name)
        if label is not None:
            votes = [int(one in label.marks) for one in marking.classes]
            rows.writerow([name, 1, *votes, label.session])
    write_atomically(folder / NAME, text.getvalue().encode())


def refuse_foreign(folder: Path) -> None:
    """Let no table be lost that was made elsewhere.

    Raises:
        FileError: there is one.
    """
    path = folder / NAME
    if path.exists():
        raise FileError(
            f"{path} is there already and was not made by tipsmith label; move it elsewhere first"
        )
