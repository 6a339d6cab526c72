"""Writing TOML, which the standard library only reads; and reading it as editors write it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any


def parse_toml(content: bytes) -> dict[str, Any]:
    """What the bytes of a file say; a mark of byte order before them, as on Windows, is no part.

    Raises:
        ValueError: they are no TOML.
        RecursionError: they are nested too deeply.
    """
    return tomllib.loads(content.decode("utf-8-sig"))


def toml_section(name: str, values: Mapping[str, Any]) -> str:
    """A table of plain values, lists and further tables."""
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    lines = [f"[{name}]"]
    for key, value in values.items():
        if key not in tables:
            bare = key.isascii() and key.isidentifier()
            lines.append(f"{key if bare else _scalar(key)} = {_scalar(value)}")
    text = "\n".join(lines) + "\n"
    return text + "".join("\n" + toml_section(f"{name}.{key}", tables[key]) for key in tables)


def _scalar(value: object) -> str:
    """A number or a text of TOML: as in JSON, but for one character that TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
