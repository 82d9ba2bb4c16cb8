"""A real process: signals, exit codes, logs, metrics, traces."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import pytest
from chronos.scheduler.v1 import job_service_pb2, job_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from libs.rpc.channel import open_channel
from tests.component.process_program import KEY

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
LIMIT_SECONDS = 20


class Program:
    """The process, and the log lines it has written so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    async def line(self, message: str) -> dict[str, Any]:
        """The next log line with that message."""
        assert self.process.stderr is not None
        async with asyncio.timeout(LIMIT_SECONDS):
            while text := await self.process.stderr.readline():
                self.lines.append(json.loads(text))
                if self.lines[-1]["message"] == message:
                    return self.lines[-1]
        raise AssertionError(f"no line {message} in {self.lines}")

    async def exit_code(self) -> int:
        assert self.process.stderr is not None
        async with asyncio.timeout(LIMIT_SECONDS):
            rest = await self.process.stderr.read()
            self.lines.extend(json.loads(text) for text in rest.splitlines())
            return await self.process.wait()

    @property
    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines]


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.component.process_program", *arguments, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_exits_with_zero(number: signal.Signals) -> None:
    async with started("serves") as program:
        bound = await program.line("bound")
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://{bound['metrics']}/health")).status_code == 200
        program.process.send_signal(number)
        assert await program.exit_code() == 0
    assert program.messages[-4:] == ["stopping", "draining", "closed", "stopped"]


async def test_a_loop_that_crashes_exits_with_one_after_one_readable_line() -> None:
    async with started("crashes") as program:
        assert await program.exit_code() == 1
    (crashed,) = [line for line in program.lines if line["level"] == "error"]
    assert crashed["message"] == "crashed"
    assert [(error["type"], error["message"]) for error in crashed["errors"]] == [("ValueError", "boom")]
    assert "closed" in program.messages


async def test_a_signal_while_opening_gives_up_at_once() -> None:
    async with started("waits-to-open") as program:
        await program.line("opening")
        program.process.send_signal(signal.SIGTERM)
        assert await program.exit_code() == 0
    assert program.messages[-1] == "stopped"


async def test_a_second_signal_quits_on_the_spot() -> None:
    async with started("hangs-in-drain") as program:
        await program.line("bound")
        program.process.send_signal(signal.SIGINT)
        await program.line("draining")
        program.process.send_signal(signal.SIGINT)
        assert await program.exit_code() == 1
    assert program.messages[-1] == "quitting at once"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    async def Export(self, request: Any, context: Any) -> Any:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Collector, str]]:
    collector, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield collector, f"http://127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def test_spans_continue_the_callers_trace_and_reach_the_collector_before_the_exit() -> None:
    async with collecting() as (collector, endpoint), started("serves", endpoint) as program:
        bound = await program.line("bound")
        async with open_channel(bound["address"]) as channel:
            await job_service_pb2_grpc.JobServiceStub(channel).GetJob(
                job_service_pb2.GetJobRequest(id="a"),
                metadata=(("x-api-key", KEY), ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")),
            )
        answering = await program.line("answering")
        program.process.send_signal(signal.SIGTERM)
        assert await program.exit_code() == 0
    assert answering["trace_id"] == TRACE
    by_name = {span.name: span for span in collector.spans}
    inner, call = by_name["look up"], by_name["/chronos.scheduler.v1.JobService/GetJob"]
    assert {inner.trace_id.hex(), call.trace_id.hex()} == {TRACE}
    assert inner.parent_span_id == call.span_id
    assert call.parent_span_id.hex() == "00f067aa0ba902b7"


async def test_a_collector_that_is_away_delays_the_exit_only_a_little() -> None:
    async with started("serves", "http://127.0.0.1:1") as program:
        bound = await program.line("bound")
        async with open_channel(bound["address"]) as channel:
            await job_service_pb2_grpc.JobServiceStub(channel).GetJob(
                job_service_pb2.GetJobRequest(id="a"), metadata=(("x-api-key", KEY),)
            )
        program.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(8):
            assert await program.exit_code() == 0
