"""Prometheus metrics: the registry, the metrics of every gRPC server, and the HTTP endpoint that serves them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client import REGISTRY, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from libs.closing import at_end
from libs.log import get_logger

LONGEST_HEAD_BYTES = 16 * 1024
READ_SECONDS = 5.0
LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

disable_created_metrics()  # type: ignore[no-untyped-call]  # times of creation, of no use to anybody

RPC_CALLS = Counter("chronos_rpc_calls", "Calls that the gRPC server answered.", ["service", "method", "code"])
RPC_SECONDS = Histogram(
    "chronos_rpc_seconds", "Time that the gRPC server took for a call.", ["service", "method"], buckets=LATENCY_BUCKETS
)

logger = get_logger()
_servers: list[asyncio.Server] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Response:
    status: HTTPStatus
    body: bytes
    content_type: str = TEXT
    allow: str = ""


async def serve_metrics(listen: str, is_healthy: Callable[[], bool] = lambda: True) -> str:
    """Serves `/metrics` and `/health` on this loop until the process ends; gives the bound `host:port`.

    `/health` answers 200 while `is_healthy()`, else 503. Raises OSError when the address cannot be bound.
    """
    host, _, port = listen.rpartition(":")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answer(reader, writer, is_healthy)

    server = await asyncio.start_server(answer, host.strip("[]"), int(port), limit=LONGEST_HEAD_BYTES)
    _servers.append(server)
    at_end(stop_serving)
    bound = server.sockets[0].getsockname()
    return f"{host}:{bound[1]}"


async def stop_serving() -> None:
    """Closes every endpoint that `serve_metrics` opened."""
    while _servers:
        _servers.pop().close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_healthy: Callable[[], bool]) -> None:
    try:
        response, has_body = await _respond(reader, is_healthy)
        writer.write(_head(response) + (response.body if has_body else b""))
        async with asyncio.timeout(READ_SECONDS):
            await writer.drain()
    except (ConnectionError, TimeoutError):
        logger.debug("metrics connection broke off")
    finally:
        writer.close()


async def _respond(reader: asyncio.StreamReader, is_healthy: Callable[[], bool]) -> tuple[_Response, bool]:
    try:
        async with asyncio.timeout(READ_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE), True
    except asyncio.IncompleteReadError:
        return _refusal(HTTPStatus.BAD_REQUEST), True
    except TimeoutError:
        return _refusal(HTTPStatus.REQUEST_TIMEOUT), True
    request, _, headers = head.decode("latin-1").partition("\r\n")
    match request.split(" "):
        case ["GET" | "HEAD" as verb, target, "HTTP/1.1" | "HTTP/1.0"]:
            return _route(target.partition("?")[0], headers, is_healthy), verb == "GET"
        case [_, _, "HTTP/1.1" | "HTTP/1.0"]:
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED), True
        case _:
            return _refusal(HTTPStatus.BAD_REQUEST), True


def _route(path: str, headers: str, is_healthy: Callable[[], bool]) -> _Response:
    if path == "/metrics":
        encode, content_type = choose_encoder(_header(headers, "accept"))
        return _Response(status=HTTPStatus.OK, body=encode(REGISTRY), content_type=content_type)
    if path == "/health":
        if is_healthy():
            return _Response(status=HTTPStatus.OK, body=b'{"status":"SERVING"}\n', content_type=JSON)
        body = b'{"status":"NOT_SERVING"}\n'
        return _Response(status=HTTPStatus.SERVICE_UNAVAILABLE, body=body, content_type=JSON)
    return _refusal(HTTPStatus.NOT_FOUND)


def _header(headers: str, name: str) -> str:
    for line in headers.split("\r\n"):
        key, _, value = line.partition(":")
        if key.strip().lower() == name:
            return value.strip()
    return ""


def _refusal(status: HTTPStatus) -> _Response:
    allow = "GET, HEAD" if status is HTTPStatus.METHOD_NOT_ALLOWED else ""
    return _Response(status=status, body=f"{status.phrase}; ask for GET /metrics or /health\n".encode(), allow=allow)


def _head(response: _Response) -> bytes:
    lines = [
        f"HTTP/1.1 {response.status.value} {response.status.phrase}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        "Connection: close",
        *([f"Allow: {response.allow}"] if response.allow else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
