"""The endpoint that Prometheus scrapes, and what it makes of other visitors."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import httpx
import pytest

from libs.metrics import RPC_CALLS, serve_metrics, stop_serving


@pytest.fixture
async def address() -> AsyncIterator[str]:
    yield await serve_metrics("127.0.0.1:0")
    await stop_serving()


async def get(address: str, path: str, **options: object) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(str(options.pop("method", "GET")), f"http://{address}{path}", **options)  # type: ignore[arg-type]


async def exchange(address: str, sent: bytes) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    if writer.can_write_eof():
        writer.write_eof()
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


async def test_metrics_are_served_as_text(address: str) -> None:
    RPC_CALLS.labels("a.B", "C", "OK").inc()
    response = await get(address, "/metrics?name=ignored")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    assert 'chronos_rpc_calls_total{code="OK",method="C",service="a.B"} 1.0' in response.text
    assert "process_resident_memory_bytes" in response.text


async def test_openmetrics_is_served_to_those_who_ask(address: str) -> None:
    response = await get(address, "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


async def test_health_follows_the_service() -> None:
    states = iter([True, False])
    address = await serve_metrics("127.0.0.1:0", lambda: next(states))
    first, second = await get(address, "/health"), await get(address, "/health")
    await stop_serving()
    assert (first.status_code, first.json()) == (200, {"status": "SERVING"})
    assert (second.status_code, second.json()) == (503, {"status": "NOT_SERVING"})


async def test_a_head_request_gets_no_body(address: str) -> None:
    response = await get(address, "/health", method="HEAD")
    assert response.status_code == 200
    assert response.content == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /else HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"\x16\x03\x01\x02\x00\x01\xfc\xff\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET /metrics", 400),
        (b"", 400),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", 431),
    ],
)
async def test_garbage_is_refused_politely(address: str, sent: bytes, status: int) -> None:
    answer = await exchange(address, sent)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert (await get(address, "/health")).status_code == 200


async def test_a_visitor_who_hangs_up_at_once_hurts_nobody(address: str) -> None:
    host, _, port = address.rpartition(":")
    for _ in range(20):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert (await get(address, "/health")).status_code == 200


async def test_an_address_that_is_taken_is_an_error(address: str) -> None:
    with pytest.raises(OSError):
        await serve_metrics(address)
