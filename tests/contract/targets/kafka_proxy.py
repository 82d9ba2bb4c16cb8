"""A proxy before a broker that can lose an answer: the broker has done what it was asked, and nobody hears of it."""

import asyncio
from typing import Self

from services.dispatcher.domain.targets.kafka import Broker

CHUNK = 65_536


class CuttingProxy:
    """Passes bytes on between clients at `port` and the broker."""

    def __init__(self, port: int, upstream: str) -> None:
        self.broker = Broker("127.0.0.1", port)
        self.cuts = 0
        self._upstream_port = int(upstream.rpartition(":")[2])
        self._is_to_cut = False
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.broker.host, self.broker.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def cut_at_next_answer(self) -> None:
        """The next bytes from the broker are swallowed, and their connection closed."""
        self._is_to_cut = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        async with asyncio.TaskGroup() as group:
            there = group.create_task(self._pass(reader, upstream_writer))
            await self._answer(upstream_reader, writer)
            there.cancel()
        upstream_writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            if self._is_to_cut:
                self._is_to_cut = False
                self.cuts += 1
                break
            writer.write(chunk)
        writer.close()
