"""The client's side of simulated calls, with the behaviour of grpc.aio's own calls."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from tests.simulation.rpc_frames import (
    Begin,
    Cancel,
    Credit,
    HalfClose,
    Inbox,
    Message,
    Metadata,
    Trailers,
    Window,
    is_too_large,
)

Code = grpc.StatusCode
LOCALLY_CANCELLED = "Locally cancelled by application!"


class Wire(Protocol):
    """The connection that carries a call."""

    def send(self, frame: object) -> None:
        """Sends a frame; it may get lost."""

    def ended(self, stream: int) -> None:
        """The call on that stream is over at this side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A method as the generated stub describes it."""

    path: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


class SimCall:
    """One call from its first frame to its status, whatever its shape."""

    def __init__(self, shape: Shape, metadata: Metadata, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._shape = shape
        self._metadata = metadata
        self._deadline = None if timeout is None else loop.time() + timeout
        self._timer = None if timeout is None else loop.call_later(max(0.0, timeout), self._expire)
        self._wire: Wire | None = None
        self._stream = 0
        self._status: Trailers | None = None
        self._is_locally_cancelled = False
        self._has_closed = False
        self._over = asyncio.Event()
        self._connected = asyncio.Event()
        self._callbacks: list[Callable[[Any], None]] = []
        self._inbox = Inbox(self._grant)
        self._window = Window()
        self._sender: asyncio.Task[None] | None = None

    # The channel's side

    def begin(self, wire: Wire, stream: int) -> None:
        """The connection is there."""
        self._wire, self._stream = wire, stream
        wire.send(Begin(stream, self._shape.path, self._metadata, self.time_remaining()))
        self._connected.set()

    def take(self, frame: object) -> None:
        """A frame of the server arrived."""
        match frame:
            case Message(body=body) if is_too_large(body):
                self._tell(Cancel(self._stream))
                self.finish(Code.RESOURCE_EXHAUSTED, "Received message larger than max")
            case Message(body=body):
                self._inbox.put(body)
            case Credit(granted=count):
                self._window.grant(count)
            case Trailers():
                self.finish(frame.code, frame.details, frame.metadata)

    def finish(self, code: Code, details: str, trailers: Metadata = (), *, keeps_unread: bool = True) -> None:
        """Ends the call with a status; only the first one counts."""
        if self._status is not None:
            return
        self._status = Trailers(self._stream, code, details, trailers)
        self._inbox.end(keeps_unread=keeps_unread)
        self._window.close()
        self._over.set()
        self._connected.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._sender is not None:
            self._sender.cancel()
        if self._wire is not None:
            self._wire.ended(self._stream)
        for callback in self._callbacks:
            callback(self)

    # What grpc.aio.Call has

    def cancel(self) -> bool:
        """See grpc.aio.Call."""
        if self._status is not None:
            return False
        self._is_locally_cancelled = True
        self._tell(Cancel(self._stream))
        self.finish(Code.CANCELLED, LOCALLY_CANCELLED, keeps_unread=False)
        return True

    def cancelled(self) -> bool:
        """See grpc.aio.Call."""
        return self._status is not None and self._status.code is Code.CANCELLED

    def done(self) -> bool:
        """See grpc.aio.Call."""
        return self._status is not None

    def time_remaining(self) -> float | None:
        """See grpc.aio.Call."""
        return None if self._deadline is None else max(0.0, self._deadline - asyncio.get_running_loop().time())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """See grpc.aio.Call."""
        if self._status is None:
            self._callbacks.append(callback)
        else:
            callback(self)

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """See grpc.aio.Call. Servers here send none."""
        return grpc.aio.Metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """See grpc.aio.Call."""
        return grpc.aio.Metadata(*(await self._ended()).metadata)

    async def code(self) -> Code:
        """See grpc.aio.Call."""
        return (await self._ended()).code

    async def details(self) -> str:
        """See grpc.aio.Call."""
        return (await self._ended()).details

    async def wait_for_connection(self) -> None:
        """See grpc.aio.Call."""
        await self._connected.wait()
        if self._status is not None:
            self._raise_for(self._status)

    # What the shapes are made of

    async def _ended(self) -> Trailers:
        if self._status is None:
            await self._over.wait()
        assert self._status is not None
        return self._status

    def _raise_for(self, status: Trailers) -> None:
        if self._is_locally_cancelled:
            raise asyncio.CancelledError
        if status.code is not Code.OK:
            raise grpc.aio.AioRpcError(
                status.code, grpc.aio.Metadata(), grpc.aio.Metadata(*status.metadata), status.details
            )

    async def _receive(self) -> Any:
        """The next message, EOF at the end of those that arrived. A reader that is cancelled cancels the call."""
        try:
            body = await self._inbox.read()
        except asyncio.CancelledError:
            self.cancel()
            raise
        return grpc.aio.EOF if body is None else self._shape.decode(body)

    async def _send(self, request: Any) -> None:
        if self._status is not None:
            raise asyncio.InvalidStateError("RPC already finished.")
        if self._has_closed:
            raise asyncio.InvalidStateError('RPC is half closed after calling "done_writing".')
        body = self._shape.encode(request)
        try:
            if self._wire is None:
                await self._connected.wait()
            may_send = await self._window.take()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if not may_send or self._wire is None:
            self._raise_for(await self._ended())
            return
        self._wire.send(Message(self._stream, body))

    async def _half_close(self) -> None:
        if self._wire is None and self._status is None:
            await self._connected.wait()
        if self._status is None and not self._has_closed:
            self._has_closed = True
            self._tell(HalfClose(self._stream))

    async def _send_all(self, requests: Any) -> None:
        """Sends what an iterator gives. Whatever it raises cancels the call, as grpc.aio does."""
        try:
            if isinstance(requests, AsyncIterable):
                async for request in requests:
                    await self._send(request)
            else:
                for request in requests:
                    await self._send(request)
            await self._half_close()
        except grpc.aio.AioRpcError:
            return
        except asyncio.CancelledError:
            self.cancel()
            raise
        except Exception:  # noqa: BLE001 - the iterator is the caller's; the call's end tells them
            self.cancel()

    def _send_from(self, requests: Any) -> None:
        if requests is not None:
            self._sender = asyncio.get_running_loop().create_task(self._send_all(requests))

    def _grant(self, count: int) -> None:
        self._tell(Credit(self._stream, count))

    def _tell(self, frame: object) -> None:
        if self._wire is not None:
            self._wire.send(frame)

    def _expire(self) -> None:
        self._tell(Cancel(self._stream))
        self.finish(Code.DEADLINE_EXCEEDED, "Deadline Exceeded", keeps_unread=False)


class OneResponse(SimCall):
    """A call that is awaited."""

    _response: Any = None
    _has_response = False

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        if not self._has_response:
            response = await self._receive()
            try:
                status = await self._ended()
            except asyncio.CancelledError:
                self.cancel()
                raise
            self._raise_for(status)
            self._response, self._has_response = response, True
        return self._response


class ManyResponses(SimCall):
    """A call whose responses are iterated over or read."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        message = await self._receive()
        if message is not grpc.aio.EOF:
            return message
        self._raise_for(await self._ended())
        raise StopAsyncIteration

    async def read(self) -> Any:
        """See grpc.aio.StreamStreamCall."""
        message = await self._receive()
        if message is grpc.aio.EOF:
            self._raise_for(await self._ended())
        return message


