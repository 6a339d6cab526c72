"""The Nanonis client against a scripted server: answers that are late, damaged, or never come."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from drivers.errors import CommandFailed, ConnectionFailed, ConnectionLost, ProtocolError
from drivers.nanonis import codec
from drivers.nanonis.client import NanonisConnection
from drivers.nanonis.codes import ScanDirection, Sweep, Switch
from drivers.nanonis.commands import lookup

RELEASE = 13742
PORT = 6501

Answer = Callable[[str, int], Awaitable[bytes]]


def reply(name: str, /, **values: object) -> bytes:
    return codec.encode_reply(lookup(name, RELEASE), values)


class Server:
    """Answers each request with what ``answer(name, number of the request)`` gives."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[str] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                header = codec.Header.decode(await reader.readexactly(codec.HEADER_SIZE))
                await reader.readexactly(header.size)
                self.requests.append(header.name)
                writer.write(await self.answer(header.name, len(self.requests)))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, EOFError):
            pass
        finally:
            writer.close()


@pytest.fixture
def meet(run_virtual):
    """Run ``test(connection, server)`` against a server with scripted answers, in virtual time."""

    def run(answer: Answer, test: Callable[[NanonisConnection, Server], Awaitable[None]]) -> None:
        async def main() -> None:
            server = Server(answer)
            listener = await asyncio.start_server(server.serve, "127.0.0.1", PORT)
            connection = NanonisConnection("127.0.0.1", PORT, release=RELEASE, timeout_s=5.0)
            try:
                await test(connection, server)
            finally:
                await connection.close()
                listener.close()
                await asyncio.sleep(1000)  # lets late answers come and servers end

        run_virtual(main)

    return run


async def half_a_volt(name: str, number: int) -> bytes:
    return reply("Bias.Get", bias_v=0.5) if name == "Bias.Get" else reply(name)


def test_a_call_returns_what_the_command_returns(meet):
    async def test(connection: NanonisConnection, server: Server) -> None:
        assert await connection.call("Bias.Get") == {"bias_v": 0.5}
        assert await connection.call("Bias.Set", bias_v=0.1) == {}
        assert (server.requests, server.connections) == (["Bias.Get", "Bias.Set"], 1)

    meet(half_a_volt, test)


def test_concurrent_calls_take_turns(meet):
    async def answer(name: str, number: int) -> bytes:
        await asyncio.sleep(1)
        return reply("Bias.Get", bias_v=float(number))

    async def test(connection: NanonisConnection, server: Server) -> None:
        replies = await asyncio.gather(*(connection.call("Bias.Get") for _ in range(3)))
        assert [r["bias_v"] for r in replies] == [1.0, 2.0, 3.0]
        assert server.connections == 1

    meet(answer, test)


def test_an_answer_in_single_bytes_is_put_together(run_virtual):
    frame = reply("Bias.Get", bias_v=0.5)

    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(codec.HEADER_SIZE)
        for byte in frame:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(dribble, "127.0.0.1", PORT):
            connection = NanonisConnection("127.0.0.1", PORT)
            assert await connection.call("Bias.Get") == {"bias_v": 0.5}
            await connection.close()
            await asyncio.sleep(10)

    run_virtual(main)


def test_a_large_picture_arrives_whole(meet):
    picture = np.arange(300 * 256, dtype=np.float32).reshape(300, 256)

    async def answer(name: str, number: int) -> bytes:
        return reply(name, name="Z (m)", data=picture, direction=ScanDirection.UP)

    async def test(connection: NanonisConnection, server: Server) -> None:
        found = await connection.call("Scan.FrameDataGrab", channel=14, sweep=Sweep.FORWARD)
        assert np.array_equal(found["data"], picture)

    meet(answer, test)


