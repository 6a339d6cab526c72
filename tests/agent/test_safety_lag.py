"""How late the agent's event loop comes while it repairs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from agent.benches.safety import lag


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
    rows = lag.rows(6.0, tmp_path)
    assert [row.name for row in rows] == [
        f"loop lag, {share}" for share in ("p99", "p99.9", "longest")
    ]
    assert all(row.value is not None and 0 < row.value < 1 for row in rows)
    assert list((tmp_path / "runs").iterdir())
