"""Journals that SQLite can read and nobody can understand: replay and export say so."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.journal.export import export
from agent.journal.past import read_past
from agent.journal.replay import replay
from agent.journal.tables import tables
from agent.journal.understanding import read
from drivers.errors import FileError
from tests.agent.test_cli import Tipsmith, repair, tipsmith  # noqa: F401 - a fixture

ODD = st.sampled_from(
    [
        None,
        True,
        "",
        "odd",
        "\ud800",
        -1,
        0,
        1e300,
        10**400,
        float("nan"),
        [],
        ["odd"],
        {},
        {"a": 1},
    ]
)
READING = {
    "run": "SELECT name, value FROM run ORDER BY name",
    "events": "SELECT sequence, payload FROM events ORDER BY sequence",
}
#: What is said to be text, SQLite keeps, whatever it is.
WRITING = {
    "run": "UPDATE run SET value = CAST(? AS TEXT) WHERE name = ?",
    "events": "UPDATE events SET payload = CAST(? AS TEXT) WHERE sequence = ?",
}
#: Hypothesis undoes nothing between examples: a context does.
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def run(tipsmith: Tipsmith) -> Path:  # noqa: F811
    """The journal of a repair that looked and acted."""
    return Path(json.loads(repair(tipsmith, "good", "--json").out)["journal"]).absolute()


@dataclass(frozen=True)
class Place:
    """A text in the journal: in which table, in the row with which key, and what it is."""

    table: str
    key: object
    text: str


@contextmanager
def damaged(path: Path, place: Place, text: bytes | str) -> Iterator[None]:
    """The journal with another text in one place, past all its rules."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER IF EXISTS never_changed")
        connection.execute(WRITING[place.table], (text, place.key))
        try:
            yield
        finally:
            connection.execute(WRITING[place.table], (place.text, place.key))


def places(path: Path) -> list[Place]:
    with closing(sqlite3.connect(path)) as connection:
        return [
            Place(table, *row)
            for table, reading in READING.items()
            for row in connection.execute(reading).fetchall()
        ]


def replayed(path: Path) -> None:
    with read(path) as journal:
        replay(journal)


def exported(path: Path) -> None:
    to = path.parent / "table"
    try:
        with read(path) as journal:
            export(tables(journal), to, "csv", "events")
    except FileError:
        assert not to.exists()
        raise
    for file in to.iterdir():
        file.unlink()
    to.rmdir()


def complaint_of(use: Callable[[Path], None], path: Path) -> str | None:
    try:
        use(path)
    except FileError as error:
        return str(error)
    return None


def told(use: Callable[[Path], None], path: Path) -> None:
    """Whoever uses the journal can, or gets one sentence that names it."""
    before = sorted(path.parent.iterdir())
    sentence = complaint_of(use, path)
    if sentence is not None:
        assert str(path) in sentence
        assert "\n" not in sentence
    assert sorted(path.parent.iterdir()) == before
    read_past(path)


def ways(value: Any) -> Iterator[tuple[str | int, ...]]:
    """The ways to all that is in ``value``."""
    yield ()
    parts = dict(enumerate(value)) if isinstance(value, list) else value
    for key, part in parts.items() if isinstance(parts, dict) else ():
        yield from ((key, *rest) for rest in ways(part))


def with_other(value: Any, way: tuple[str | int, ...], other: object) -> Any:
    """``value`` with ``other`` in the place that ``way`` leads to."""
    if not way:
        return other
    copy = value.copy()
    copy[way[0]] = with_other(value[way[0]], way[1:], other)
    return copy


def without(value: Any, way: tuple[str | int, ...]) -> Any:
    """``value`` without the place that ``way`` leads to."""
    copy = value.copy()
    if len(way) == 1:
        del copy[way[0]]
    else:
        copy[way[0]] = without(value[way[0]], way[1:])
    return copy


@pytest.mark.parametrize("use", [replayed, exported])
@SHARED
@given(data=st.data())
def test_a_flipped_bit_is_told(run: Path, use: Callable[[Path], None], data: st.DataObject):
    place = data.draw(st.sampled_from(places(run)))
    content = bytearray(place.text.encode())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with damaged(run, place, bytes(content)):
        told(use, run)


@pytest.mark.parametrize("use", [replayed, exported])
@SHARED
@given(data=st.data())
def test_what_is_of_another_kind_or_missing_is_told(
    run: Path, use: Callable[[Path], None], data: st.DataObject
):
    place = data.draw(st.sampled_from(places(run)))
    value = json.loads(place.text)
    way = data.draw(st.sampled_from(list(ways(value))))
    missing = bool(way) and data.draw(st.booleans())
    other = without(value, way) if missing else with_other(value, way, data.draw(ODD))
    with damaged(run, place, json.dumps(other)):
        told(use, run)


def test_what_is_not_understood_is_one_sentence_of_the_commands(
    tipsmith: Tipsmith,  # noqa: F811
    run: Path,
):
    (look,) = [one for one in places(run) if '"quality"' in one.text][:1]
    with damaged(run, look, "{}"):
        for arguments in (["replay", str(run)], ["journal", "export", str(run), "--to", "out"]):
            ran = tipsmith(*arguments)
            assert (ran.code, ran.out) == (2, "")
            assert ran.err == (
                f"tipsmith: an entry of {run} is not understood: frame: field required; "
                "the file is damaged or from another version of tipsmith\n"
            )
    assert sorted(one.name for one in Path.cwd().iterdir()) == ["runs"]


@pytest.mark.parametrize("text", [500_000 * "[", "[]", "5", '"text"', "{"])
def test_no_payload_is_told(run: Path, text: str):
    first = next(one for one in places(run) if one.table == "events")
    with damaged(run, first, text):
        for use in (replayed, exported):
            assert f"entry 1 of {run} " in str(complaint_of(use, run))
            told(use, run)


def test_missing_and_senseless_are_named(run: Path):
    started = next(one for one in places(run) if one.table == "events" and "range_m" in one.text)
    with damaged(run, started, "{}"):
        assert "it has no 'settings'" in str(complaint_of(replayed, run))
    policy = next(one for one in places(run) if one.key == "policy")
    with damaged(run, policy, '{"name": "dice", "limits": {}}'):
        assert str(complaint_of(replayed, run)).startswith(f"the run in {run} cannot be replayed:")
