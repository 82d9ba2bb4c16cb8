"""A gRPC channel over the simulated network, for the generated stubs.

Not modelled: compression, credentials, interceptors, `wait_for_ready`, initial metadata.
"""

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, cast

import grpc

from tests.simulation.network import Network, Socket
from tests.simulation.rpc_calls import (
    ManyRequests,
    OneRequest,
    Shape,
    SimCall,
    StreamStream,
    StreamUnary,
    UnaryStream,
    UnaryUnary,
)
from tests.simulation.rpc_frames import GoAway, Metadata, metadata_of

__all__ = ["SimChannel"]

CONNECT_SECONDS = 1.0
FIRST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 1.0
BACKOFF_GROWTH = 1.6
REQUEST_ID = "x-request-id"


class Transport:
    """One connection and the calls on it."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._calls: dict[int, SimCall] = {}
        self._last = 0
        self.is_draining = False
        socket.on_message = self._take
        socket.on_broken = self.broken

    @property
    def is_usable(self) -> bool:
        """Whether new calls may begin on it."""
        return self._socket.is_open and not self.is_draining

    def begin(self, call: SimCall) -> None:
        """Begins a call."""
        self._last += 1
        self._calls[self._last] = call
        call.begin(self, self._last)

    def send(self, frame: object) -> None:
        """See Wire."""
        self._socket.send(frame)

    def ended(self, stream: int) -> None:
        """See Wire."""
        self._calls.pop(stream, None)
        if self.is_draining and not self._calls:
            self._socket.close()

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()

    def _take(self, frame: Any) -> None:
        if isinstance(frame, GoAway):
            self.is_draining = True
            if not self._calls:
                self._socket.close()
            return
        call = self._calls.get(frame.stream)
        if call is not None:
            call.take(frame)

    def broken(self, reason: str) -> None:
        """Ends every call on it."""
        for call in list(self._calls.values()):
            call.finish(grpc.StatusCode.UNAVAILABLE, reason)


class SimChannel(grpc.aio.Channel):
    """A channel from `node` to `address`; it connects at the first call, and again after the connection broke.

    After a failed attempt, calls fail at once with UNAVAILABLE until the back-off is over, as they do in gRPC.
    """

    def __init__(self, network: Network, node: str, address: str) -> None:
        self._network = network
        self._node = node
        self._address = address
        self._transport: Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._waiting: list[SimCall] = []
        self._calls: dict[SimCall, None] = {}
        self._requests = 0
        self._failures = 0
        self._retry_at = 0.0
        self._is_closed = False

    def unary_unary(self, *args: Any, **kwargs: Any) -> grpc.aio.UnaryUnaryMultiCallable[Any, Any]:
        """See grpc.aio.Channel."""
        return cast("grpc.aio.UnaryUnaryMultiCallable[Any, Any]", self._callable(UnaryUnary, *args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> grpc.aio.UnaryStreamMultiCallable[Any, Any]:
        """See grpc.aio.Channel."""
        return cast("grpc.aio.UnaryStreamMultiCallable[Any, Any]", self._callable(UnaryStream, *args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> grpc.aio.StreamUnaryMultiCallable[Any, Any]:
        """See grpc.aio.Channel."""
        return cast("grpc.aio.StreamUnaryMultiCallable[Any, Any]", self._callable(StreamUnary, *args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> grpc.aio.StreamStreamMultiCallable[Any, Any]:
        """See grpc.aio.Channel."""
        return cast("grpc.aio.StreamStreamMultiCallable[Any, Any]", self._callable(StreamStream, *args, **kwargs))

    async def close(self, grace: float | None = None) -> None:
        """Cancels what is under way, and closes the connection. `grace` is what calls get before that."""
        if self._is_closed:
            return
        self._is_closed = True
        if grace and self._calls:
            await asyncio.wait([asyncio.ensure_future(call.code()) for call in self._calls], timeout=grace)
        for call in list(self._calls):
            call.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._transport is not None:
            self._transport.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """See grpc.aio.Channel."""
        if self._is_closed:
            return grpc.ChannelConnectivity.SHUTDOWN
        if self._transport is not None and self._transport.is_usable:
            return grpc.ChannelConnectivity.READY
        if self._is_backing_off():
            return grpc.ChannelConnectivity.TRANSIENT_FAILURE
        if try_to_connect:
            self._connect_soon()
        idle, connecting = grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING
        return idle if self._connecting is None else connecting

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """See grpc.aio.Channel; looks every 10 ms."""
        while self.get_state() is last_observed_state:  # noqa: ASYNC110 - a back-off that is over sets no event
            await asyncio.sleep(0.01)

    async def channel_ready(self) -> None:
        """See grpc.aio.Channel."""
        while (state := self.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
            await self.wait_for_state_change(state)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        await self.close()

    def _callable(
        self,
        kind: type[OneRequest] | type[ManyRequests],
        path: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> Callable[..., SimCall]:
        shape = Shape(path=path, encode=request_serializer or bytes, decode=response_deserializer or bytes)

        def invoke(
            request: Any = None,
            *,
            timeout: float | None = None,
            metadata: Iterable[tuple[str, str | bytes]] | None = None,
            **_: object,
        ) -> SimCall:
            if self._is_closed:
                raise grpc.aio.UsageError("Channel is closed.")
            call = kind(shape, self._identified(metadata_of(tuple(metadata or ()))), timeout)
            call.submit(request)
            self._begin(call)
            return call

        return invoke

    def _identified(self, metadata: Metadata) -> Metadata:
        """With a request id that depends on nothing but the order of calls; a server would draw one."""
        self._requests += 1
        if any(key == REQUEST_ID for key, _ in metadata):
            return metadata
        return (*metadata, (REQUEST_ID, f"{self._node}-{self._address}-{self._requests}"))

    def _begin(self, call: SimCall) -> None:
        self._calls[call] = None
        call.add_done_callback(self._forget)
        if self._transport is not None and self._transport.is_usable:
            self._transport.begin(call)
        elif self._is_backing_off():
            call.finish(grpc.StatusCode.UNAVAILABLE, f"failed to connect to {self._address}")
        else:
            self._waiting.append(call)
            self._connect_soon()

    def _forget(self, call: SimCall) -> None:
        self._calls.pop(call, None)

    def _is_backing_off(self) -> bool:
        return self._connecting is None and asyncio.get_running_loop().time() < self._retry_at

    def _connect_soon(self) -> None:
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await self._network.connect(self._node, self._address)
        except (ConnectionRefusedError, TimeoutError) as error:
            self._connecting = None
            self._failed(str(error) or "timed out")
            return
        self._connecting = None
        self._failures = 0
        self._transport = Transport(socket)
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            if not call.done():
                self._transport.begin(call)
        if not socket.is_open:
            self._transport.broken("the connection was closed at once")

    def _failed(self, reason: str) -> None:
        backoff = FIRST_BACKOFF_SECONDS * BACKOFF_GROWTH**self._failures
        self._failures += 1
        self._retry_at = asyncio.get_running_loop().time() + min(backoff, LONGEST_BACKOFF_SECONDS)
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call.finish(grpc.StatusCode.UNAVAILABLE, f"failed to connect to {self._address}: {reason}")
