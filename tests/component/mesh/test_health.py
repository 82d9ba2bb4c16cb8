import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as aio_health

from cli.chronos.health import Health, check
from cli.chronos.state import Probe, ProbeKind

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def grpc_server(status: "health_pb2.HealthCheckResponse.ServingStatus") -> AsyncIterator[str]:
    server = grpc.aio.server()
    servicer = aio_health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set("", status)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def http_server(answer: bytes) -> AsyncIterator[str]:
    """Answers every connection with the same bytes; nothing at all when there are none."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer:
            writer.write(answer)
            writer.close()
            await writer.wait_closed()
        else:
            await reader.read()  # until the client gives up
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http_probe(address: str) -> Probe:
    return Probe(kind=ProbeKind.HTTP, address=address, path="/ready")


@pytest.mark.parametrize(
    ("status", "health"),
    [
        (SERVING, Health(is_healthy=True, detail="serving")),
        (NOT_SERVING, Health(is_healthy=False, detail="not_serving")),
    ],
)
async def test_a_service_is_as_healthy_as_it_says(
    status: "health_pb2.HealthCheckResponse.ServingStatus", health: Health
) -> None:
    async with grpc_server(status) as address:
        assert await check(Probe(kind=ProbeKind.GRPC, address=address)) == health


async def test_an_http_server_is_healthy_when_it_answers_200() -> None:
    async with http_server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as address:
        assert await check(http_probe(address)) == Health(is_healthy=True, detail="serving")


async def test_another_answer_is_not_healthy() -> None:
    async with http_server(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n") as address:
        assert await check(http_probe(address)) == Health(is_healthy=False, detail="answers 503")


async def test_no_answer_in_time_is_not_healthy() -> None:
    async with http_server(b"") as address:
        health = await check(http_probe(address), patience=timedelta(milliseconds=100))
    assert health == Health(is_healthy=False, detail="no answer within 0.1 s")


@pytest.mark.parametrize("kind", list(ProbeKind))
async def test_a_server_that_is_not_there_is_not_healthy(kind: ProbeKind) -> None:
    async with http_server(b"") as address:
        pass
    assert not (await check(Probe(kind=kind, address=address, path="/"))).is_healthy
