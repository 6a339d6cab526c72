"""How late the agent's event loop comes while it repairs."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from pathlib import Path

import pytest

from agent.benches.safety import lag
from drivers.errors import InstrumentError


def test_a_loop_that_was_blocked_comes_late():
    late_s: list[float] = []

    async def block() -> None:
        napping = asyncio.create_task(lag._nap(late_s))
        await asyncio.sleep(0)
        time.sleep(0.05)  # noqa: ASYNC251 - what is to be noticed
        await asyncio.sleep(0.01)
        napping.cancel()

    asyncio.run(block())
    assert max(late_s) > 0.04


def test_a_long_block_counts_for_all_that_came_meanwhile():
    one_in_a_thousand = [0.0] * 999 + [0.4]
    assert lag.waited_s(one_in_a_thousand, 99) > 0.3
    assert lag.waited_s([0.0] * 1000, 99.9) == 0.0


def test_the_loop_of_a_real_repair_is_watched(tmp_path: Path):
    rows = lag.rows(8.0, tmp_path)
    assert [row.name for row in rows] == [
        f"loop lag, {share}" for share in ("p99", "p99.9", "longest")
    ]
    assert all(row.value is not None and 0 < row.value < 1 for row in rows)
    assert list((tmp_path / "runs").iterdir())
    found = re.search(r"5 viewers of whom the slowest got (\d+) messages", rows[0].note)
    assert int(found[1]) > 5


def test_a_viewer_who_hears_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    silent = tmp_path / "viewer.jsonl"
    silent.touch()
    monkeypatch.setattr(lag, "IDLE_S", 0.1)
    monkeypatch.setattr(lag, "viewers", lambda *_: contextlib.nullcontext([silent]))
    with pytest.raises(InstrumentError, match="the slowest got 0 messages"):
        lag.rows(4.0, tmp_path)
