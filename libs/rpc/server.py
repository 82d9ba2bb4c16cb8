"""The gRPC server of a service: health, reflection, and the same checks around every call."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.instrumentation.grpc import aio_server_interceptor

from libs import telemetry
from libs.clock import Clock
from libs.closing import at_end, forget
from libs.log import get_logger
from libs.rpc.auth import Authenticator, Gate
from libs.rpc.calls import CallInterceptor, Rules
from libs.rpc.methods import Method, read_methods
from libs.rpc.streams import OpenStreams
from libs.rpc.tls import TlsFiles

Service = tuple[Callable[..., None], object, str]
"""The generated `add_…_to_server`, the servicer, and the service's full proto name."""

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
KEEPALIVE_OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # grpcio 1.85 does not heed the line above without this one
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
# Two servers on one port would share its calls without anybody noticing: refuse the second.
SERVER_OPTIONS = (("grpc.so_reuseport", 0), ("grpc.http2.min_ping_interval_without_data_ms", 5_000))

logger = get_logger()


class RpcServer:
    """Answers the given services on `listen` (`host:port`, port 0 takes a free one).

    The constructor raises ValueError when a method does not say who may call it, or nobody ever could.
    """

    def __init__(
        self,
        listen: str,
        services: Sequence[Service],
        *,
        authenticator: Authenticator | None,
        clock: Clock,
        mesh_token: str = "",
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        tls: TlsFiles | None = None,
        default_deadline: timedelta = timedelta(seconds=30),
    ) -> None:
        self._listen = listen
        self._tls = tls
        self._names = [name for _, _, name in services]
        self._streams = OpenStreams()
        self._health = health.aio.HealthServicer()
        self.is_serving = False
        self._is_draining = False
        gate = Gate(authenticator, mesh_token)
        methods = {path: method for name in self._names for path, method in read_methods(name).items()}
        for method in methods.values():
            gate.check_method(method)
        rules = Rules(gate=gate, clock=clock, streams=self._streams, default_deadline=default_deadline)
        self._server = grpc.aio.server(interceptors=_interceptors(methods, rules), options=_options(max_message_bytes))
        for add, servicer, _ in services:
            add(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflected = [*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(reflected, self._server)

    async def start(self) -> str:
        """Binds, answers, says SERVING, and gives the bound `host:port`. Raises OSError when it cannot bind."""
        host, _, _ = self._listen.rpartition(":")
        try:
            if self._tls is None:
                port = self._server.add_insecure_port(self._listen)
            else:
                port = self._server.add_secure_port(self._listen, self._tls.server_credentials())
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._listen}; is the port taken?") from error
        await self._server.start()
        at_end(self.close)
        await self.set_serving(True)
        return f"{host}:{port}"

    async def set_serving(self, is_serving: bool) -> None:
        """Says SERVING or NOT_SERVING, without ending any call. Once the server drains it stays NOT_SERVING."""
        status = health_pb2.HealthCheckResponse.SERVING if is_serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._names):
            await self._health.set(name, status)
        self.is_serving = is_serving and not self._is_draining

    async def drain(self, grace: timedelta) -> None:
        """Says NOT_SERVING, ends every stream with UNAVAILABLE, refuses new calls, and gives unary ones `grace`.

        What must still travel on a stream has to be sent before. May be called twice.
        """
        self._is_draining = True
        self.is_serving = False
        await self._health.enter_graceful_shutdown()
        self._streams.end_all()
        await self._server.stop(grace.total_seconds())
        forget(self.close)

    async def close(self) -> None:
        """Stops at once. The process does it at its end where no drain came so far."""
        await self.drain(timedelta(0))


def _interceptors(methods: dict[str, Method], rules: Rules) -> list[grpc.aio.ServerInterceptor]:
    calls = CallInterceptor(methods, rules)
    if not telemetry.is_exporting():
        return [calls]
    unary = {path for path, method in methods.items() if not (method.has_request_stream or method.has_response_stream)}

    def is_traced(details: Any) -> bool:
        return details.method in unary

    return [aio_server_interceptor(filter_=is_traced), calls]  # type: ignore[no-untyped-call]


def _options(max_message_bytes: int) -> list[tuple[str, int]]:
    sizes = (
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
    )
    return [*sizes, *KEEPALIVE_OPTIONS, *SERVER_OPTIONS]
