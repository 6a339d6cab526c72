"""The sockets of the simulated Nanonis controller, and the command that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drivers.bench import served
from drivers.errors import ConfigError, ConnectionLost, FileError
from drivers.nanonis import codes
from drivers.nanonis.client import NanonisConnection
from drivers.nanonis.codec import HEADER_SIZE, Header, encode_request
from drivers.nanonis.commands import lookup
from drivers.nanonis.logger import LogParser
from drivers.nanonis.options import LOGGER_OFFSET
from sim.cli import serve
from sim.presets.preset import load_preset
from sim.servers.nanonis.controller import Controller
from sim.servers.nanonis.server import Server
from sim.world import World

HOST, PORT, RELEASE = "127.0.0.1", 6501, 14718
ROOT = Path(__file__).parents[3]
PULSE = {
    "wait": 1,
    "width_s": 0.2,
    "bias_v": 3.0,
    "hold": codes.PulseHold.HOLD,
    "reference": codes.PulseReference.ABSOLUTE,
}


@pytest.fixture
def online(run_virtual, tmp_path):
    """Run ``test(connect)`` while a controller listens, all of it in virtual time."""

    def run(test):
        async def main():
            world = World(load_preset("au111"), 1)
            controller = Controller(world, tmp_path, release=RELEASE)
            server = Server(controller.dispatcher.answer, controller.logger.stream, HOST, PORT)
            links: list[NanonisConnection] = []

            def connect(port: int = PORT) -> NanonisConnection:
                links.append(NanonisConnection(HOST, port, release=RELEASE, timeout_s=60.0))
                return links[-1]

            async with server:
                try:
                    await test(connect)
                finally:
                    for link in links:
                        await link.close()
                    await controller.close()

        run_virtual(main)

    return run


async def read_reply(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    header = Header.decode(await reader.readexactly(HEADER_SIZE))
    return header.name, await reader.readexactly(header.size)


def request(name: str, respond: bool = True, **values: object) -> bytes:
    return encode_request(lookup(name, RELEASE), values, respond=respond)


def test_a_port_serves_one_client_and_then_the_next(online):
    async def test(connect):
        first, second, third = connect(), connect(), connect(PORT + 1)
        await first.call("Bias.Get")
        with pytest.raises(ConnectionLost):
            await second.call("Bias.Set", bias_v=0.2)
        await third.call("Bias.Get")
        await first.close()
        # Nothing has to wait between leaving and coming back.
        assert (await second.call("Bias.Get"))["bias_v"] == pytest.approx(0.1)

    online(test)


def test_a_port_is_free_again_when_its_client_left_during_a_wait(online):
    async def test(connect):
        first = connect()
        await first.call(
            "Scan.Action", action=codes.ScanAction.START, direction=codes.ScanDirection.DOWN
        )
        waiting = asyncio.create_task(first.call("Scan.WaitEndOfScan", timeout_ms=-1))
        await asyncio.sleep(1.0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (await connect().call("Scan.StatusGet"))["status"] is codes.Switch.ON

    online(test)


def test_a_blocking_command_blocks_its_own_connection(online):
    async def test(connect):
        busy, free = connect(), connect(PORT + 1)
        loop = asyncio.get_running_loop()
        pulse = asyncio.create_task(busy.call("Bias.Pulse", **PULSE))
        await asyncio.sleep(0.05)
        await free.call("Bias.Get")
        assert loop.time() == pytest.approx(0.05)
        await pulse
        assert loop.time() >= 0.2

    online(test)


def test_requests_are_answered_in_order_and_only_if_asked_to(online):
    async def test(_):
        reader, writer = await asyncio.open_connection(HOST, PORT)
        writer.write(request("Bias.Pulse", **PULSE))
        writer.write(request("Bias.Set", respond=False, bias_v=0.25))
        writer.write(request("Bias.Get"))
        assert (await read_reply(reader))[0] == "Bias.Pulse"
        name, body = await read_reply(reader)
        assert (name, struct.unpack(">fII", body)) == ("Bias.Get", (0.25, 0, 0))
        writer.close()

    online(test)


def test_bytes_that_are_no_request_end_the_connection(online):
    async def test(connect):
        for junk in (b"\xff" * HEADER_SIZE, Header("Bias.Get", 2**30).encode()):
            reader, writer = await asyncio.open_connection(HOST, PORT)
            writer.write(junk)
            assert await reader.read() == b""
            writer.close()
        await connect().call("Bias.Get")

    online(test)


def test_the_logger_streams_the_trace_of_an_action(online):
    async def test(connect):
        link = connect()
        status = (await link.call("TCPLog.StatusGet"))["status"]
        assert status is codes.LoggerStatus.DISCONNECTED
        await link.call("TCPLog.ChsSet", channels=(0, 30))
        await link.call("TCPLog.OversamplSet", oversampling=20)
        reader, writer = await asyncio.open_connection(HOST, PORT + LOGGER_OFFSET)
        await asyncio.sleep(0.1)
        await link.call("TCPLog.Start")
        await asyncio.sleep(0.1)
        await link.call("Bias.Pulse", **PULSE)
        assert (await link.call("TCPLog.StatusGet"))["status"] is codes.LoggerStatus.RUNNING
        await link.call("TCPLog.Stop")
        frames = LogParser().feed(await reader.read(1 << 20))
        assert [frame.counter for frame in frames] == list(range(len(frames)))
        assert frames[0].values == (0.0, 30.0)
        assert {frame.oversampling for frame in frames} == {20.0}
        # A sample a millisecond: before the pulse the setpoint flows, during it far more.
        current = np.array([frame.values[0] for frame in frames[1:]])
        assert len(current) == pytest.approx(340, abs=2)
        assert np.median(current[:100]) == pytest.approx(100e-12, rel=0.1)
        assert (np.abs(current) > 1e-9).sum() == pytest.approx(200, abs=10)
        writer.close()

    online(test)


def test_the_logger_takes_a_client_that_comes_back_at_once(online):
    async def test(connect):
        link = connect()
        for _ in range(2):
            reader, writer = await asyncio.open_connection(HOST, PORT + LOGGER_OFFSET)
            await link.call("TCPLog.Start")
            await asyncio.sleep(0.1)
            await link.call("TCPLog.Stop")
            frames = LogParser().feed(await reader.read(1 << 20))
            assert (frames[0].counter, len(frames)) == (0, pytest.approx(101, abs=1))
            writer.close()

    online(test)


def test_the_logger_stops_when_its_client_is_lost(online):
    async def test(connect):
        link = connect()
        _, writer = await asyncio.open_connection(HOST, PORT + LOGGER_OFFSET)
        await link.call("TCPLog.Start")
        await asyncio.sleep(0.1)
        writer.close()
        await asyncio.sleep(0.1)
        status = (await link.call("TCPLog.StatusGet"))["status"]
        assert status is codes.LoggerStatus.DISCONNECTED

    online(test)


def test_the_logger_says_when_it_cannot_keep_up(online):
    async def test(connect):
        link = connect()
        await link.call("TCPLog.Start")
        await asyncio.sleep(3600.0)
        _, writer = await asyncio.open_connection(HOST, PORT + LOGGER_OFFSET)
        await asyncio.sleep(0.1)
        status = (await link.call("TCPLog.StatusGet"))["status"]
        assert status is codes.LoggerStatus.OVERFLOW
        writer.close()

    online(test)


def test_a_port_in_use_is_said_in_one_sentence(tmp_path):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on {HOST} port {port}: .* in use"):
            serve(port=min(port, 65000), session_path=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "pb111"}, "unknown simulated surface 'pb111'; known are"),
        ({"protocol": "rhk"}, "unknown protocol 'rhk'; known are nanonis"),
        ({"time_scale": 0.0}, "--time-scale must be a positive number"),
        ({"time_scale": float("inf")}, "--time-scale must be a positive number"),
        ({"port": 65500}, "--port must be from 1 to"),
        ({"release": 9000}, "--release must be at least 10862"),
        ({"seed": -1}, "--seed must not be negative"),
    ],
)
def test_wrong_options_are_said_in_one_sentence(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        serve(session_path=tmp_path, **options)


def test_folders_and_files_that_cannot_be_used_are_said_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"cannot use .* for scans"):
        serve(session_path=tmp_path / "file" / "scans")
    with pytest.raises(FileError, match="cannot write"):
        serve(session_path=tmp_path, truth=tmp_path / "none" / "truth.json")


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_server_cleanly(tmp_path, number):
    program = "import sys, typer, sim.cli; typer.run(sim.cli.serve)"
    with contextlib.closing(socket.create_server((HOST, 0))) as free:
        port = free.getsockname()[1] % 30000 + 30000
    command = [sys.executable, "-c", program, "--port", str(port), "--time-scale", "50"]
    with subprocess.Popen(
        [*command, "--session-path", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        welcome = process.stdout.readline()
        assert f"listens on {HOST} ports {port} to {port + 3}" in welcome
        with socket.create_connection((HOST, port)) as link:
            link.sendall(request("Scan.WaitEndOfScan", timeout_ms=-1))
            process.send_signal(number)
            assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""


def test_serving_needs_no_torch():
    program = "import sys, sim.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_time_runs_as_fast_as_it_was_told(tmp_path):
    truth = tmp_path / "truth.json"
    with served("--time-scale", "200", "--truth", str(truth)) as port:

        async def main():
            link = NanonisConnection(HOST, port, release=RELEASE)
            loop = asyncio.get_running_loop()
            started = loop.time()
            await link.call("Bias.Pulse", **PULSE | {"width_s": 40.0})
            await link.close()
            return loop.time() - started

        assert 0.2 <= asyncio.run(main()) < 2.0
    assert '"time_s"' in truth.read_text()