def test_a_write_without_answer_is_lost_and_not_repeated(meet):
    async def silent_at_first(name: str, number: int) -> bytes:
        await asyncio.sleep(100 if number == 1 else 0)
        return reply(name)

    async def test(connection: NanonisConnection, server: Server) -> None:
        with pytest.raises(ConnectionLost, match=r"Bias\.Set.*in time"):
            await connection.call("Bias.Set", bias_v=0.1)
        assert server.requests == ["Bias.Set"]
        await connection.call("Bias.Set", bias_v=0.2)
        assert (server.requests, server.connections) == (["Bias.Set", "Bias.Set"], 2)

    meet(silent_at_first, test)


def test_a_late_answer_is_never_taken_for_the_next(meet):
    async def first_is_late(name: str, number: int) -> bytes:
        if number == 1:
            await asyncio.sleep(6)
        return reply("Bias.Get", bias_v=float(number))

    async def test(connection: NanonisConnection, server: Server) -> None:
        # The first answer comes after the time-out; reading is repeated on a new connection.
        assert await connection.call("Bias.Get") == {"bias_v": 2.0}
        await asyncio.sleep(10)
        assert await connection.call("Bias.Get") == {"bias_v": 3.0}
        assert server.connections == 2

    meet(first_is_late, test)


def test_reading_is_repeated_only_once(meet):
    async def silent(name: str, number: int) -> bytes:
        await asyncio.sleep(100)
        return b""

    async def test(connection: NanonisConnection, server: Server) -> None:
        with pytest.raises(ConnectionLost):
            await connection.call("Bias.Get")
        assert server.requests == ["Bias.Get", "Bias.Get"]

    meet(silent, test)


def test_a_blocking_command_may_take_longer(meet):
    async def slow(name: str, number: int) -> bytes:
        await asyncio.sleep(50)
        return reply(name)

    async def test(connection: NanonisConnection, server: Server) -> None:
        await connection.call("TipShaper.Start", wait_s=60, wait=1, timeout_ms=-1)
        with pytest.raises(ConnectionLost):
            await connection.call("Bias.Set", bias_v=0.1)

    meet(slow, test)


def test_a_short_time_out_counts_after_a_long_one(meet):
    async def first_is_quick(name: str, number: int) -> bytes:
        await asyncio.sleep(0 if number == 1 else 1000)
        return reply(name)

    async def test(connection: NanonisConnection, server: Server) -> None:
        await connection.call("TipShaper.Start", wait_s=600, wait=1, timeout_ms=-1)
        started = asyncio.get_running_loop().time()
        with pytest.raises(ConnectionLost):
            await connection.call("Bias.Set", bias_v=0.1)
        assert asyncio.get_running_loop().time() - started == pytest.approx(5.0)

    meet(first_is_quick, test)


def test_a_cancelled_wait_closes_the_connection(meet):
    async def slow(name: str, number: int) -> bytes:
        await asyncio.sleep(1)
        return reply("Bias.Get", bias_v=float(number))

    async def test(connection: NanonisConnection, server: Server) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.call("Bias.Get"), 0.5)
        assert await connection.call("Bias.Get") == {"bias_v": 2.0}
        assert server.connections == 2

    meet(slow, test)


def test_an_answer_to_another_question_closes_the_connection(meet):
    async def confused(name: str, number: int) -> bytes:
        return reply("Current.Get", current_a=1e-9) if number == 1 else reply(name)

    async def test(connection: NanonisConnection, server: Server) -> None:
        with pytest.raises(ProtocolError, match=r"Current\.Get when asked Bias\.Set"):
            await connection.call("Bias.Set", bias_v=0.1)
        await connection.call("Bias.Set", bias_v=0.1)
        assert server.connections == 2

    meet(confused, test)


