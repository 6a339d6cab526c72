"""Nanonis ``.sxm`` scan files: reader and writer.

A text header of ``:KEY:`` lines ends with ``:SCANIT_END:``, two empty lines and the bytes 1A 04;
big-endian float32 frames follow, one or two for each row of the table ``DATA_INFO``. Backward
frames are stored mirrored, and scans that ran upwards are stored bottom row first.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydantic import ValidationError

from drivers.errors import FileError
from drivers.formats.atomic import write_atomically
from drivers.formats.damage import Damaged, read_file
from drivers.scan import Direction, Frame, Image, Quantity, Scan, apparent_height

_END = b":SCANIT_END:"
_DATA = b"\x1a\x04"
#: Real headers are 10 to 40 kB; a file without the end mark by then is something else.
_LARGEST_HEADER = 1 << 20
_PLANES = {"both": 2, "forward": 1, "backward": 1}

Header = Mapping[str, list[str]]


def read_sxm(path: Path | str) -> Scan:
    """Read the topograph of a Nanonis ``.sxm`` file: channel Z, or Current at constant height.

    Row 0 is the top edge and column 0 the lowest x in both directions; lines that were not
    scanned are NaN.

    Raises:
        FileError: the file is missing, damaged, truncated or not a ``.sxm`` scan.
    """
    return read_file(path, "a Nanonis .sxm scan", _read)


def _read(file: BinaryIO, source: str) -> Scan:
    start = file.read(_LARGEST_HEADER)
    end = start.find(_END)
    data = start.find(_DATA, end)
    if end < 0 or data < 0:
        raise Damaged("it has no header that ends with :SCANIT_END:; is it another kind of file?")
    header = _parse_header(start[:end].decode("latin-1"))
    if _words(header, "SCANIT_TYPE") != ["FLOAT", "MSBFIRST"]:
        raise Damaged("its data are not big-endian 32-bit floats (SCANIT_TYPE FLOAT MSBFIRST)")
    quantity, heights = _read_heights(file, data + len(_DATA), header)
    return Scan(
        forward=heights[0],
        backward=heights[1] if len(heights) == 2 else None,
        quantity=quantity,
        frame=_frame(header),
        bias_v=_optional_number(header, "BIAS"),
        setpoint_a=_setpoint(header),
        forward_s=_optional_number(header, "SCAN_TIME"),
        direction=_direction(header),
        started=" ".join(_words(header, "REC_DATE") + _words(header, "REC_TIME")) or None,
        source=source,
        comment="\n".join(header.get("COMMENT", [])).strip(),
    )


def _parse_header(text: str) -> Header:
    header: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.replace("\r", "").split("\n"):
        if len(line) > 2 and line.startswith(":") and line.endswith(":"):
            lines = header.setdefault(line.strip(":"), [])
        else:
            lines.append(line)
    return header


def _words(header: Header, key: str) -> list[str]:
    return " ".join(header.get(key, [])).split()


def _numbers(header: Header, key: str) -> tuple[float, float]:
    words = _words(header, key)
    try:
        first, second = (float(word) for word in words)
    except ValueError:
        raise Damaged(f"{key} is {' '.join(words)!r}, expected two numbers") from None
    return first, second


def _optional_number(header: Header, key: str) -> float | None:
    words = _words(header, key)
    return _finite(words[0]) if words else None


def _finite(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _table(header: Header, key: str) -> list[dict[str, str]]:
    rows = [line.strip().split("\t") for line in header.get(key, []) if line.strip()]
    return [dict(zip(rows[0], row, strict=False)) for row in rows[1:]]


def _setpoint(header: Header) -> float | None:
    for row in _table(header, "Z-CONTROLLER"):
        number, _, unit = row.get("Setpoint", "").strip().partition(" ")
        if unit.strip() == "A":
            return _finite(number)
    return None


def _direction(header: Header) -> Direction:
    direction = " ".join(_words(header, "SCAN_DIR"))
    if direction in ("up", "down"):
        return "up" if direction == "up" else "down"
    raise Damaged(f"SCAN_DIR is {direction!r}, expected 'up' or 'down'")


def _frame(header: Header) -> Frame:
    width_m, height_m = _numbers(header, "SCAN_RANGE")
    x_m, y_m = _numbers(header, "SCAN_OFFSET")
    angle_deg = _optional_number(header, "SCAN_ANGLE") or 0.0
    try:
        return Frame(x_m=x_m, y_m=y_m, width_m=width_m, height_m=height_m, angle_deg=angle_deg)
    except ValidationError:
        raise Damaged(f"no scan frame is {width_m} m wide and {height_m} m high") from None


def _read_heights(file: BinaryIO, start: int, header: Header) -> tuple[Quantity, list[Image]]:
    """The heights, forward first; from the current where the tip was not following the surface."""
    heights = _read_channel(file, start, header, "Z")
    if not heights:
        raise Damaged("it holds no forward picture of the channel Z")
    followed = heights[0][np.isfinite(heights[0])]
    if followed.size == 0 or np.ptp(followed) > 0:
        return "height", heights
    currents = _read_channel(file, start, header, "Current")
    if not currents:
        return "height", heights
    return "log_current", [apparent_height(current) for current in currents]


def _read_channel(file: BinaryIO, start: int, header: Header, name: str) -> list[Image]:
    """Forward and, if recorded, backward picture of a channel; empty if it is not there."""
    columns, rows = _numbers(header, "SCAN_PIXELS")
    if not (columns.is_integer() and rows.is_integer() and columns >= 1 and rows >= 1):
        raise Damaged(f"SCAN_PIXELS {columns:g} x {rows:g} is no size of a picture")
    size = int(columns) * int(rows)
    first, begin, planes = 0, 0, 0
    for channel in _table(header, "DATA_INFO"):
        direction = channel.get("Direction", "")
        if direction not in _PLANES:
            raise Damaged(f"a channel was recorded {direction!r}, expected 'both' or 'forward'")
        if channel.get("Name") == name and direction != "backward":
            begin, planes = first, _PLANES[direction]
        first += _PLANES[direction]
    there = file.seek(0, os.SEEK_END) - start
    if there < first * size * 4:
        raise Damaged(f"{first * size * 4} bytes of data were expected and {there} are there")
    file.seek(start + begin * size * 4)
    values = np.frombuffer(file.read(planes * size * 4), ">f4").astype(np.float32)
    forward_first = values.reshape(planes, int(rows), int(columns))
    scanned = _direction(header)
    return [
        _upright(picture[:, ::-1] if back else picture, scanned)
        for back, picture in enumerate(forward_first)
    ]


def _upright(picture: Image, direction: str) -> Image:
    return np.ascontiguousarray(picture[::-1] if direction == "up" else picture)


def write_sxm(path: Path | str, scan: Scan) -> None:
    """Write ``scan`` as a Nanonis ``.sxm`` file with the channel Z.

    The file appears complete or not at all; it names itself without its folder, so that the same
    scan makes the same bytes anywhere.

    Raises:
        FileError: the scan has no frame or no scale in metres, or the place cannot be written to.
    """
    path = Path(path)
    if scan.frame is None or not scan.scale_known:
        raise FileError(f"cannot write {path}: a .sxm file needs a scan with a frame and metres")
    pictures = [_upright(scan.forward, scan.direction)]
    if scan.backward is not None:
        pictures.append(_upright(scan.backward[:, ::-1], scan.direction))
    text = _header_text(scan, scan.frame, path)
    content = text.encode("latin-1", errors="replace") + _END + b"\n\n\n" + _DATA
    content += b"".join(picture.astype(">f4").tobytes() for picture in pictures)
    write_atomically(path, content)


def _header_text(scan: Scan, frame: Frame, path: Path) -> str:
    lines, pixels = scan.forward.shape
    date, _, clock = (scan.started or "").partition(" ")
    line_s = math.nan if scan.forward_s is None else scan.forward_s
    ways = 1 if scan.backward is None else 2
    setpoint = "n/a" if scan.setpoint_a is None else f"{scan.setpoint_a:.9E} A"
    values = {
        "NANONIS_VERSION": "2",
        "SCANIT_TYPE": "              FLOAT            MSBFIRST",
        "REC_DATE": date,
        "REC_TIME": clock,
        "ACQ_TIME": f"{ways * line_s * lines:.1f}",
        "SCAN_PIXELS": f"{pixels} {lines}",
        "SCAN_FILE": path.name,
        "SCAN_TIME": f"{line_s:.9E} {line_s:.9E}",
        "SCAN_RANGE": f"{frame.width_m:.9E} {frame.height_m:.9E}",
        "SCAN_OFFSET": f"{frame.x_m:.9E} {frame.y_m:.9E}",
        "SCAN_ANGLE": f"{frame.angle_deg:.9E}",
        "SCAN_DIR": scan.direction,
        "BIAS": f"{math.nan if scan.bias_v is None else scan.bias_v:.9E}",
        "Z-CONTROLLER": f"\tName\ton\tSetpoint\n\tlog Current\t1\t{setpoint}",
        "COMMENT": _harmless(scan.comment),
        "DATA_INFO": "\tChannel\tName\tUnit\tDirection\tCalibration\tOffset\n"
        f"\t30\tZ\tm\t{'both' if ways == 2 else 'forward'}\t1.000E+0\t0.000E+0",
    }
    return "".join(f":{key}:\n{value}\n" for key, value in values.items()) + "\n"


def _harmless(comment: str) -> str:
    """``comment`` without what readers would take for a key or for the end of the header."""
    lines = comment.replace("SCANIT_END", "SCANIT END").splitlines()
    return "\n".join(line.lstrip(":") for line in lines)
