"""Gwyddion Simple Field, ``.gsf``: reader and writer.

A first line that names the format, text lines ``name = value`` in UTF-8, one to four zero bytes
that make the header a multiple of four long, then little-endian float32 values, top row first. A
file holds one picture, so that forward and backward need one each. What the format has no name for
(bias, setpoint, angle, time) is written as fields of its own, which other readers keep as metadata.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from pydantic import ValidationError

from drivers.errors import FileError
from drivers.formats.atomic import write_atomically
from drivers.formats.damage import Damaged, read_file
from drivers.scan import Direction, Frame, Image, Scan

_MAGIC = b"Gwyddion Simple Field 1.0\n"
_LARGEST_HEADER = 1 << 20
_METRES = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "nm": 1e-9, "pm": 1e-12}

Way = Literal["forward", "backward"]
Fields = dict[str, str]


def read_gsf(path: Path | str) -> Scan:
    """Read a ``.gsf`` file as the forward picture of a scan.

    Heights without a unit keep their scale, which is then not known; so is the frame without a
    lateral unit.

    Raises:
        FileError: the file is missing, damaged, truncated or holds no heights.
    """
    return read_file(path, "a Gwyddion .gsf field", _read)


def _read(file: BinaryIO, source: str) -> Scan:
    start = file.read(_LARGEST_HEADER)
    end = start.find(b"\0")
    if not start.startswith(_MAGIC) or end < 0:
        raise Damaged(f"it has no header that begins with {_MAGIC.decode().strip()!r}")
    fields = _parse(start[len(_MAGIC) : end])
    columns, rows = _count(fields, "XRes"), _count(fields, "YRes")
    begin = end + 4 - end % 4
    file.seek(begin)
    content = file.read()
    if len(content) < 4 * columns * rows:
        raise Damaged(
            f"{4 * columns * rows} bytes of data were expected and {len(content)} are there"
        )
    heights = np.frombuffer(content, "<f4", columns * rows).astype(np.float32)
    unit = fields.get("ZUnits", "")
    if unit and unit not in _METRES:
        raise Damaged(f"its values are in {unit!r} (ZUnits); heights in m were expected")
    scale = np.float32(_METRES.get(unit, 1.0))
    direction: Direction = "up" if fields.get("Direction") == "up" else "down"
    return Scan(
        forward=heights.reshape(rows, columns) * scale,
        frame=_frame(fields),
        bias_v=_number(fields, "Bias"),
        setpoint_a=_number(fields, "Setpoint"),
        forward_s=_number(fields, "ForwardTime"),
        direction=direction,
        scale_known=bool(unit),
        started=fields.get("Date"),
        source=source,
        comment=fields.get("Title", ""),
    )


def _parse(header: bytes) -> Fields:
    try:
        lines = header.decode().split("\n")
    except UnicodeDecodeError:
        raise Damaged("its header is no text in UTF-8") from None
    pairs = (line.partition("=") for line in lines if line.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _count(fields: Fields, name: str) -> int:
    text = fields.get(name, "")
    # More digits than any picture has are no number to allocate by.
    if not re.fullmatch(r"0*[1-9][0-9]{0,5}", text):
        raise Damaged(f"{name} {text!r} is no number of pixels")
    return int(text)


def _number(fields: Fields, name: str) -> float | None:
    if name not in fields:
        return None
    try:
        value = float(fields[name])
    except ValueError:
        raise Damaged(f"{name} {fields[name]!r} is no number") from None
    return value if math.isfinite(value) else None


def _frame(fields: Fields) -> Frame | None:
    scale = _METRES.get(fields.get("XYUnits", ""))
    width, height = _number(fields, "XReal"), _number(fields, "YReal")
    if scale is None or width is None or height is None:
        return None
    left, top = _number(fields, "XOffset") or 0.0, _number(fields, "YOffset") or 0.0
    try:
        return Frame(
            x_m=(left + width / 2) * scale,
            y_m=(top + height / 2) * scale,
            width_m=width * scale,
            height_m=height * scale,
            angle_deg=_number(fields, "Angle") or 0.0,
        )
    except ValidationError:
        raise Damaged(f"no scan frame is {width} by {height} (XReal, YReal)") from None


def write_gsf(path: Path | str, scan: Scan, way: Way = "forward") -> None:
    """Write one picture of ``scan`` as a ``.gsf`` file, which appears complete or not at all.

    Raises:
        FileError: the scan has no such picture, or the place cannot be written to.
    """
    path = Path(path)
    picture = scan.forward if way == "forward" else scan.backward
    if picture is None:
        raise FileError(f"cannot write {path}: the scan has no {way} picture")
    fields = _fields(scan, picture, way)
    # A line break or a zero byte in a text would end the field, or the header.
    lines = (f"{name} = {_one_line(value)}\n" for name, value in fields.items())
    header = _MAGIC + "".join(lines).encode()
    padding = b"\0" * (4 - len(header) % 4)
    write_atomically(path, header + padding + picture.astype("<f4").tobytes())


def _fields(scan: Scan, picture: Image, way: Way) -> Fields:
    rows, columns = picture.shape
    fields = {"XRes": str(columns), "YRes": str(rows)}
    frame = scan.frame
    if frame is not None:
        left, top = frame.x_m - frame.width_m / 2, frame.y_m - frame.height_m / 2
        sizes = {"XReal": frame.width_m, "YReal": frame.height_m, "XOffset": left, "YOffset": top}
        fields |= {name: repr(value) for name, value in sizes.items()}
        fields |= {"XYUnits": "m", "Angle": repr(frame.angle_deg)}
    if scan.scale_known:
        fields["ZUnits"] = "m"
    known = {"Bias": scan.bias_v, "Setpoint": scan.setpoint_a, "ForwardTime": scan.forward_s}
    fields |= {name: repr(value) for name, value in known.items() if value is not None}
    fields |= {"Way": way, "Direction": scan.direction}
    texts = {"Date": scan.started, "Title": scan.comment}
    return fields | {name: text for name, text in texts.items() if text}


def _one_line(text: str) -> str:
    return " ".join(text.replace("\0", " ").split())