@pytest.mark.parametrize(
    "damage",
    [
        lambda frame: b"\xff" * 40,
        lambda frame: frame[:32] + b"\x7f\xff\xff\xff" + frame[36:],
        lambda frame: frame[:44] + b"\x00\x00\x00\x05",
        lambda frame: frame + b"more",
    ],
)
def test_damaged_answers_close_the_connection(meet, damage):
    async def damaged(name: str, number: int) -> bytes:
        return damage(reply(name)) if number == 1 else reply(name)

    async def test(connection: NanonisConnection, server: Server) -> None:
        with pytest.raises((ProtocolError, ConnectionLost)):
            await connection.call("Bias.Set", bias_v=0.1)
        await connection.call("Bias.Set", bias_v=0.1)
        assert server.connections == 2

    meet(damaged, test)


def test_bytes_nobody_asked_for_close_the_connection(run_virtual):
    connections = 0

    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readexactly(codec.HEADER_SIZE)
        writer.write(reply("Bias.Get", bias_v=0.5))
        await asyncio.sleep(1)
        writer.write(reply("Bias.Get", bias_v=9.0))
        await asyncio.sleep(1)
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(talkative, "127.0.0.1", PORT):
            connection = NanonisConnection("127.0.0.1", PORT)
            await connection.call("Bias.Get")
            await asyncio.sleep(1.5)
            assert await connection.call("Bias.Get") == {"bias_v": 0.5}
            assert connections == 2
            await connection.close()
            await asyncio.sleep(10)

    run_virtual(main)


def test_a_refusal_carries_the_controllers_words_and_keeps_the_connection(meet):
    async def refuse(name: str, number: int) -> bytes:
        return codec.encode_error(name, "the module is not open", lookup(name, RELEASE).reply)

    async def test(connection: NanonisConnection, server: Server) -> None:
        for _ in range(2):
            with pytest.raises(CommandFailed, match="the module is not open"):
                await connection.call("TipShaper.PropsGet")
        assert server.connections == 1

    meet(refuse, test)


def test_a_connection_closed_instead_of_an_answer_is_lost(run_virtual):
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(codec.HEADER_SIZE)
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(rude, "127.0.0.1", PORT):
            connection = NanonisConnection("127.0.0.1", PORT)
            with pytest.raises(ConnectionLost, match="instead of answering"):
                await connection.call("Bias.Set", bias_v=0.1)
            await connection.close()
            await asyncio.sleep(10)

    run_virtual(main)


def test_a_server_that_closed_between_calls_is_called_anew(meet):
    async def test(connection: NanonisConnection, server: Server) -> None:
        await connection.call("Bias.Get")
        await connection.close()
        await connection.call("Bias.Get")
        assert server.connections == 2

    meet(half_a_volt, test)


async def test_nobody_there_is_said_with_the_address_and_what_to_check():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    connection = NanonisConnection("127.0.0.1", port)
    with pytest.raises(ConnectionFailed, match=rf"127\.0\.0\.1:{port}.*check that"):
        await connection.call("Bias.Set", bias_v=0.1)


async def test_requests_leave_without_delay():
    """On a real socket: asyncio has switched Nagle's algorithm off."""

    class Spy(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(reply("FolMe.SpeedGet", speed_m_per_s=1.0, custom=Switch.ON))

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(Spy, "127.0.0.1", 0)
    connection = NanonisConnection("127.0.0.1", listener.sockets[0].getsockname()[1])
    assert await connection.call("FolMe.SpeedGet") == {"speed_m_per_s": 1.0, "custom": Switch.ON}
    sock = connection._link._transport.get_extra_info("socket")
    no_delay = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await connection.close()
    listener.close()
    await listener.wait_closed()
    assert no_delay != 0


async def test_a_host_that_cannot_be_one_is_not_reached():
    with pytest.raises(ConnectionFailed, match="no Nanonis controller"):
        await NanonisConnection("a..b", 6501).call("Bias.Get")


@pytest.mark.parametrize("values", [{}, {"bias_v": "x"}, {"bias": 1.0}])
async def test_wrong_arguments_are_our_own_mistake_and_send_nothing(values: dict):
    connection = NanonisConnection("127.0.0.1", 1)
    with pytest.raises(ValueError, match="bias"):
        await connection.call("Bias.Set", **values)
