"""Writing TOML; the standard library only reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


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
