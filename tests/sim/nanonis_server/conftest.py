"""A simulated Nanonis controller on a bench: no sockets, and virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from drivers.errors import CommandFailed
from drivers.nanonis import codes
from drivers.nanonis.codec import HEADER_SIZE, Header, decode_reply
from drivers.nanonis.commands import RELEASES
from sim.presets.preset import load_preset
from sim.servers.nanonis.controller import Controller
from sim.servers.nanonis.extra import layout_of
from sim.world import World

NEWEST = RELEASES[-1]
#: A sequence of the tip shaper that dents the sample.
SHAPE = {
    "switch_off_delay_s": 0.1,
    "change_bias": codes.SetSwitch.ON,
    "bias_v": 0.2,
    "tip_lift_m": -1e-9,
    "lift_time_1_s": 0.3,
    "bias_lift_v": 0.05,
    "bias_settling_s": 0.2,
    "lift_height_m": 4e-9,
    "lift_time_2_s": 0.4,
    "end_wait_s": 0.5,
    "restore_feedback": codes.SetSwitch.ON,
}


class Bench:
    """A controller, its world, and what a client would call."""

    def __init__(self, folder: Path, seed: int = 1, release: int = NEWEST, **options: object):
        self.folder = folder
        self.world = World(load_preset("au111"), seed)
        self.controller = Controller(self.world, folder, release=release, **options)
        self.release = release

    async def call(self, name: str, **values: object) -> dict:
        layout = layout_of(name, self.release)
        return decode_reply(layout, await self.send(name, layout.request.encode(values)))

    async def send(self, name: str, body: bytes) -> bytes:
        reply = await self.controller.dispatcher.answer(name, body)
        header = Header.decode(reply[:HEADER_SIZE])
        assert (header.name, header.size) == (name, len(reply) - HEADER_SIZE)
        return reply[HEADER_SIZE:]

    async def refused(self, name: str, **values: object) -> str:
        with pytest.raises(CommandFailed) as caught:
            await self.call(name, **values)
        return str(caught.value)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()


@pytest.fixture
def on_bench(run_virtual, tmp_path) -> Callable[..., object]:
    """Run ``test(bench)`` in virtual time on a fresh controller."""

    def run(test: Callable[[Bench], Awaitable[object]], **options: object) -> object:
        async def main() -> object:
            bench = Bench(tmp_path, **options)
            try:
                return await test(bench)
            finally:
                await bench.controller.close()

        return run_virtual(main)

    return run
