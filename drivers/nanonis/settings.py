"""The operator's settings: changed with a read-back, remembered, and put back.

What somebody else has set meanwhile is theirs: it is neither overwritten nor put back.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from drivers.errors import ConnectionFailed, ConnectionLost, InstrumentError, SettingsChanged
from drivers.nanonis.codes import to_set
from drivers.nanonis.commands import lookup
from drivers.nanonis.session import Session
from drivers.nanonis.wire import Field

_log = logging.getLogger(__name__)

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
        # As the controller kept them: its rounding is not taken for somebody's hand.
        self._left: dict[str, dict[str, Any]] = {}

    @property
    def borrowed(self) -> bool:
        """Whether there is something to be put back."""
        return bool(self._borrowed)

    async def get(self, group: str) -> dict[str, Any]:
        """Read a group."""
        return await self._session.call(group + "Get")

    async def write(
        self,
        group: str,
        *,
        rel_tol: float = _FLOAT32,
        **values: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        """Write a whole group and read it back.

        Args:
            group: what stands before ``Set`` and ``Get``.
            rel_tol: how far numbers may differ when read back.
            values: all arguments of the ``Set`` command.

        Returns:
            The group as the controller keeps it.

        Raises:
            InstrumentError: the controller did not take a value over.
        """
        await self._session.call(group + "Set", **values)
        found = await self.get(group)
        for name, value in values.items():
            if not _agrees(name, value, found.get(name, value), rel_tol):
                raise InstrumentError(
                    f"the controller was given {name} = {_shown(value)} ({group}) and kept "
                    f"{_shown(found[name])}; check its limits for this value"
                )
        return found

    async def borrow(self, group: str, *, rel_tol: float = _FLOAT32, **values: Any) -> None:  # noqa: ANN401
        """Like ``write``, remembering what the operator had set."""
        if group not in self._borrowed:
            self._borrowed[group] = await self.get(group)
        self._left.pop(group, None)
        self._left[group] = await self.write(group, rel_tol=rel_tol, **values)

    async def note(self) -> None:
        """Take the borrowed groups for set as they stand: writing one may have altered another."""
        for group in self._left:
            self._left[group] = await self.get(group)

    async def expect_untouched(self) -> None:
        """Make sure that the borrowed groups are as they were left.

        Raises:
            SettingsChanged: somebody else has changed some; each value is named.
        """
        changes = [text for group in tuple(self._left) for text in await self._changes(group)]
        if changes:
            raise SettingsChanged(
                f"somebody else has changed settings of the controller: {'; '.join(changes)}; "
                "they are left so, start again when the instrument is free"
            )

    async def give_back(self, group: str) -> None:
        """Put a borrowed group back; nothing if it is not borrowed, or was changed meanwhile."""
        if await self._changes(group):
            self._leave(group)
        if group in self._borrowed:
            await self._put_back(group)

    async def _put_back(self, group: str) -> None:
        old = self._borrowed[group]
        fields = lookup(group + "Set", self._session.release).request.fields
        await self._session.call(
            group + "Set", **{field.name: _as_written(field, old) for field in fields}
        )
        self._forget(group)

    async def give_back_all(self) -> None:
        """Put back everything that is still borrowed.

        Raises:
            InstrumentError: something could not be put back, all of it named; the rest was.
        """
        await self._leave_changed()
        failures: list[str] = []
        broken = 0
        for group in tuple(self._borrowed):
            if broken == _BREAKS:
                failures.append(f"{group}: not tried, the connection is broken")
                continue
            try:
                await self._put_back(group)
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

    async def _leave_changed(self) -> None:
        """Forget the groups that somebody else has changed."""
        # All are compared before any is put back: putting one back may alter another.
        try:
            changed = [group for group in tuple(self._left) if await self._changes(group)]
        except InstrumentError as error:
            _log.warning("whether settings were changed meanwhile is unknown: %s", error)
            return
        for group in changed:
            self._leave(group)

    async def _changes(self, group: str) -> list[str]:
        """What differs from how ``group`` was left, in words; nothing if it was not."""
        left = self._left.get(group)
        return [] if left is None else _differences(group, left, await self.get(group))

    def _leave(self, group: str) -> None:
        _log.warning("%s was changed by somebody else and stays so", group)
        self._forget(group)

    def _forget(self, group: str) -> None:
        del self._borrowed[group]
        self._left.pop(group, None)


def _as_written(field: Field, old: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever the field holds
    if field.name not in old:
        # Not every release can read all that it can write; empty leaves those alone.
        return () if field.kind.endswith("[]") else 0
    value = old[field.name]
    return to_set(value, field.codes) if field.codes else value


def _differences(group: str, left: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    return [
        f"{group} {name} from {_shown(value)} to {_shown(found[name])}"
        for name, value in left.items()
        if not _agrees(name, value, found[name], _FLOAT32)
    ]


def _agrees(name: str, given: Any, found: Any, rel_tol: float) -> bool:  # noqa: ANN401
    if isinstance(given, IntEnum):
        return given.name in ("KEEP", found.name)
    if isinstance(given, float):
        abs_tol = _LENGTH_M if name.endswith("_m") else _TINY
        return math.isclose(given, found, rel_tol=rel_tol, abs_tol=abs_tol)
    return bool(given == found)


def _shown(value: Any) -> str:  # noqa: ANN401
    return f"{value:g}" if isinstance(value, float) else str(value)
