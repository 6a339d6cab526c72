"""The operator's settings: changed with a read-back, remembered, and put back."""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any

from drivers.errors import ConnectionFailed, ConnectionLost, InstrumentError
from drivers.nanonis.codes import to_set
from drivers.nanonis.commands import lookup
from drivers.nanonis.session import Session
from drivers.nanonis.wire import Field

# float32 keeps seven digits; lengths may also be rounded to what the converters resolve.
_FLOAT32 = 1e-5
_LENGTH_M = 1e-12
_TINY = 1e-18
# One command that is not answered may be that command's fault; so many in a row are the link's.
_BREAKS = 2


class Settings:
    """Every group of settings that has a pair of commands, such as ``Scan.SpeedSet`` and ``Get``.

    Borrowed groups are remembered before their first change until they are given back.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._borrowed: dict[str, dict[str, Any]] = {}

    async def get(self, group: str) -> dict[str, Any]:
        """Read a group."""
        return await self._session.call(group + "Get")

    async def write(self, group: str, *, rel_tol: float = _FLOAT32, **values: Any) -> None:  # noqa: ANN401
        """Write a whole group and read it back.

        Args:
            group: what stands before ``Set`` and ``Get``.
            rel_tol: how far numbers may differ when read back.
            values: all arguments of the ``Set`` command.

        Raises:
            InstrumentError: the controller did not take a value over.
        """
        await self._session.call(group + "Set", **values)
        found = await self.get(group)
        for name, value in values.items():
            abs_tol = _LENGTH_M if name.endswith("_m") else _TINY
            if not _agrees(value, found.get(name, value), rel_tol, abs_tol):
                raise InstrumentError(
                    f"the controller was given {name} = {_shown(value)} ({group}) and kept "
                    f"{_shown(found[name])}; check its limits for this value"
                )

    async def borrow(self, group: str, *, rel_tol: float = _FLOAT32, **values: Any) -> None:  # noqa: ANN401
        """Like ``write``, remembering what the operator had set."""
        if group not in self._borrowed:
            self._borrowed[group] = await self.get(group)
        await self.write(group, rel_tol=rel_tol, **values)

    async def give_back(self, group: str) -> None:
        """Put a borrowed group back as it was; nothing if it is not borrowed."""
        if group not in self._borrowed:
            return
        old = self._borrowed[group]
        fields = lookup(group + "Set", self._session.release).request.fields
        await self._session.call(
            group + "Set", **{field.name: _as_written(field, old) for field in fields}
        )
        del self._borrowed[group]

    async def give_back_all(self) -> None:
        """Put back everything that is still borrowed.

        Raises:
            InstrumentError: something could not be put back, all of it named; the rest was.
        """
        failures: list[str] = []
        broken = 0
        for group in tuple(self._borrowed):
            if broken == _BREAKS:
                failures.append(f"{group}: not tried, the connection is broken")
                continue
            try:
                await self.give_back(group)
            except (ConnectionFailed, ConnectionLost) as error:
                broken += 1
                failures.append(f"{group}: {error}")
            except InstrumentError as error:
                failures.append(f"{group}: {error}")
            else:
                broken = 0
        if failures:
            raise InstrumentError(
                f"not everything is as the operator had it ({'; '.join(failures)}); "
                "set these by hand"
            )


def _as_written(field: Field, old: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever the field holds
    if field.name not in old:
        # Not every release can read all that it can write; empty leaves those alone.
        return () if field.kind.endswith("[]") else 0
    value = old[field.name]
    return to_set(value, field.codes) if field.codes else value


def _agrees(given: Any, found: Any, rel_tol: float, abs_tol: float) -> bool:  # noqa: ANN401
    if isinstance(given, IntEnum):
        return given.name in ("KEEP", found.name)
    if isinstance(given, float):
        return math.isclose(given, found, rel_tol=rel_tol, abs_tol=abs_tol)
    return bool(given == found)


def _shown(value: Any) -> str:  # noqa: ANN401
    return f"{value:g}" if isinstance(value, float) else str(value)
