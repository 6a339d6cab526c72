"""Labels of people: read as they are meant, or refused with the place named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivers import Scan
from drivers.errors import FileError
from drivers.formats import write_gsf
from policies.adaptation.labels import BLOCKS, Labels, read_image, read_labels


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return path


def labels(votes: list[float]) -> Labels:
    column = np.array(votes, np.float32)[:, None]
    names = tuple(map(str, range(len(votes))))
    return Labels(names, ("blurry",), column, np.zeros(len(votes), np.int64))


def test_votes_gaps_and_sessions(tmp_path: Path) -> None:
    path = table(tmp_path, "image,good,session,bad\na.png,1,x,0.25\nb.png,,y,0\nc.png,,x,\n")
    found = read_labels(path)
    assert found.images == ("a.png", "b.png")
    assert found.classes == ("good", "bad")
    np.testing.assert_array_equal(found.votes, [[1, 0.25], [np.nan, 0]])
    assert found.sessions[0] != found.sessions[1]


def test_without_sessions_neighbours_stay_together(tmp_path: Path) -> None:
    rows = "".join(f"{number}.png,1\n" for number in range(23))
    sessions = read_labels(table(tmp_path, "image,good\n" + rows)).sessions
    assert (np.diff(sessions) >= 0).all()
    assert len(set(sessions)) == BLOCKS


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("picture,good\na,1\n", "column 'image'"),
        ("image,session\na,1\n", "one column per class"),
        ("image,good,good\na,1,1\n", "each once"),
        ("image,good\na,1\nb,2\n", "line 3: good is '2'"),
        ("image,good\na,yes\n", "line 2: good is 'yes'"),
        ("image,good\na,nan\n", "line 2"),
        ("image,good\na,1\na,0\n", "a is labelled more than once"),
        ("", "it has none"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(FileError, match=named):
        read_labels(table(tmp_path, text))


def test_a_missing_table_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot read labels"):
        read_labels(tmp_path / "none.csv")


def test_too_few_labels_and_one_kind_only_are_refused() -> None:
    with pytest.raises(FileError, match="'blurry' has 19 labels"):
        labels([0.0, 1.0] * 9 + [1.0]).check()
    with pytest.raises(FileError, match="'blurry' has 20 labels of one kind only, all below"):
        labels([0.0] * 10 + [0.4] * 10 + [np.nan]).check()
    labels([0.0] * 19 + [0.5]).check()


def test_pictures_have_no_scale_and_scan_files_have(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for kind in ("png", "webp"):
        path = tmp_path / f"a.{kind}"
        Image.fromarray(grey).save(path, lossless=True)
        scan = read_image(path)
        np.testing.assert_array_equal(scan.forward, grey)
        assert not scan.scale_known
        assert scan.frame is None
    write_gsf(tmp_path / "a.gsf", Scan(forward=grey.astype(np.float32) * 1e-12))
    assert read_image(tmp_path / "a.gsf").scale_known


def test_damaged_pictures_and_other_kinds_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "a.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(FileError, match="not a picture"):
        read_image(broken)
    with pytest.raises(FileError, match="not supported"):
        read_image(tmp_path / "a.docx")
