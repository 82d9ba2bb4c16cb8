"""What travels on a simulated gRPC connection, and the flow control of its streams."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import grpc

from libs.rpc.server import MAX_MESSAGE_BYTES

WINDOW = 64
"""How many messages of a stream may be unread at the other side."""

Metadata = tuple[tuple[str, str | bytes], ...]


class Begin(NamedTuple):
    """The head of a call. `seconds` is what is left until its deadline, None without one."""

    stream: int
    path: str
    metadata: Metadata
    seconds: float | None


class Message(NamedTuple):
    """One encoded message, of a request or a response."""

    stream: int
    body: bytes


class HalfClose(NamedTuple):
    """The client sends no more messages."""

    stream: int


class Credit(NamedTuple):
    """The reader took `granted` messages; as many more may be sent."""

    stream: int
    granted: int


class Cancel(NamedTuple):
    """The client does not want the call any more."""

    stream: int


class Trailers(NamedTuple):
    """The end of a call."""

    stream: int
    code: grpc.StatusCode
    details: str
    metadata: Metadata


class GoAway(NamedTuple):
    """The server takes no new calls on this connection."""


class Inbox:
    """Messages that arrived and were not read yet. One reader at a time."""

    __slots__ = ("_grant", "_is_ended", "_messages", "_reader", "_taken")

    def __init__(self, grant: Callable[[int], None]) -> None:
        self._grant = grant
        self._messages: deque[bytes] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._is_ended = False
        self._taken = 0

    def put(self, body: bytes) -> None:
        """Adds a message."""
        self._messages.append(body)
        self._wake()

    def end(self, *, keeps_unread: bool = True) -> None:
        """No message comes any more."""
        self._is_ended = True
        if not keeps_unread:
            self._messages.clear()
        self._wake()

    async def read(self) -> bytes | None:
        """The next message, None after the last."""
        while not self._messages:
            if self._is_ended:
                return None
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        self._taken += 1
        if self._taken * 2 >= WINDOW and not self._is_ended:
            taken, self._taken = self._taken, 0
            self._grant(taken)
        return self._messages.popleft()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class Window:
    """How many messages may still be sent."""

    __slots__ = ("_left", "_waiting", "is_closed")

    def __init__(self) -> None:
        self._left = WINDOW
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.is_closed = False

    async def take(self) -> bool:
        """Waits until one more message may be sent; False when none ever may."""
        while self._left <= 0 and not self.is_closed:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
        self._left -= 1
        return not self.is_closed

    def grant(self, count: int) -> None:
        """The other side read some."""
        self._left += count
        self._wake()

    def close(self) -> None:
        """Nothing may be sent any more."""
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)


def is_too_large(body: bytes) -> bool:
    """Whether gRPC would refuse to receive the message."""
    return len(body) > MAX_MESSAGE_BYTES


def metadata_of(pairs: Sequence[tuple[str, str | bytes]] | None) -> Metadata:
    """A copy that nobody shares."""
    return tuple((key, value) for key, value in pairs or ())
