"""The state of a labelling: any keys, replayed, give the same state, and undo takes back one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import ConfigError
from policies.labelling.marking import Key, Marking, Status
from policies.labelling.records import RECORD, Undo, parse_classes

SCANS = ("a", "b", "c", "d")
CLASSES = ("good", "double", "blunt")
KEYS = st.sampled_from([*Key, "1", "2", "3", "9"])
#: Undo comes rarely, so that there is something to take back.
SEQUENCES = st.lists(KEYS | st.sampled_from(["1", "2", "save", "back"]), max_size=40)


def seen(marking: Marking) -> object:
    """Everything that a person can tell of a state."""
    scans = {
        name: (marking.status(name), marking.marks(name), marking.changed(name))
        for name in marking.scans
    }
    return marking.position, scans, marking.counts(), marking.skipped


def press(marking: Marking, *keys: str, first: int = 1) -> list:
    records = []
    for key in keys:
        record = marking.ask(key, first + len(records), session="s")
        if record is not None:
            marking.take(record)
            records.append(record)
    return records


@given(SEQUENCES, SEQUENCES)
def test_a_journal_read_back_gives_the_same_state_and_goes_on_alike(before, after) -> None:
    live, replayed = Marking(SCANS, CLASSES), Marking(SCANS, CLASSES)
    records = press(live, *before)
    replayed.replay(RECORD.validate_json(record.model_dump_json()) for record in records)
    assert seen(replayed) == seen(live)
    press(live, *after, first=len(records) + 1)
    press(replayed, *after, first=len(records) + 1)
    assert seen(replayed) == seen(live)


@given(SEQUENCES, st.sampled_from([key for key in [*Key, "1", "2", "3"] if key != Key.UNDO]))
def test_undo_inverts_whatever_key_came_last(before, key) -> None:
    marking = Marking(SCANS, CLASSES)
    records = press(marking, *before)
    state = seen(marking)
    if press(marking, key, first=len(records) + 1):
        assert press(marking, Key.UNDO, first=len(records) + 2)
    assert seen(marking) == state


@given(SEQUENCES)
def test_undone_to_the_end_nothing_is_left(before) -> None:
    marking = Marking(SCANS, CLASSES)
    records = press(marking, *before)
    press(marking, *[Key.UNDO] * (len(records) + 1), first=len(records) + 1)
    assert seen(marking) == seen(Marking(SCANS, CLASSES))
    assert marking.ask(Key.UNDO, 100, "") is None


@given(SEQUENCES, st.integers(0, 39))
def test_a_missing_record_leaves_the_labels_saved_after_it_as_they_were(before, lost) -> None:
    marking, damaged = Marking(SCANS, CLASSES), Marking(SCANS, CLASSES)
    records = press(marking, *[key for key in before if key != Key.UNDO])
    damaged.replay(record for place, record in enumerate(records) if place != lost)
    for name, label in marking.labels.items():
        if label.n > lost + 1:
            assert damaged.labels[name].marks == label.marks


def test_a_label_is_decided_by_saving_and_the_next_scan_is_shown() -> None:
    marking = Marking(SCANS, CLASSES)
    press(marking, "2", "3", "3", "1")
    assert marking.labels == {}
    assert marking.changed("a")
    press(marking, Key.SAVE, first=5)
    assert marking.labels["a"].marks == ("good", "double")
    assert marking.current == "b"
    assert marking.counts() == {"good": 1, "double": 1, "blunt": 0}
    press(marking, Key.SAVE, first=6)
    assert marking.labels["b"].marks == ()
    assert marking.status("b") is Status.LABELLED


def test_a_label_stays_until_its_change_is_saved() -> None:
    marking = Marking(SCANS, CLASSES)
    press(marking, "1", Key.SAVE, Key.BACK, "1", "2")
    assert marking.labels["a"].marks == ("good",)
    assert marking.marks("a") == {"double"}
    press(marking, Key.SAVE, first=9)
    assert marking.labels["a"].marks == ("double",)


def test_a_skipped_scan_has_no_label() -> None:
    marking = Marking(SCANS, CLASSES)
    press(marking, "1", Key.SAVE, Key.BACK, "2", Key.SKIP)
    assert marking.labels == {}
    assert marking.marks("a") == frozenset()
    assert (marking.status("a"), marking.skipped, marking.current) == (Status.SKIPPED, 1, "b")


def test_past_the_last_scan_only_turning_back_and_undo_do_anything() -> None:
    marking = Marking(SCANS, CLASSES)
    press(marking, Key.SAVE, Key.SKIP, Key.SAVE, Key.SAVE)
    assert marking.current is None
    assert [marking.ask(key, 5, "") for key in ("1", Key.SAVE, Key.SKIP, Key.OPEN)] == [None] * 4
    press(marking, Key.BACK, first=5)
    assert marking.current == "d"


def test_the_next_open_scan_is_found_from_the_start_after_the_end() -> None:
    marking = Marking(SCANS, CLASSES)
    press(marking, Key.SAVE, Key.OPEN, Key.SAVE, Key.SAVE)
    assert marking.current is None
    press(marking, Key.OPEN, first=9)
    assert marking.current == "b"


def test_a_folder_may_grow_and_shrink_between_sittings() -> None:
    before = Marking(SCANS, CLASSES)
    records = press(before, "1", Key.SAVE, "2", Key.SAVE, "3", Key.UNDO, Key.UNDO)
    assert isinstance(records[-1], Undo)
    later = Marking(("0", "a", "b", "e"), CLASSES)
    later.replay(records)
    assert later.labels["a"].marks == ("good",)
    assert later.marks("b") == {"double"}
    assert later.current == "b"
    gone = Marking(("b", "c"), CLASSES)
    gone.replay(records)
    assert gone.labels == {}
    assert gone.marks("b") == {"double"}


def test_classes_are_names_of_columns() -> None:
    assert parse_classes("good, tip_change,x-2") == ("good", "tip_change", "x-2")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "''"),
        ("a,,b", "''"),
        ("a,b,a", "'a' comes twice"),
        ("a,session", "'session' is a column"),
        ("a,=1+1", "'=1\\+1'"),
        ("a,b c", "'b c'"),
        ("a,b,c,d,e,f,g,h,i,j", "10 classes"),
    ],
)
def test_classes_that_cannot_be_are_named(text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse_classes(text)
