"""From the bytes of a request to the bytes of its reply."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from drivers.errors import InstrumentError, ProtocolError
from drivers.nanonis.codec import Layout, decode_request, encode_error, encode_reply
from drivers.nanonis.commands import RELEASES, lookup
from drivers.nanonis.wire import TYPES
from sim.servers.nanonis.extra import EXTRA, Verbatim, layout_of
from sim.servers.nanonis.handlers import Handler, Refusal, Values

_UNREADABLE = "Error trying to read the Message from the Client."


class Dispatcher:
    """The commands of a controller of one release.

    Args:
        handlers: what carries out each command, by its name.
        release: release whose layouts are spoken.
        lenient_legacy: accept requests in the layout of an older release; what they lack is 0.
    """

    def __init__(
        self, handlers: Mapping[str, Handler], release: int, *, lenient_legacy: bool = False
    ) -> None:
        self._release = release
        self._lenient = lenient_legacy
        # Real controllers take names in any case, and some clients send them in lower case.
        self._commands = {
            name.lower(): (layout, handler)
            for name, handler in handlers.items()
            if (layout := _layout(name, release)) is not None
        }

    @property
    def names(self) -> frozenset[str]:
        """Every command that is known, in lower case."""
        return frozenset(self._commands)

    async def answer(self, name: str, body: bytes) -> bytes:
        """The whole reply to the request ``name`` with this body."""
        known = self._commands.get(name.lower())
        if known is None:
            return encode_error(name, _complaint(name, "The command is not known."))
        layout, handler = replace(known[0], name=name), known[1]
        try:
            values = self._decode(layout, body)
            _check_finite(layout, values)
            return encode_reply(layout, _answered(layout, await handler(values)))
        except ProtocolError:
            detail = _UNREADABLE
        except (Refusal, InstrumentError) as error:
            detail = str(error)
        # Empty values come before the error, where clients look for values first.
        return encode_error(name, _complaint(name, detail), layout.reply)

    def _decode(self, layout: Layout, body: bytes) -> Values:
        try:
            return decode_request(layout, body)
        except ProtocolError:
            legacy = self._decode_legacy(layout, body) if self._lenient else None
            if legacy is None:
                raise
            return legacy

    def _decode_legacy(self, layout: Layout, body: bytes) -> Values | None:
        absent: dict[str, Any] = {f.name: TYPES[f.kind].empty for f in layout.request.fields}
        # The youngest layout that fits: clients are written against one release as a whole.
        for release in reversed(RELEASES):
            try:
                older = lookup(self._commands[layout.name.lower()][0].name, release)
                return absent | decode_request(older, body)
            except ProtocolError:
                continue
        return None


def _answered(layout: Layout, values: Values) -> Values:
    """What this release's layout has of ``values``."""
    if isinstance(layout.reply, Verbatim):
        return values
    return {field.name: values[field.name] for field in layout.reply.fields}


def _layout(name: str, release: int) -> Layout | None:
    try:
        return layout_of(name, release)
    except ProtocolError:
        return None


def _complaint(name: str, detail: str) -> str:
    return f"Error in command: {name.lower()}: {detail}"


def _check_finite(layout: Layout, values: Values) -> None:
    # Spectroscopy takes an infinite slew rate; everything that moves the tip is finite.
    if layout.name in EXTRA:
        return
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise Refusal(f"The value of {name} must be a finite number.")
