"""The servers of an etcd cluster: one channel each, and calls that go to one that answers."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

import grpc
from chronos.third_party.etcd.rpc_pb2 import RangeRequest
from chronos.third_party.etcd.rpc_pb2_grpc import KVStub, LeaseStub, MaintenanceStub, WatchStub
from grpc.aio import AioRpcError, Channel, UnaryUnaryMultiCallable

from libs.etcd import keys
from libs.etcd.errors import fault_of, is_transient, was_refused
from libs.etcd.guard import Readers
from libs.faults import Unavailable

Request = TypeVar("Request")
Response = TypeVar("Response")

# A member that lost its leader refuses at once instead of letting the call hang until the deadline.
REQUIRE_LEADER = (("hasleader", "true"),)
CALL_TIMEOUT = timedelta(seconds=5)
READ_ATTEMPT_TIMEOUT = timedelta(seconds=2)
CONNECT_PATIENCE = timedelta(milliseconds=300)

_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    # Without this one a hung server is noticed only after a minute, whatever the keep-alive timeout.
    ("grpc.http2.ping_timeout_ms", 2_000),
    # etcd hangs up on clients that ping more often than every 5 s.
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
    # Members are reached directly, whatever proxy the environment names.
    ("grpc.enable_http_proxy", 0),
    # Clients of one address share neither a connection nor its back-off.
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdTls:
    """Files in PEM form. With a certificate and its key the client proves who it is (mutual TLS)."""

    ca_file: str
    cert_file: str = ""
    key_file: str = ""

    @classmethod
    def of_files(cls, ca_file: str, cert_file: str, key_file: str) -> "EtcdTls | None":
        """The TLS that settings ask for; None, for plain text, when no CA is named."""
        return cls(ca_file=ca_file, cert_file=cert_file, key_file=key_file) if ca_file else None

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files. Raises OSError when one cannot be read."""
        return grpc.ssl_channel_credentials(
            root_certificates=Path(self.ca_file).read_bytes(),
            private_key=Path(self.key_file).read_bytes() if self.key_file else None,
            certificate_chain=Path(self.cert_file).read_bytes() if self.cert_file else None,
        )


class Endpoint:
    """One server."""

    def __init__(self, address: str, tls: EtcdTls | None) -> None:
        self.address = address.partition("://")[2] or address
        self.channel = _open_channel(self.address, tls)
        self.kv = KVStub(self.channel)
        self.watch = WatchStub(self.channel)
        self.lease = LeaseStub(self.channel)
        self.maintenance = MaintenanceStub(self.channel)
        self.readers = Readers()

    async def connects(self) -> bool:
        """Whether the server is connected, or is so within `CONNECT_PATIENCE`. A refusal answers at once."""
        state = self.channel.get_state(try_to_connect=True)
        try:
            async with asyncio.timeout(CONNECT_PATIENCE.total_seconds()):
                while state is not grpc.ChannelConnectivity.READY:
                    if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
                        return False
                    await self.channel.wait_for_state_change(state)
                    state = self.channel.get_state(try_to_connect=True)
        except TimeoutError:
            return False
        return True

    async def confirm(self, timeout: timedelta) -> None:
        """See Guarded. A linearizable read: the server asks its leader, and applies what it lacks before it answers."""
        request = RangeRequest(key=keys.META, keys_only=True)
        try:
            await self.kv.Range(request, timeout=timeout.total_seconds(), metadata=REQUIRE_LEADER)
        except AioRpcError as error:
            reason = error.details() or error.code().name
            raise Unavailable(f"etcd does not answer: {reason}", reason="ETCD_UNAVAILABLE") from error


class Endpoints:
    """Sends calls to the server that answered last, and goes on to the next when it does not."""

    def __init__(self, addresses: Sequence[str], tls: EtcdTls | None) -> None:
        if not addresses:
            raise ValueError("name at least one etcd endpoint")
        self.all: Final = [Endpoint(address, tls) for address in addresses]
        self._preferred = 0

    async def pick(self) -> Endpoint:
        """A connected server. Raises Unavailable when there is none."""
        for offset in range(len(self.all)):
            index = (self._preferred + offset) % len(self.all)
            if await self.all[index].connects():
                self._preferred = index
                return self.all[index]
        addresses = ", ".join(endpoint.address for endpoint in self.all)
        raise Unavailable(f"No etcd server can be reached at {addresses}.", reason="ETCD_UNAVAILABLE")

    def prefer(self, endpoint: Endpoint) -> None:
        """Prefers a server from now on."""
        self._preferred = self.all.index(endpoint)

    def demote(self, endpoint: Endpoint) -> None:
        """Prefers the next server from now on, unless that happened already."""
        if self.all[self._preferred] is endpoint:
            self._preferred = (self._preferred + 1) % len(self.all)

    async def call(
        self,
        method: Callable[[Endpoint], UnaryUnaryMultiCallable[Request, Response]],
        request: Request,
        *,
        timeout: timedelta = CALL_TIMEOUT,
        is_repeatable: bool = False,
    ) -> Response:
        """Makes a unary call, within `timeout` in all.

        A call that is repeatable goes to another server when one fails. One that is not does so only when it
        certainly had no effect; otherwise it raises Unavailable, and the outcome is unknown.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout.total_seconds()
        for attempts_left in range(len(self.all), -1, -1):
            endpoint = await self.pick()
            left = end - loop.time()
            patience = min(left, READ_ATTEMPT_TIMEOUT.total_seconds()) if is_repeatable else left
            try:
                return await method(endpoint)(request, timeout=patience, metadata=REQUIRE_LEADER)
            except AioRpcError as error:
                if is_transient(error):
                    self.demote(endpoint)
                may_repeat = was_refused(error) or (is_repeatable and is_transient(error))
                if not may_repeat or not attempts_left or loop.time() >= end:
                    raise fault_of(error) from error
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Ends all connections."""
        for endpoint in self.all:
            await endpoint.channel.close()


def _open_channel(address: str, tls: EtcdTls | None) -> Channel:
    if tls is None:
        return grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
    return grpc.aio.secure_channel(address, tls.credentials(), options=_CHANNEL_OPTIONS)