class OneRequest(SimCall):
    """A call that starts with its only request."""

    _request = b""

    def submit(self, request: Any) -> None:
        """Keeps the request until the call begins."""
        self._request = self._shape.encode(request)

    def begin(self, wire: Wire, stream: int) -> None:
        """See SimCall."""
        super().begin(wire, stream)
        wire.send(Message(stream, self._request))
        wire.send(HalfClose(stream))


class ManyRequests(SimCall):
    """A call whose requests are written or come from an iterator."""

    def submit(self, requests: Any) -> None:
        """Sends what the iterator gives, if there is one."""
        self._send_from(requests)

    async def write(self, request: Any) -> None:
        """See grpc.aio.StreamStreamCall."""
        if self._sender is not None:
            raise grpc.aio.UsageError("the requests of this call come from an iterator")
        await self._send(request)

    async def done_writing(self) -> None:
        """See grpc.aio.StreamStreamCall."""
        await self._half_close()


class UnaryUnary(OneRequest, OneResponse):
    """See grpc.aio.UnaryUnaryCall."""


class UnaryStream(OneRequest, ManyResponses):
    """See grpc.aio.UnaryStreamCall."""


class StreamUnary(ManyRequests, OneResponse):
    """See grpc.aio.StreamUnaryCall."""


class StreamStream(ManyRequests, ManyResponses):
    """See grpc.aio.StreamStreamCall."""
