"""Calls of gRPC methods, over shared connections, with types that the job or the server gives."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc

from libs.clock import Clock
from libs.durations import format_duration
from libs.faults import Unavailable
from libs.rpc.cancellation import unasked_is_unavailable
from services.dispatcher.adapters.checked_addresses import Addresses
from services.dispatcher.adapters.grpc_errors import connection_broke, read_status, timed_out
from services.dispatcher.adapters.grpc_links import Links, open_links
from services.dispatcher.adapters.grpc_reflection import NoTypesError, Reflection
from services.dispatcher.domain.results import Failure, FailureKind, Reply, Result
from services.dispatcher.domain.targets.grpc import GrpcRequest, Types

# A timer of gRPC's may fire this much before ours would.
SLACK_SECONDS = 0.005


class GrpcSender:
    """Makes calls. A connection is made before the call, so that one that fails is known to have had no effect."""

    def __init__(self, links: Links, reflection: Reflection, clock: Clock, *, max_response_bytes: int) -> None:
        self._links = links
        self._reflection = reflection
        self._clock = clock
        self._limit = max_response_bytes

    @property
    def connection_count(self) -> int:
        """Servers that there are connections to, or soon will be."""
        return len(self._links)

    async def send(self, request: GrpcRequest) -> Result:
        """What the method answered, or why it did not, within the request's timeout. See Sender."""
        end = self._clock.monotonic() + request.timeout.total_seconds()
        link = await self._links.take(request.method.server, request.timeout)
        if isinstance(link, Failure):
            return link
        try:
            return await self._exchange(link.channel, request, end)
        finally:
            await self._links.give_back(link)

    async def _exchange(self, channel: grpc.aio.Channel, request: GrpcRequest, end: float) -> Result:
        prepared = await self._prepare(channel, request, end)
        if isinstance(prepared, Failure):
            return prepared
        encoded, types = prepared
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(request.method.path)
        try:
            with unasked_is_unavailable():
                answer = await call(encoded, metadata=request.metadata(encoded), timeout=self._seconds_to(end))
        except grpc.aio.AioRpcError as error:
            return self._refused(error, request, end)
        except (Unavailable, grpc.aio.UsageError):
            return connection_broke(request.method.server, "it was closed here")
        return self._reply(answer, types)

    async def _prepare(
        self, channel: grpc.aio.Channel, request: GrpcRequest, end: float
    ) -> tuple[bytes, Types | None] | Failure:
        """The request as it goes over the wire, and the types to read the answer with."""
        if request.is_raw:
            return request.payload, None
        server = request.method.server
        try:
            if request.types is not None:
                return request.types.encode(request.payload), request.types
            with unasked_is_unavailable():
                async with asyncio.timeout(self._seconds_to(end)):
                    return await self._encode(channel, request)
        except ValueError as error:
            return Failure(kind=FailureKind.INVALID, error=str(error))
        except NoTypesError as error:
            # No types are needed for an empty message, only to understand the answer.
            return (b"", None) if error.has_no_reflection and not request.payload else error.failure
        except TimeoutError:
            words = f"{server} did not tell its types within {format_duration(request.timeout)}"
            return Failure(kind=FailureKind.UNREADY, error=f"{words}; give descriptor_set to do without")
        except (Unavailable, grpc.aio.UsageError):
            return Failure(kind=FailureKind.CONNECT, error=f"the connection to {server} was closed before the call")

    async def _encode(self, channel: grpc.aio.Channel, request: GrpcRequest) -> tuple[bytes, Types]:
        described = await self._reflection.find(channel, request.method)
        try:
            return described.types.encode(request.payload), described.types
        except ValueError:
            if described.is_fresh:
                raise
        # The server may have a new version by now, in which it fits.
        self._reflection.forget(request.method)
        described = await self._reflection.find(channel, request.method)
        return described.types.encode(request.payload), described.types

    def _refused(self, error: grpc.aio.AioRpcError, request: GrpcRequest, end: float) -> Result:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            self._reflection.forget(request.method)
        is_over = self._clock.monotonic() >= end - SLACK_SECONDS
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and is_over:
            return timed_out(request.timeout)
        return read_status(error, request.method.server)

    def _reply(self, answer: bytes, types: Types | None) -> Reply:
        if types is not None:
            try:
                text = types.decode(answer).encode()
            except ValueError:
                # It was done, whatever the server says about it.
                types = None
            else:
                body = text[: self._limit].decode(errors="ignore")
                return Reply(code=0, body=body, is_truncated=len(text) > self._limit)
        kept = answer[: self._limit // 4 * 3]
        return Reply(code=0, body=base64.b64encode(kept).decode(), is_truncated=len(kept) < len(answer))

    def _seconds_to(self, end: float) -> float:
        return max(end - self._clock.monotonic(), 0.001)


@asynccontextmanager
async def open_grpc_sender(
    addresses: Addresses,
    clock: Clock,
    *,
    max_response_bytes: int,
    ca_file: str = "",
    limit: int = 1_024,
    idle: timedelta = timedelta(minutes=5),
) -> AsyncIterator[GrpcSender]:
    """What calls gRPC methods; its connections are closed at the end. See open_links."""
    async with open_links(addresses, clock, ca_file=ca_file, limit=limit, idle=idle) as links:
        yield GrpcSender(links, Reflection(clock), clock, max_response_bytes=max_response_bytes)
