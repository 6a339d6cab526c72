"""What the operator has to get back, told to whoever keeps it before it is changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from enum import IntEnum
from typing import Any

import numpy as np

from drivers.errors import FileError
from drivers.microscope import Debts

Values = Mapping[str, Any]


class DebtBook:
    """The debts of one driver by name: a group of settings, the tunnelling point, SafeTip.

    Each is ``{"before": values, "left": [values, ...]}``: what the operator had, and everything
    that the driver may have left instead; more than one only while it is being changed.
    """

    def __init__(self) -> None:
        self._debts: dict[str, Mapping[str, Any]] = {}
        self._told: Callable[[Debts], Awaitable[None]] | None = None
        self._ending = False

    async def account_to(self, told: Callable[[Debts], Awaitable[None]]) -> None:
        """Tell ``told`` every debt, and from now on every change.

        Raises:
            FileError: ``told`` cannot keep it.
        """
        await told(dict(self._debts))
        self._told = told

    def adopt(self, debts: Debts) -> None:
        """Owe what an earlier program has left owed."""
        self._debts.update({name: debt for name, debt in debts.items() if debt is not None})

    def end(self) -> None:
        """From now on all is only put back; that does not wait for whoever keeps the account."""
        self._ending = True

    def owes(self, name: str) -> bool:
        """Whether ``name`` is to be put back."""
        return name in self._debts

    def left(self, name: str) -> list[Values]:
        """What may have been left of ``name``, as JSON holds it."""
        return list(self._debts[name]["left"]) if name in self._debts else []

    async def owe(
        self, name: str, before: Values, *left: Values, rel_tol: float | None = None
    ) -> None:
        """Note a debt, or what is left now; call it before the instrument is changed.

        Args:
            name: what is changed.
            before: what the operator had.
            left: what is left instead, or may be.
            rel_tol: how far a controller may round numbers on taking them over.

        Raises:
            FileError: it cannot be kept; nothing must be changed then.
        """
        debt: dict[str, Any] = {
            "before": as_json(before),
            "left": [as_json(values) for values in left],
        }
        if rel_tol is not None:
            debt["rel_tol"] = rel_tol
        if self._debts.get(name) == debt:
            return
        # Noted whoever is cancelled meanwhile: it may be kept by then.
        before_it = self._debts.get(name)
        self._debts[name] = debt
        try:
            await self._tell({name: debt})
        except FileError:
            self._debts.pop(name)
            if before_it is not None:
                self._debts[name] = before_it
            raise

    async def settle(self, name: str) -> None:
        """Note that ``name`` was put back, or is somebody else's by now."""
        if self._debts.pop(name, None) is not None:
            # Were it not kept, the next program would find nothing left to put back.
            with suppress(FileError):
                await self._tell({name: None})

    async def _tell(self, debts: Debts) -> None:
        if self._told is None:
            return
        try:
            await self._told(debts)
        except FileError:
            if not self._ending:
                raise


def as_json(values: Values) -> dict[str, Any]:
    """Settings as JSON holds them, codes by their names."""
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a field holds
    if isinstance(value, IntEnum):
        return value.name
    # Numbers of numpy come with actions; JSON does not know them.
    plain = value.item() if isinstance(value, np.generic) else value
    return list(plain) if isinstance(plain, tuple) else plain
