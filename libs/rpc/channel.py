"""Channels to other services: keep-alive, quick reconnects, and the mesh's token and trace context on every call."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, cast

import grpc
from opentelemetry.instrumentation.grpc import aio_client_interceptors

from libs import telemetry
from libs.rpc.auth import MESH_TOKEN
from libs.rpc.faults import fault_from
from libs.rpc.server import KEEPALIVE_OPTIONS, MAX_MESSAGE_BYTES
from libs.rpc.tls import TlsFiles

__all__ = ["MeshChannel", "fault_from", "open_channel"]

Metadata = tuple[tuple[str, str | bytes], ...]
DEFAULT_DEADLINE = timedelta(seconds=30)
RECONNECT_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Services of a mesh reach each other directly, whatever proxy the environment names.
    ("grpc.enable_http_proxy", 0),
    # Channels to one address do not share a connection, and so not its back-off either.
    ("grpc.use_local_subchannel_pool", 1),
)


def open_channel(
    address: str,
    *,
    mesh_token: str = "",
    tls: TlsFiles | None = None,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    default_deadline: timedelta = DEFAULT_DEADLINE,
) -> grpc.aio.Channel:
    """A channel to the service at `address` (`host:port`); it connects at the first call. The caller closes it.

    A unary call for which no timeout is given gets `default_deadline`; a stream has none.
    """
    options = [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        *KEEPALIVE_OPTIONS,
        *RECONNECT_OPTIONS,
    ]
    interceptors = _interceptors()
    if tls is None:
        channel = grpc.aio.insecure_channel(address, options=options, interceptors=interceptors)
    else:
        channel = grpc.aio.secure_channel(
            address, tls.channel_credentials(), options=options, interceptors=interceptors
        )
    token: Metadata = ((MESH_TOKEN, mesh_token),) if mesh_token else ()
    return MeshChannel(channel, token, default_deadline)


class MeshChannel(grpc.aio.Channel):
    """Adds metadata to each call of another channel.

    Done here and not in a client interceptor: those put a queue and two tasks between a stream and its reader.
    """

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata, default_deadline: timedelta) -> None:
        self._channel = channel
        self._metadata = metadata
        self._seconds = default_deadline.total_seconds()

    def unary_unary(self, *args: Any, **kwargs: Any) -> grpc.aio.UnaryUnaryMultiCallable[Any, Any]:
        """See grpc.aio.Channel."""
        call = self._with_metadata(self._channel.unary_unary(*args, **kwargs), self._seconds)
        return cast("grpc.aio.UnaryUnaryMultiCallable[Any, Any]", call)

    def stream_unary(self, *args: Any, **kwargs: Any) -> grpc.aio.StreamUnaryMultiCallable[Any, Any]:
        """See grpc.aio.Channel."""
        call = self._with_metadata(self._channel.stream_unary(*args, **kwargs), None)
        return cast("grpc.aio.StreamUnaryMultiCallable[Any, Any]", call)

    def unary_stream(self, *args: Any, **kwargs: Any) -> grpc.aio.UnaryStreamMultiCallable[Any, Any]:
        """See grpc.aio.Channel."""
        call = self._with_metadata(self._channel.unary_stream(*args, **kwargs), None)
        return cast("grpc.aio.UnaryStreamMultiCallable[Any, Any]", call)

    def stream_stream(self, *args: Any, **kwargs: Any) -> grpc.aio.StreamStreamMultiCallable[Any, Any]:
        """See grpc.aio.Channel."""
        call = self._with_metadata(self._channel.stream_stream(*args, **kwargs), None)
        return cast("grpc.aio.StreamStreamMultiCallable[Any, Any]", call)

    async def close(self, grace: float | None = None) -> None:
        """See grpc.aio.Channel."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """See grpc.aio.Channel."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """See grpc.aio.Channel."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """See grpc.aio.Channel."""
        await self._channel.channel_ready()

    async def __aenter__(self) -> Self:
        await self._channel.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> bool | None:
        return await self._channel.__aexit__(kind, error, stack)

    def _with_metadata(self, call: Callable[..., Any], seconds: float | None) -> Callable[..., Any]:
        def invoke(
            *args: Any, timeout: float | None = None, metadata: Iterable[tuple[str, str | bytes]] = (), **kwargs: Any
        ) -> Any:
            parent = telemetry.traceparent()
            trace: Metadata = (("traceparent", parent),) if parent else ()
            pairs = (*(metadata or ()), *trace, *self._metadata)
            return call(*args, timeout=timeout or seconds, metadata=pairs, **kwargs)

        return invoke


def _interceptors() -> list[grpc.aio.ClientInterceptor]:
    if not telemetry.is_exporting():
        return []
    offered = aio_client_interceptors()  # type: ignore[no-untyped-call]
    return [one for one in offered if isinstance(one, grpc.aio.UnaryUnaryClientInterceptor)]
