"""Labelling a folder: what is kept, what a crash costs, and what is refused."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drivers import Frame, Scan
from drivers.errors import ConfigError, FileError
from drivers.formats import write_gsf, write_sxm
from policies.labelling.desk import LOCK, Desk
from policies.labelling.folder import find_scans
from policies.labelling.marking import Status
from policies.labelling.sheet import read_sheet, session_of

JOURNAL = "labels.journal.jsonl"
FRAME = Frame(x_m=0.0, y_m=0.0, width_m=24e-9, height_m=24e-9)


def make_scan(started: str | None = None) -> Scan:
    z = np.random.default_rng(0).normal(0, 20e-12, (16, 16)).astype(np.float32)
    return Scan(forward=z, backward=z, frame=FRAME, started=started)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("scan1.sxm", "scan2.sxm", "scan10.sxm"):
        write_sxm(tmp_path / name, make_scan(started="07.03.2026 12:30:00"))
    return tmp_path


def press(folder: Path, *keys: str, classes: tuple[str, ...] | None = None) -> None:
    with Desk(folder, classes) as desk:
        for key in keys:
            desk.press(key)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_labels_are_a_table_with_session_and_votes(folder: Path) -> None:
    press(folder, "2", "3", "save", "skip", "1", "save")
    votes = {"unstable": "0", "contaminated": "0", "changed": "0", "session": "07.03.2026"}
    assert table(folder) == [
        {"image": "scan1.sxm", "raters": "1", "good": "0", "double": "1", "blunt": "1", **votes},
        {"image": "scan10.sxm", "raters": "1", "good": "1", "double": "0", "blunt": "0", **votes},
    ]


def test_the_table_follows_every_key_while_labelling_goes_on(folder: Path) -> None:
    with Desk(folder) as desk:
        assert table(folder) == []
        desk.press("1")
        desk.press("save")
        assert [row["good"] for row in table(folder)] == ["1"]
        desk.press("undo")
        assert table(folder) == []


@given(st.lists(st.sampled_from(["1", "2", "save", "back", "skip", "open", "undo"]), max_size=12))
def test_a_crash_after_any_key_loses_nothing(keys: list[str]) -> None:
    with TemporaryDirectory() as name:
        for scan in "abc":
            write_gsf(Path(name) / f"{scan}.gsf", make_scan())
        with Desk(Path(name)) as desk:
            for key in keys:
                desk.press(key)
                kept = (Path(name) / JOURNAL).read_bytes()
            live = desk.marking
            labels = (Path(name) / "labels.csv").read_bytes()
        with Desk(Path(name)) as again:
            assert again.notes == []
            assert again.marking.position == live.position
            for scan in live.scans:
                assert again.marking.status(scan) == live.status(scan)
                assert again.marking.marks(scan) == live.marks(scan)
        assert (Path(name) / "labels.csv").read_bytes() == labels
        if keys:
            assert (Path(name) / JOURNAL).read_bytes() == kept


def test_undo_adds_to_the_journal_and_deletes_nothing(folder: Path) -> None:
    press(folder, "1", "save")
    before = (folder / JOURNAL).read_bytes()
    press(folder, "undo", "undo")
    after = (folder / JOURNAL).read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == before.count(b"\n") + 2
    assert table(folder) == []


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_that_a_crash_broke_off_is_named_and_kept(folder: Path, cut: int) -> None:
    press(folder, "1", "save", "2")
    journal = folder / JOURNAL
    journal.write_bytes(journal.read_bytes()[: -cut - 1])
    broken = journal.read_bytes()
    with Desk(folder) as desk:
        (note,) = desk.notes
        assert f"line 4 of {journal}" in note
        assert desk.marking.labels["scan1.sxm"].marks == ("good",)
        assert desk.marking.marks("scan2.sxm") == frozenset()
        desk.press("3")
    assert journal.read_bytes().startswith(broken + b"\n{")
    with Desk(folder) as desk:
        assert desk.marking.marks("scan2.sxm") == {"blunt"}
        assert len(desk.notes) == 1


@pytest.mark.parametrize(
    "damage", [b"\xff\x00\xfe", b"[" * 5000, b'{"n":2}', b"null", b'{"n":1,"do":"undo","of":1}']
)
def test_damage_in_the_middle_costs_that_line_alone(folder: Path, damage: bytes) -> None:
    press(folder, "1", "save", "2", "save")
    lines = (folder / JOURNAL).read_bytes().split(b"\n")
    lines[1] = damage
    (folder / JOURNAL).write_bytes(b"\n".join(lines))
    with Desk(folder) as desk:
        assert len(desk.notes) == 1
        assert "line 2" in desk.notes[0]
        assert desk.marking.labels["scan1.sxm"].marks == ("good",)
        assert desk.marking.labels["scan2.sxm"].marks == ("double",)
    assert (folder / JOURNAL).read_bytes() == b"\n".join(lines)


def test_a_full_disk_stops_the_labelling_and_not_what_is_kept(folder: Path, monkeypatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Desk(folder) as desk:
        desk.press("1")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(FileError, match="No space left"):
                desk.press("save")
        assert desk.marking.labels == {}
        # Whether the record is on the disk is not known, so another must not follow it.
        with pytest.raises(FileError, match="start tipsmith label again"):
            desk.press("2")
    with Desk(folder) as desk:
        assert desk.notes == []
        assert desk.press("undo")


def test_other_classes_begin_a_labelling_and_hold_for_it(folder: Path) -> None:
    press(folder, "2", "save", classes=("atoms", "rows"))
    press(folder, "1", "save")
    assert [(row["atoms"], row["rows"]) for row in table(folder)] == [("0", "1"), ("1", "0")]
    with pytest.raises(ConfigError, match="choose from atoms,rows; leave out --classes"):
        Desk(folder, ("good",))
    press(folder, "save", classes=("atoms", "rows"))


def test_classes_that_the_journal_lost_are_said_to_be_missing(folder: Path) -> None:
    press(folder, "2", "save", classes=("atoms", "rows"))
    lines = (folder / JOURNAL).read_bytes().split(b"\n")
    (folder / JOURNAL).write_bytes(b"\n".join([b"?", *lines[1:]]))
    with Desk(folder, ("atoms", "holes")) as desk:
        assert desk.marking.labels == {}
        assert "line 1" in desk.notes[0]
        assert "2 records" in desk.notes[1]


def test_scans_that_are_gone_keep_their_records(folder: Path) -> None:
    press(folder, "1", "save", "2", "save")
    (folder / "scan1.sxm").rename(folder / "elsewhere")
    with Desk(folder) as desk:
        assert "2 records" in desk.notes[0]
        assert [row["image"] for row in table(folder)] == ["scan2.sxm"]
    (folder / "elsewhere").rename(folder / "scan1.sxm")
    press(folder)
    assert [row["image"] for row in table(folder)] == ["scan1.sxm", "scan2.sxm"]


def test_two_labellers_do_not_meet(folder: Path) -> None:
    with Desk(folder), pytest.raises(FileError, match="labelled by another tipsmith label"):
        Desk(folder)
    with Desk(folder) as desk:
        assert desk.press("1")


def test_a_table_made_elsewhere_is_not_lost(folder: Path) -> None:
    (folder / "labels.csv").write_text("precious")
    with pytest.raises(FileError, match="was not made by tipsmith label"):
        Desk(folder)
    assert (folder / "labels.csv").read_text() == "precious"
    (folder / "labels.csv").unlink()
    press(folder)


def test_a_damaged_scan_gets_no_label(folder: Path) -> None:
    (folder / "scan1.sxm").write_bytes(b"no scan")
    with Desk(folder) as desk:
        assert "scan1.sxm" in (desk.folder.sheet(0).trouble or "")
        assert not desk.press("1")
        assert not desk.press("save")
        assert desk.press("skip")
        assert desk.marking.status("scan1.sxm") is Status.SKIPPED


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({}, "holds no scans; looked for .sxm"),
        ({"notes.txt": b"", ".hidden.png": b""}, "holds no scans"),
        ({"a.sxm": b"", "b.png": b"?"}, "none of the 2 scans .* can be read"),
    ],
)
def test_folders_without_a_readable_scan(tmp_path: Path, files: dict, named: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=named):
        Desk(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is no folder"):
        Desk(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_written_into(folder: Path) -> None:
    # A folder in the place of the file keeps root out, too.
    (folder / LOCK).mkdir()
    with pytest.raises(FileError, match="copy the scans to a folder of your own"):
        Desk(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into any folder")
def test_a_read_only_folder(folder: Path) -> None:
    folder.chmod(0o555)
    try:
        with pytest.raises(FileError, match="Permission denied"):
            Desk(folder)
    finally:
        folder.chmod(0o755)


def test_each_scan_is_shown_once_in_the_order_it_was_taken(tmp_path: Path) -> None:
    names = ["b/s10.png", "b/s9.sxm", "b/s9.gsf", "b/s9_backward.gsf", "b/s9.png", "b/s9.sxm.png"]
    names += [
        "a.webp",
        "lone_backward.gsf",
        ".git/x.png",
        "._a.sxm",
        "x.txt",
        "B.SXM",
        "_backward.gsf",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    shown = find_scans(tmp_path)
    assert shown == (
        "B.SXM",
        "_backward.gsf",
        "a.webp",
        "b/s9.sxm",
        "b/s10.png",
        "lone_backward.gsf",
    )


@pytest.mark.parametrize(
    ("name", "started", "session"),
    [
        ("a.sxm", "07.03.2026 12:30:00", "07.03.2026"),
        ("a.sxm", "2026-03-07T12:30", "2026-03-07"),
        ("a.sxm", "after lunch", ""),
        ("a.sxm", None, ""),
        ("night/one/a.sxm", "07.03.2026", "night/one"),
    ],
)
def test_sessions(name: str, started: str | None, session: str) -> None:
    assert session_of(name, started) == session


def test_huge_scans_are_shown_with_fewer_points(tmp_path: Path) -> None:
    z = np.tile(np.arange(3000, dtype=np.float32), (5, 1))
    z[0, 0] = np.nan
    write_gsf(tmp_path / "wide.gsf", Scan(forward=z))
    sheet = read_sheet(tmp_path, "wide.gsf")
    assert sheet.size == (3000, 5)
    assert sheet.scan is not None
    assert sheet.scan.forward.shape == (1, 1000)
    assert np.isnan(sheet.scan.forward[0, 0])
    np.testing.assert_allclose(sheet.scan.forward[0, 1:], np.arange(4, 3000, 3))


def test_pictures_are_shown_as_they_are_and_damaged_ones_named(tmp_path: Path) -> None:
    Image.new("L", (7, 5), 90).save(tmp_path / "a.webp", lossless=True)
    sheet = read_sheet(tmp_path, "a.webp")
    assert sheet.ways == ("picture",)
    assert sheet.picture is not None
    assert sheet.picture.size == (7, 5)
    content = (tmp_path / "a.webp").read_bytes()
    (tmp_path / "b.webp").write_bytes(content[:-8])
    assert "b.webp as a picture" in (read_sheet(tmp_path, "b.webp").trouble or "")
