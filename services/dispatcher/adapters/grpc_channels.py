"""Channels to gRPC servers: to the address that was checked, by the name that the job gives."""

import ssl
from functools import lru_cache
from pathlib import Path

import grpc

from libs.host_ports import join_host_port
from services.dispatcher.adapters.grpc_errors import NotConnectedError, not_connected
from services.dispatcher.adapters.grpc_unverified import presented_certificate
from services.dispatcher.adapters.tls_contexts import ssl_context
from services.dispatcher.domain.addresses import as_address
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.targets.grpc import GrpcServer
from services.dispatcher.domain.targets.tls import Tls

# Any server answers to it, if only that it does not know it; and it changes nothing.
PROBE = "/grpc.health.v1.Health/Check"
PROBE_SECONDS = 1.0
BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
OPTIONS = (
    # A proxy of the environment would decide where a call goes after the address was checked.
    ("grpc.enable_http_proxy", 0),
    # What can be resolved must not say how often a call is repeated.
    ("grpc.service_config_disable_resolution", 1),
    # Connections are shared by the pool only, which knows whose they are.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.primary_user_agent", "Chronos"),
    # As often as servers allow by default. It also has the kernel give a connection up whose other end is silent.
    ("grpc.keepalive_time_ms", 300_000),
)


async def connect(server: GrpcServer, address: str, *, ca_file: str) -> grpc.aio.Channel:
    """A channel whose connection stands, in time that the caller bounds; `address` may be a name.

    Raises NotConnectedError.
    """
    channel = await _open(server, address, ca_file)
    try:
        await _wait_until_ready(channel, server)
    except BaseException:
        await channel.close()
        raise
    return channel


async def _open(server: GrpcServer, address: str, ca_file: str) -> grpc.aio.Channel:
    target = _target(address, server.port)
    if server.tls is None:
        return grpc.aio.insecure_channel(target, options=[*OPTIONS, ("grpc.default_authority", str(server))])
    name, roots = server.tls.server_name or server.host, server.tls.ca_cert.encode() or trusted(ca_file)
    try:
        # gRPC would only say that something is wrong with one of them.
        ssl_context(server.tls, ca_file=ca_file)
    except ValueError as error:
        raise NotConnectedError(Failure(kind=FailureKind.INVALID, error=str(error))) from None
    if not server.tls.is_verified:
        roots, name = await presented_certificate(server, server.tls, address)
    # The server must be who the calls are for: gRPC checks this name, too.
    authority = join_host_port(name, server.port)
    options = [*OPTIONS, ("grpc.default_authority", authority), ("grpc.ssl_target_name_override", name)]
    return grpc.aio.secure_channel(target, _credentials(server.tls, roots), options=options)


async def _wait_until_ready(channel: grpc.aio.Channel, server: GrpcServer) -> None:
    while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            raise NotConnectedError(not_connected(await _reason(channel), server))
        await channel.wait_for_state_change(state)


async def _reason(channel: grpc.aio.Channel) -> str:
    """Why there is no connection: a call is told at once, and only a call."""
    try:
        probe: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PROBE)
        await probe(b"", timeout=PROBE_SECONDS)
    except grpc.aio.AioRpcError as error:
        return error.details() or ""
    return ""


def _target(address: str, port: int) -> str:
    literal = as_address(address)
    if literal is None:
        return f"dns:///{address}:{port}"
    return f"ipv{literal.version}:{join_host_port(str(literal), port)}"


def _credentials(tls: Tls, roots: bytes | None) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(roots, tls.client_key.encode() or None, tls.client_cert.encode() or None)


@lru_cache(maxsize=8)
def trusted(ca_file: str) -> bytes | None:
    """The system's authorities and those of a file, PEM; None where neither has any: then gRPC brings its own."""
    usual = ssl.get_default_verify_paths().cafile
    found = next((Path(each) for each in (usual, *BUNDLES) if each and Path(each).is_file()), None)
    parts = [path.read_bytes() for path in (found, Path(ca_file) if ca_file else None) if path is not None]
    return b"\n".join(parts) or None
