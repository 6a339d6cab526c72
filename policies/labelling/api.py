"""What the page in the browser can ask for: the state of a desk, a key, a picture.

Nothing that comes from the browser is used as a path: scans are asked for by their index.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, ValidationError

from drivers.errors import FileError
from drivers.scan import Scan
from policies.labelling.desk import Desk
from policies.labelling.picture import VIEWS, draw
from policies.labelling.sheet import Sheet


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request, without the way it travels."""

    status: HTTPStatus
    kind: str
    content: bytes
    #: Pictures stay as they are while the page is open; the state does not.
    keep: bool = False


class _Press(BaseModel):
    """A key, and the last record that the page knew of when it was pressed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: str
    seen: int


def state(desk: Desk, trouble: str | None = None) -> dict[str, object]:
    """What the page shows; ``trouble`` is a sentence on what went wrong."""
    with desk.lock:
        marking, total = desk.marking, len(desk.folder.names)
        counts = marking.counts()
        found: dict[str, object] = {
            "revision": desk.revision,
            "folder": desk.folder.path.resolve().name,
            "position": marking.position,
            "total": total,
            "labelled": len(marking.labels),
            "skipped": marking.skipped,
            "summary": desk.summary(),
            "trouble": trouble,
        }
        marks = frozenset[str]()
        if marking.current is not None:
            marks = marking.marks(marking.current)
            sheet = desk.folder.sheet(marking.position)
            changed = marking.changed(marking.current)
            status = {"status": marking.status(marking.current), "changed": changed}
            found["scan"] = {**status, **_describe(sheet)}
        found["classes"] = [
            {"name": name, "on": name in marks, "count": counts[name]} for name in marking.classes
        ]
    return found


def _describe(sheet: Sheet) -> dict[str, object]:
    frame = None if sheet.scan is None else sheet.scan.frame
    pixels, lines = sheet.size
    size = (pixels, lines) if frame is None else (frame.width_m, frame.height_m)
    return {
        "name": sheet.name,
        "facts": [] if sheet.trouble else [*_facts(sheet.scan), f"{pixels} × {lines} points"],  # noqa: RUF001
        "trouble": sheet.trouble,
        "ways": sheet.ways,
        "views": VIEWS if sheet.scan is not None else VIEWS[:1],
        "aspect": size[0] / size[1] if size[1] else 1.0,
        "width_nm": None if frame is None else frame.width_m / 1e-9,
    }


def _facts(scan: Scan | None) -> list[str]:
    if scan is None:
        return []
    facts = []
    if scan.frame is not None:
        width, height = scan.frame.width_m / 1e-9, scan.frame.height_m / 1e-9
        facts.append(f"{width:.4g} × {height:.4g} nm")  # noqa: RUF001
    if scan.bias_v is not None:
        facts.append(f"{scan.bias_v:.3g} V")
    if scan.setpoint_a is not None:
        facts.append(f"{scan.setpoint_a / 1e-12:.3g} pA")
    if scan.lines_done < scan.forward.shape[0]:
        facts.append(f"scanned {scan.direction}, not to the end")
    if scan.started is not None:
        facts.append(scan.started)
    return facts


def answer(desk: Desk, method: str, parts: list[str], body: bytes) -> Answer:
    """Answer a request whose right to ask has been checked.

    Args:
        desk: what it is about.
        method: GET or POST.
        parts: the path below the token, split at ``/``.
        body: what a POST carries.
    """
    match method, parts:
        case "GET", ["state"]:
            return _json(state(desk))
        case "POST", ["key"]:
            return _press(desk, body)
        case "GET", ["picture", place, way, view]:
            return _picture(desk, place, way, view)
    return NOT_FOUND


def _press(desk: Desk, body: bytes) -> Answer:
    try:
        press = _Press.model_validate_json(body)
    except ValidationError:
        return _json({"trouble": "a key and what was seen were expected"}, HTTPStatus.BAD_REQUEST)
    with desk.lock:
        # A key is meant for the scan that was on show where it was pressed.
        if press.seen != desk.revision:
            moved = "labels were given in another window; this one now shows the same"
            return _json(state(desk, moved), HTTPStatus.CONFLICT)
        try:
            desk.press(press.key)
        except FileError as error:
            return _json(state(desk, str(error)), HTTPStatus.INSUFFICIENT_STORAGE)
        return _json(state(desk))


def _picture(desk: Desk, place: str, way: str, view: str) -> Answer:
    index, which = _index(place), _index(way)
    if index is None or which is None or index >= len(desk.folder.names):
        return NOT_FOUND
    sheet = desk.folder.sheet(index)
    for known in VIEWS:
        if known == view and which < len(sheet.ways):
            return Answer(HTTPStatus.OK, "image/png", draw(sheet, which, known), keep=True)
    return NOT_FOUND


def _index(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else None


def _json(found: dict[str, object], status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(status, "application/json", json.dumps(found).encode())


NOT_FOUND = Answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"nothing here\n")
