"""How a connection to NATS is opened: the address checked, TLS begun, and who we are told."""

import asyncio
import base64
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import nkeys

from services.dispatcher.adapters import nats_errors, nats_wire
from services.dispatcher.adapters.checked_addresses import Addresses
from services.dispatcher.adapters.nats_connection import NatsConnection
from services.dispatcher.adapters.nats_errors import NotConnectedError
from services.dispatcher.adapters.nats_wire import ServerError, ServerInfo, Signal
from services.dispatcher.adapters.tls_contexts import ssl_context
from services.dispatcher.domain.outcome import PERMANENT_KINDS
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.targets.nats_servers import Access, NKey, Server, Token, UserPassword
from services.dispatcher.domain.targets.tls import Tls

SERVER_SECONDS = 5.0
"""Longest time for one server, so that another of its cluster gets a turn."""
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


async def open_nats(access: Access, *, addresses: Addresses, ca_file: str = "") -> NatsConnection:
    """A connection to the first server that has us. Only the servers of the job are tried, none that these tell of.

    Raises NotConnectedError with what may mend by itself, if there is such a reason, else with the first one.
    """
    failures = []
    for server in access.servers:
        try:
            async with asyncio.timeout(SERVER_SECONDS):
                return await _open(access, server, addresses, ca_file)
        except NotConnectedError as error:
            failures.append(error.failure)
        except (OSError, EOFError, ValueError) as error:
            failures.append(nats_errors.connecting_failure(error, server))
    raise NotConnectedError(next((one for one in failures if one.kind not in PERMANENT_KINDS), failures[0]))


async def _open(access: Access, server: Server, addresses: Addresses, ca_file: str) -> NatsConnection:
    address = await addresses.find(server.host, server.port)
    if isinstance(address, Failure):
        raise NotConnectedError(address)
    loop = asyncio.get_running_loop()
    try:
        transport, connection = await loop.create_connection(lambda: NatsConnection(server), address, server.port)
    except socket.gaierror:
        failure = Failure(kind=FailureKind.NAME, error=f"name {server.host} does not resolve")
        raise NotConnectedError(failure) from None
    try:
        _keep_alive(transport)
        await _greet(connection, access, ca_file)
    except BaseException:
        connection.abort()
        raise
    return connection


async def _greet(connection: NatsConnection, access: Access, ca_file: str) -> None:
    server = connection.server
    first = await connection.hear()
    if isinstance(first, ServerError):
        raise NotConnectedError(nats_errors.greeting_failure(first.text, server))
    if not isinstance(first, ServerInfo):
        raise ValueError("it did not introduce itself")
    info = first.fields
    if not info.get("headers"):
        raise NotConnectedError(nats_errors.no_headers(server))
    if access.needs_tls or info.get("tls_required"):
        if not info.get("tls_required") and not info.get("tls_available"):
            raise NotConnectedError(nats_errors.no_tls(server))
        tls = access.tls or Tls()
        context = _valid(lambda: ssl_context(tls, ca_file=ca_file))
        await connection.secure(context, tls.server_name or server.host)
    options = _options(info) | _valid(lambda: _identity(access, info))
    connection.say(nats_wire.connect_line(options) + nats_wire.PING)
    while True:
        match await connection.hear():
            case Signal.PONG:
                break
            case Signal.PING:
                connection.say(nats_wire.PONG)
            case ServerError(text=text):
                raise NotConnectedError(nats_errors.greeting_failure(text, server))
            case ServerInfo(fields=fields):
                info = {**info, **fields}
    connection.begin(info)


def _options(info: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "lang": "python-chronos",
        "version": "1",
        "name": "chronos",
        "protocol": 1,
        "verbose": False,
        "pedantic": False,
        "echo": False,
        "headers": True,
        "no_responders": True,
        "tls_required": bool(info.get("tls_required")),
    }


def _identity(access: Access, info: Mapping[str, Any]) -> dict[str, str]:
    """Who we are. Raises ValueError for a seed that is none."""
    match access.credentials:
        case Token(token=token):
            return {"auth_token": token}
        case UserPassword(username=username, password=password):
            return {"user": username, "pass": password}
        case NKey(seed=seed, jwt=jwt):
            key = _key(seed)
            signature = base64.urlsafe_b64encode(key.sign(str(info.get("nonce", "")).encode())).decode().rstrip("=")
            who = {"jwt": jwt} if jwt else {"nkey": key.public_key.decode()}
            return {**who, "sig": signature}
        case None:
            return {}


def _key(seed: str) -> nkeys.KeyPair:
    try:
        return nkeys.from_seed(bytearray(seed.encode()))
    except Exception as error:  # noqa: BLE001 - the library raises whatever its decoders raise
        raise ValueError(f"the NKey seed in nats.auth is not valid ({type(error).__name__})") from None


def _valid(make: Callable[[], Any]) -> Any:
    """What the job's own certificates and keys give, or why they cannot be used."""
    try:
        return make()
    except ValueError as error:
        raise NotConnectedError(Failure(kind=FailureKind.INVALID, error=str(error))) from None
    except ssl.SSLError as error:
        raise NotConnectedError(Failure(kind=FailureKind.INVALID, error=f"TLS cannot begin: {error}")) from None


def _keep_alive(transport: asyncio.BaseTransport) -> None:
    """Lets the system notice a server that is gone without a word."""
    wire = transport.get_extra_info("socket")
    if wire is None:
        return
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            wire.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
