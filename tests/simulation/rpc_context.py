"""The server's side of one simulated call: what a servicer knows as its context."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import grpc

from tests.simulation.rpc_frames import Begin, Credit, Inbox, Message, Metadata, Trailers, Window, metadata_of

Code = grpc.StatusCode


class SimContext(grpc.aio.ServicerContext[Any, Any]):
    """Stands in for the context that grpc.aio gives to a handler."""

    def __init__(self, begin: Begin, peer: str, send: Callable[[object], None]) -> None:
        self._stream = begin.stream
        self._metadata = begin.metadata
        self._peer = peer
        self._send = send
        self._deadline = None if begin.seconds is None else asyncio.get_running_loop().time() + begin.seconds
        self._code: Code | int | None = None
        self._details = ""
        self._trailers: Metadata = ()
        self._is_cancelled = False
        self._callbacks: list[Callable[[Any], None]] = []
        self.is_over = False
        self.inbox = Inbox(self._grant)
        self.window = Window()
        self.decode: Callable[[bytes], Any] = bytes
        self.encode: Callable[[Any], bytes] = bytes

    # What the server does with it

    def leave(self, *, is_cancelled: bool) -> None:
        """The call is over: nothing more is read or sent."""
        if self.is_over:
            return
        self.is_over, self._is_cancelled = True, is_cancelled
        self.inbox.end(keeps_unread=False)
        self.window.close()
        for callback in self._callbacks:
            callback(self)

    def end(self, code: Code, details: str = "", trailers: Metadata = ()) -> None:
        """Sends the status."""
        if not self.is_over:
            self._send(Trailers(self._stream, code, details, trailers or self._trailers))
            self.leave(is_cancelled=False)

    def succeed(self) -> None:
        """Sends the status that the handler set, OK when it set none."""
        code = self._code if isinstance(self._code, Code) else Code.OK
        self.end(code, self._details)

    def __aiter__(self) -> "SimContext":
        """The requests of the call."""
        return self

    async def __anext__(self) -> Any:
        message = await self.read()
        if message is grpc.aio.EOF:
            raise StopAsyncIteration
        return message

    # What grpc.aio.ServicerContext has

    async def read(self) -> Any:
        """See grpc.aio.ServicerContext."""
        body = await self.inbox.read()
        return grpc.aio.EOF if body is None else self.decode(body)

    async def write(self, message: Any) -> None:
        """See grpc.aio.ServicerContext."""
        body = self.encode(message)
        if not await self.window.take():
            raise grpc.aio.UsageError("RPC already finished.")
        self._send(Message(self._stream, body))

    async def abort(
        self, code: Code, details: str = "", trailing_metadata: Iterable[tuple[str, str | bytes]] = ()
    ) -> NoReturn:
        """See grpc.aio.ServicerContext."""
        self._code, self._details = code, details
        self.end(code, details, metadata_of(tuple(trailing_metadata)))
        raise grpc.aio.AbortError("Locally aborted.")

    async def abort_with_status(self, status: Any) -> NoReturn:
        """See grpc.aio.ServicerContext."""
        await self.abort(status.code, status.details, status.trailing_metadata)

    async def send_initial_metadata(self, initial_metadata: object) -> None:
        """See grpc.aio.ServicerContext. Clients here do not get it."""

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """See grpc.aio.ServicerContext."""
        self._trailers = metadata_of(tuple(trailing_metadata))

    def trailing_metadata(self) -> Any:
        """See grpc.aio.ServicerContext."""
        return self._trailers

    def invocation_metadata(self) -> Any:
        """See grpc.aio.ServicerContext."""
        return self._metadata

    def set_code(self, code: Code) -> None:
        """See grpc.aio.ServicerContext."""
        self._code = code

    def code(self) -> Any:
        """See grpc.aio.ServicerContext."""
        return self._code

    def set_details(self, details: str) -> None:
        """See grpc.aio.ServicerContext."""
        self._details = details

    def details(self) -> str:
        """See grpc.aio.ServicerContext."""
        return self._details

    def peer(self) -> str:
        """See grpc.aio.ServicerContext."""
        return self._peer

    def peer_identities(self) -> None:
        """See grpc.aio.ServicerContext."""

    def peer_identity_key(self) -> None:
        """See grpc.aio.ServicerContext."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """See grpc.aio.ServicerContext."""
        return {}

    def time_remaining(self) -> Any:
        """See grpc.aio.ServicerContext."""
        return None if self._deadline is None else max(0.0, self._deadline - asyncio.get_running_loop().time())

    def cancelled(self) -> bool:
        """See grpc.aio.ServicerContext."""
        return self._is_cancelled

    def done(self) -> bool:
        """See grpc.aio.ServicerContext."""
        return self.is_over

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """See grpc.aio.ServicerContext."""
        self._callbacks.append(callback)

    def set_compression(self, compression: grpc.Compression) -> None:
        """See grpc.aio.ServicerContext."""

    def disable_next_message_compression(self) -> None:
        """See grpc.aio.ServicerContext."""

    def _grant(self, count: int) -> None:
        self._send(Credit(self._stream, count))
