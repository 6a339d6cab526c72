"""The Nanonis driver before servers that are none, and links that end in unusual ways."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from drivers.errors import (
    ConfigError,
    ConnectionFailed,
    ConnectionLost,
    InstrumentError,
    ProtocolError,
)
from drivers.nanonis import codec
from drivers.nanonis.client import NanonisConnection
from drivers.nanonis.codes import Autopaste, Autosave, SetAutopaste, Switch
from drivers.nanonis.commands import lookup
from drivers.nanonis.microscope import open_nanonis
from drivers.nanonis.options import read_options
from drivers.registry import Address
from tests.drivers.nanonis_fake import PORT, SCAN, Controller, meet, whole_scan

Stranger = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def zeros(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(bytes(100))
    await reader.read()
    writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


async def ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    await reader.read()
    writer.close()


async def hanging_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1000):
        pass
    writer.close()


@pytest.mark.parametrize(
    ("stranger", "detail"),
    [
        (http, r"answered HTTP/1\.1 400 Bad Request"),
        (zeros, "answered zeros"),
        (echo, r"reply to Util\.VersionGet cannot be read"),
        (ssh, "SSH-2.0-OpenSSH_9.6"),
        (hanging_up, "closed the connection"),
    ],
)
def test_a_server_that_is_no_controller_is_recognised(run_virtual, stranger: Stranger, detail: str):
    told = (
        r"^the server at 127\.0\.0\.1:6501 does not speak the Nanonis protocol "
        rf"\(.*{detail}.*\); check host and port"
    )
    run_virtual(lambda: meet_stranger(stranger, told))


def test_a_silent_server_is_recognised(run_virtual):
    told = (
        r"^the server at 127\.0\.0\.1:6501 does not answer like a Nanonis controller within 2 s; "
        "check host and port"
    )
    run_virtual(lambda: meet_stranger(silent, told))


async def meet_stranger(stranger: Stranger, told: str) -> None:
    async with await asyncio.start_server(stranger, "127.0.0.1", PORT):
        with pytest.raises(ConnectionFailed, match=told) as caught:
            await open_nanonis(Address.parse(f"nanonis://127.0.0.1:{PORT}?timeout_s=2"))
        assert caught.value.exit_code == 3
        await asyncio.sleep(10)


def test_a_server_that_talks_first_is_not_waited_for(run_virtual):
    async def main() -> None:
        async with await asyncio.start_server(ssh, "127.0.0.1", PORT):
            connection = NanonisConnection("127.0.0.1", PORT)
            started = asyncio.get_running_loop().time()
            with pytest.raises((ProtocolError, ConnectionLost), match="SSH-2"):
                await connection.call("Bias.Get")
            assert asyncio.get_running_loop().time() - started < 1
            await connection.close()
            await asyncio.sleep(10)

    run_virtual(main)


@pytest.mark.parametrize(
    ("name", "values", "doubtful"), [("Bias.Get", {}, False), ("Bias.Set", {"bias_v": 0.1}, True)]
)
def test_only_a_command_leaves_doubt_when_it_is_not_answered(run_virtual, name, values, doubtful):
    async def main() -> None:
        async with await asyncio.start_server(silent, "127.0.0.1", PORT):
            connection = NanonisConnection("127.0.0.1", PORT, timeout_s=3)
            with pytest.raises(ConnectionLost, match=rf"{name} in time \(3 s\)") as caught:
                await connection.call(name, **values)
            assert ("carried out is unknown" in str(caught.value)) is doubtful
            await connection.close()
            await asyncio.sleep(10)

    run_virtual(main)


def test_closing_may_be_cancelled(run_virtual):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(codec.HEADER_SIZE)
        writer.write(codec.encode_reply(lookup("Bias.Get", 13742), {"bias_v": 0.5}))
        await reader.read()
        writer.close()

    async def main() -> None:
        problems: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, found: problems.append(found))
        async with await asyncio.start_server(answer, "127.0.0.1", PORT):
            connection = NanonisConnection("127.0.0.1", PORT)
            await connection.call("Bias.Get")
            closing = asyncio.ensure_future(connection.close())
            await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            await asyncio.sleep(10)
        assert problems == []

    run_virtual(main)


def test_a_controller_that_goes_away_during_a_scan_is_told_with_its_first_cause(run_virtual):
    fake = Controller()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await fake.serve(reader, writer)

    async def main() -> None:
        listeners = [await asyncio.start_server(serve, "127.0.0.1", PORT + i) for i in range(3)]
        microscope = await open_nanonis(Address.parse(f"nanonis://127.0.0.1:{PORT}"))
        lines = microscope.scan(SCAN)
        await anext(lines)
        for listener in listeners:
            listener.close()
        for writer in writers:
            writer.close()
        told = r"127\.0\.0\.1:6501 broke during the scan after 1 lines: .* closed the connection"
        with pytest.raises(ConnectionLost, match=told):
            await anext(lines)
        named = r"operator's 0\.5 V and 50 pA.*Scan\.Props: .*Scan\.Speed: "
        with pytest.raises(InstrumentError, match=named):
            await microscope.close()
        fake.scan_task.cancel()
        await asyncio.sleep(10)

    run_virtual(main)


def test_an_unknown_option_is_named_with_those_that_are_known():
    told = r"^unknown option 'colour' for nanonis; known are release, .*, flip_backward$"
    with pytest.raises(ConfigError, match=told):
        read_options(Address.parse("nanonis://127.0.0.1:6501?colour=red"))


@pytest.mark.parametrize("operators", list(Autopaste))
def test_pasting_into_the_background_comes_back_as_it_was(operators: Autopaste):
    fake = Controller()
    fake.version = ("Nanonis V5", "V5.5", 14718)
    props = {"modules": (), "parameter_counts": (), "parameters": (), "autopaste": operators}
    fake.store["Scan.Props"] |= props

    async def test(microscope: object, fake: Controller) -> None:
        await whole_scan(microscope, SCAN)
        (sent,) = fake.values("Scan.PropsSet")
        assert sent["autopaste"] is SetAutopaste.KEEP

    meet(test, fake)
    assert fake.values("Scan.PropsSet")[-1]["autopaste"] is SetAutopaste[operators.name]
    assert fake.store["Scan.Props"]["autopaste"] is operators
    assert fake.store["Scan.Props"]["autosave"] is Autosave.ALL
    assert fake.store["Scan.Props"]["continuous"] is Switch.ON
