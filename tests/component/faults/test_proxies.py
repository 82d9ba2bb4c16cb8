"""The proxies of the fault suite, between this process and an echo server."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.links import Mode, Rule, between, one_way
from tests.faults.sidecar import Sidecar

ME, ECHO = "scheduler-0", "echo-0"
SOON_S = 10.0
LONG_ENOUGH_S = 0.2
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Wire:
    """An echo server behind a proxy that knows this process as `scheduler-0`."""

    proxies: Sidecar
    address: str

    async def dial(self) -> Streams:
        host, _, port = self.address.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def obey(self, rules: Iterable[Rule] = ()) -> None:
        await self.proxies.order({"rules": [rule.as_json() for rule in rules]})


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[Wire]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while got := await reader.read(65_536):
            writer.write(got)
        writer.close()

    state = tmp_path / "mesh.json"
    state.write_text(json.dumps({"processes": [{"pid": os.getpid(), "replica": ME}]}))
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Sidecar("tests.faults.proxies", str(state), log=tmp_path / "log") as proxies:
        true = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield Wire(proxies, (await proxies.order({"listen": {f"{ECHO}/grpc": true}}))[f"{ECHO}/grpc"])


async def answer(streams: Streams, text: bytes) -> bytes:
    reader, writer = streams
    writer.write(text)
    async with asyncio.timeout(SOON_S):
        return await reader.readexactly(len(text))


async def is_silent(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(LONG_ENOUGH_S):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


async def test_bytes_pass_and_the_dialer_is_known(wire: Wire) -> None:
    streams = await wire.dial()
    assert await answer(streams, b"hello") == b"hello"
    stats = await wire.proxies.order({"stats": True})
    assert (stats["accepted"], stats["strangers"], stats["open"]) == (1, 0, 1)
    streams[1].close()


@pytest.mark.parametrize("rules", [one_way([ME], [ECHO], Mode.CUT), one_way([ECHO], [ME], Mode.CUT)])
async def test_a_cut_stops_bytes_and_new_connections_until_it_is_healed(wire: Wire, rules: tuple[Rule, ...]) -> None:
    old = await wire.dial()
    await answer(old, b"before")
    await wire.obey(rules)
    old[1].write(b"during")
    new = await wire.dial()
    new[1].write(b"new")
    assert await is_silent(old[0])
    assert await is_silent(new[0])
    await wire.obey()
    async with asyncio.timeout(SOON_S):
        assert await old[0].readexactly(6) == b"during"
        assert await new[0].readexactly(3) == b"new"
    old[1].close()
    new[1].close()


async def test_a_cut_between_others_changes_nothing(wire: Wire) -> None:
    streams = await wire.dial()
    await wire.obey(between(["scheduler-1"], [ECHO], Mode.CUT))
    assert await answer(streams, b"hello") == b"hello"
    streams[1].close()


async def test_a_reset_ends_connections_at_once(wire: Wire) -> None:
    reader, writer = streams = await wire.dial()
    await answer(streams, b"hello")
    await wire.obey(one_way([ME], [ECHO], Mode.RESET))
    async with asyncio.timeout(SOON_S):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    writer.close()


async def test_a_slow_link_delays_and_keeps_the_order(wire: Wire) -> None:
    streams = await wire.dial()
    await wire.obey(between([ME], [ECHO], Mode.SLOW, delay_ms=20, jitter_ms=30))
    began = asyncio.get_running_loop().time()
    text = bytes(range(256)) * 200
    assert await answer(streams, text) == text
    assert asyncio.get_running_loop().time() - began >= 0.04
    streams[1].close()
