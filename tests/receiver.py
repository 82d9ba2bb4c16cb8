"""A small real HTTP server for tests: remembers every request, and answers as told, well or badly."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from types import TracebackType
from typing import Self

PATIENCE_SECONDS = 10.0


class Manner(StrEnum):
    """How the receiver treats a request."""

    ANSWER = "answer"
    RESET = "reset"
    """Closes the connection hard, without an answer."""
    SILENT = "silent"
    """Never answers; keeps the connection."""
    STALL = "stall"
    """Sends the head and the body given, promises more, and falls silent."""
    CUT = "cut"
    """Promises a longer body than it sends, and closes."""
    ENDLESS = "endless"
    """Sends the body given again and again until the other side has enough."""
    GARBAGE = "garbage"
    """Sends the body given in place of HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to answer. With `hold`, only once that is set."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    manner: Manner = Manner.ANSWER
    hold: asyncio.Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came in. Names of headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    """Counts the connections of the receiver: requests with the same number came over the same one."""


class Receiver:
    """Listens on a free loopback port for as long as its `async with` block lasts.

    `replies` maps a path to what is answered there: one after the other, the last for ever; 200 where there is none.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.replies: dict[str, list[Reply]] = {}
        self.connections = 0
        self.sent_bytes = 0
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: not self._open)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """The address of a path."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def reply(self, path: str, *replies: Reply) -> str:
        """Sets what a path answers, and gives its address."""
        self.replies[path] = list(replies)
        return self.url(path)

    async def wait_for(self, is_there: Callable[[list[Received]], bool]) -> list[Received]:
        """Waits until the requests are as wanted; fails after ten seconds."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: is_there(self.requests))
        return self.requests

    async def wait_for_count(self, count: int) -> list[Received]:
        """Waits until that many requests came in."""
        return await self.wait_for(lambda requests: len(requests) >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._open.add(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                while await self._exchange(reader, writer, number):
                    pass
        finally:
            writer.transport.abort()
            self._open.discard(writer)
            await self._tell()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *rows = head.decode("utf-8").rstrip("\r\n").split("\r\n")
        method, target, _ = line.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.requests.append(Received(method=method, target=target, headers=headers, body=body, connection=number))
        await self._tell()
        return await self._answer(self._next_reply(target.partition("?")[0]), reader, writer, method)

    async def _answer(
        self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str
    ) -> bool:
        if reply.hold is not None:
            await reply.hold.wait()
        match reply.manner:
            case Manner.ANSWER:
                await self._send(writer, _head(reply, len(reply.body)), b"" if method == "HEAD" else reply.body)
                return True
            case Manner.SILENT:
                await reader.read()
            case Manner.STALL:
                await self._send(writer, _head(reply, len(reply.body) + 1), reply.body)
                await reader.read()
            case Manner.CUT:
                await self._send(writer, _head(reply, len(reply.body) + 100), reply.body)
                writer.close()
            case Manner.ENDLESS:
                await self._send(writer, _head(reply, None))
                while True:
                    await self._send(writer, f"{len(reply.body):x}\r\n".encode(), reply.body, b"\r\n")
            case Manner.GARBAGE:
                await self._send(writer, reply.body)
                writer.close()
            case Manner.RESET:
                pass
        return False

    async def _send(self, writer: asyncio.StreamWriter, *parts: bytes) -> None:
        data = b"".join(parts)
        self.sent_bytes += len(data)
        writer.write(data)
        await writer.drain()

    def _next_reply(self, path: str) -> Reply:
        replies = self.replies.get(path)
        if not replies:
            return Reply()
        return replies.pop(0) if len(replies) > 1 else replies[0]

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _head(reply: Reply, length: int | None) -> bytes:
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    sized = [] if reply.status in (204, 304) else [size]
    rows = [f"{name}: {value}" for name, value in reply.headers.items()]
    return "\r\n".join([f"HTTP/1.1 {reply.status} {phrase}", *sized, *rows, "", ""]).encode()
