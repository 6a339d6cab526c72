"""The operator's settings: changed with a read-back, remembered, and put back.

What somebody else has set meanwhile is theirs: it is neither overwritten nor put back. That holds
across programs, too: what is borrowed is noted before it is written.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from drivers.errors import (
    ConnectionFailed,
    ConnectionLost,
    FileError,
    InstrumentError,
    SettingsChanged,
)
from drivers.nanonis.codes import to_set
from drivers.nanonis.commands import lookup
from drivers.nanonis.debts import DebtBook, as_json
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

    Attributes:
        debts: where they are noted, with whatever else is owed.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.debts = DebtBook()
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
        """Like ``write``, remembering what the operator had set.

        Raises:
            InstrumentError: as for ``write``.
            FileError: what is borrowed cannot be kept; nothing was written.
        """
        before = self._borrowed.get(group) or await self.get(group)
        known = self._left.get(group, before)
        aimed = {name: _kept(value, known[name]) for name, value in values.items() if name in known}
        # While it is written, it may be found as it was or as it is to be.
        if group not in self._left or not _alike(as_json(aimed), as_json(known), rel_tol):
            either = (*self.debts.left(group), {**known, **aimed})
            await self._owe(group, before, *either, rel_tol=rel_tol)
        self._borrowed[group] = before
        self._left.pop(group, None)
        await self._leave_at(group, await self.write(group, rel_tol=rel_tol, **values))

    async def note(self) -> None:
        """Take the borrowed groups for set as they stand: writing one may have altered another."""
        for group in tuple(self._left):
            await self._leave_at(group, await self.get(group))

    async def take_up(self, group: str, debt: Mapping[str, Any]) -> None:
        """Borrow ``group`` from where an earlier program left it, unless it was changed since.

        Raises:
            InstrumentError: it cannot be read.
            LookupError: the debt is not one of this version.
        """
        found = await self.get(group)
        plain, rel_tol = as_json(found), debt.get("rel_tol", _FLOAT32)
        if _alike(debt["before"], plain, _FLOAT32):
            await self.debts.settle(group)
        elif any(_alike(left, plain, rel_tol) for left in debt["left"]):
            fields = lookup(group + "Get", self._session.release).reply.fields
            self._borrowed[group] = {
                field.name: _as_read(field, debt["before"][field.name]) for field in fields
            }
            await self._leave_at(group, found)
        else:
            _log.warning("%s was changed since the run before and stays so", group)
            await self.debts.settle(group)

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
            await self._leave(group)
        if group in self._borrowed:
            await self._put_back(group)

    async def _put_back(self, group: str) -> None:
        old = self._borrowed[group]
        fields = lookup(group + "Set", self._session.release).request.fields
        await self._session.call(
            group + "Set", **{field.name: _as_written(field, old) for field in fields}
        )
        await self._forget(group)

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
            await self._leave(group)

    async def _changes(self, group: str) -> list[str]:
        """What differs from how ``group`` was left, in words; nothing if it was not."""
        left = self._left.get(group)
        return [] if left is None else _differences(group, left, await self.get(group))

    async def _leave_at(self, group: str, found: dict[str, Any]) -> None:
        self._left[group] = found
        await self.debts.owe(group, self._borrowed[group], found)

    async def _owe(
        self, group: str, before: dict[str, Any], *left: Mapping[str, Any], rel_tol: float
    ) -> None:
        """Note that ``group`` is about to be borrowed; whoever is cancelled then has done so."""
        fresh = group not in self._borrowed
        self._borrowed[group] = before
        try:
            await self.debts.owe(group, before, *left, rel_tol=rel_tol)
        except FileError:
            if fresh:
                del self._borrowed[group]
            raise

    async def _leave(self, group: str) -> None:
        _log.warning("%s was changed by somebody else and stays so", group)
        await self._forget(group)

    async def _forget(self, group: str) -> None:
        del self._borrowed[group]
        self._left.pop(group, None)
        await self.debts.settle(group)


def _as_read(field: Field, value: Any) -> Any:  # noqa: ANN401 - whatever the field holds
    """``value`` as the controller would have told it, from how JSON holds it."""
    if field.codes:
        return field.codes[value]
    return tuple(value) if isinstance(value, list) else value


def _kept(value: Any, known: Any) -> Any:  # noqa: ANN401 - whatever the setting holds
    """What a setting that reads ``known`` reads after ``value`` was written."""
    return known if isinstance(value, IntEnum) and value.name == "KEEP" else value


def _alike(one: Mapping[str, Any], other: Mapping[str, Any], rel_tol: float) -> bool:
    """Whether the settings are the same, both as JSON holds them."""
    return all(_agrees(name, value, other.get(name), rel_tol) for name, value in one.items())


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
    if isinstance(given, float) and isinstance(found, int | float):
        abs_tol = _LENGTH_M if name.endswith("_m") else _TINY
        return math.isclose(given, found, rel_tol=rel_tol, abs_tol=abs_tol)
    return bool(given == found)


def _shown(value: Any) -> str:  # noqa: ANN401
    return f"{value:g}" if isinstance(value, float) else str(value)
