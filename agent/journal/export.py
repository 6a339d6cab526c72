"""Tables into files: CSV, and Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from agent.journal.tables import Table
from drivers.errors import ConfigError, FileError
from drivers.formats.atomic import write_atomically


def export(tables: Mapping[str, Table], to: Path, kind: str, table: str) -> list[Path]:
    """Write tables to a file or into a new folder; all of it appears, or nothing.

    Args:
        tables: by name.
        to: with the suffix of one of ``FORMATS``, a file that gets one table; otherwise a folder
            that gets a file for each.
        kind: of the files in a folder: one of ``FORMATS``.
        table: name of the table for a file.

    Returns:
        What was written.

    Raises:
        ConfigError: there is no such kind or table, or its library is not installed.
        FileError: ``to`` exists, or cannot be written.
    """
    suffix = to.suffix.removeprefix(".").lower()
    encode = _encoder(suffix if suffix in FORMATS else kind)
    if table not in tables:
        raise ConfigError(f"there is no table {table!r}; there are {', '.join(tables)}")
    if _exists(to):
        raise FileError(f"{to} exists already; choose another name")
    if suffix in FORMATS:
        write_atomically(to, encode(tables[table]))
        return [to]
    contents = {f"{name}.{kind}": encode(one) for name, one in tables.items()}
    _write_folder(to, contents)
    return [to / name for name in contents]


def _exists(to: Path) -> bool:
    try:
        return to.exists()
    except OSError as error:
        raise FileError(f"cannot write {to}: {error.strerror}") from None


def _write_folder(to: Path, contents: Mapping[str, bytes]) -> None:
    temporary: str | None = None
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent)
        for name, content in contents.items():
            (Path(temporary) / name).write_bytes(content)
        os.replace(temporary, to)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                shutil.rmtree(temporary)
        raise FileError(f"cannot write {to}: {error.strerror or error}") from None


def _csv(table: Table) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue().encode()


def _parquet(table: Table) -> bytes:
    import pyarrow
    from pyarrow import parquet

    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table(dict(table)), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


FORMATS: Mapping[str, Callable[[Table], bytes]] = {"csv": _csv, "parquet": _parquet}


def _encoder(kind: str) -> Callable[[Table], bytes]:
    if kind not in FORMATS:
        raise ConfigError(f"unknown format {kind!r}; known are {', '.join(FORMATS)}")
    if kind == "parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise ConfigError(
                "Parquet needs pyarrow, which is not installed; "
                "run 'pip install tipsmith[parquet]', or export to CSV"
            ) from None
    return FORMATS[kind]
