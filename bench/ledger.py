"""How many records a second history takes through its stream; client and server are processes of their own.

`python -m bench.ledger [--records N] [--streams N] [--batch N] [--sync full|normal] [--jobs N]
[--two-records] [--claims] [--postgres]`
"""

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from chronos.history.v1 import ledger_service_pb2
from chronos.history.v1.execution_pb2 import Execution, Request
from chronos.history.v1.ledger_service_pb2_grpc import LedgerServiceStub
from pydantic import SecretStr

from libs.clock import SystemClock
from libs.rpc.channel import open_channel
from services.history.app import open_store
from services.history.settings import HistorySettings
from tests.component.history.serving import MESH_TOKEN, serving
from tests.postgres_server import start_postgres

if TYPE_CHECKING:
    from chronos.history.v1.ledger_service_pb2_grpc import LedgerServiceAsyncStub

TICKS = os.sysconf("SC_CLK_TCK")
MOST_IN_FLIGHT = 8
REQUEST = Request(method="POST", url="https://example.com/hook", headers={"A": "b"}, body='{"run": "{{.ExecutionID}}"}')


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--streams", type=int, default=2)
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--sync", default="full")
    parser.add_argument("--two-records", action="store_true", help="a start and an end for each execution")
    parser.add_argument("--claims", action="store_true", help="with --two-records: each start is a claim")
    parser.add_argument("--postgres", action="store_true", help="into a PostgreSQL server of its own, with fsync")
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        uvloop.run(serve(arguments.serve, arguments.sync, arguments.url))
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", __spec__.name, "--serve", folder, "--sync", arguments.sync]
        if arguments.postgres:
            command += ["--url", start_postgres({}).create_database()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                uvloop.run(drive(arguments, server.stdout.readline().strip(), server.pid))
            finally:
                server.kill()


async def serve(folder: Path, sync: str, url: str) -> None:
    settings = HistorySettings(data_dir=folder, sync=sync, ledger_url=SecretStr(url))  # type: ignore[arg-type]
    async with open_store(settings, SystemClock()) as (ledger, archive), serving(ledger, archive) as served:
        print(served.address, flush=True)
        await asyncio.Event().wait()


async def drive(arguments: argparse.Namespace, address: str, pid: int) -> None:
    share = arguments.records // arguments.streams
    plans = [prepare(share, arguments) for _ in range(arguments.streams)]
    before, begun = cpu(pid), time.perf_counter()
    latencies: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(open_channel(address, mesh_token=MESH_TOKEN)) for _ in plans]
        async with asyncio.TaskGroup() as group:
            for channel, plan in zip(channels, plans, strict=True):
                group.create_task(send(LedgerServiceStub(channel), plan, latencies))
    seconds = time.perf_counter() - begun
    whole, loop = (now - then for now, then in zip(cpu(pid), before, strict=True))
    count = sum(len(request.records) for plan in plans for request in plan)
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99))
    print(
        f"{count / seconds:,.0f} records/s ({count:,} in {seconds:.1f} s, {arguments.streams} streams, batches of "
        f"{arguments.batch}, sync {arguments.sync}); server CPU {whole / seconds:.0%} of a core = "
        f"{whole / count * 1e6:.1f} us a record, of which its event loop {loop / count * 1e6:.1f} us; "
        f"acknowledged after p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    )


async def send(
    stub: "LedgerServiceAsyncStub", plan: list[ledger_service_pb2.RecordRequest], latencies: list[float]
) -> None:
    room = asyncio.Semaphore(MOST_IN_FLIGHT)
    sent: dict[int, float] = {}

    async def requests() -> AsyncIterator[ledger_service_pb2.RecordRequest]:
        for request in plan:
            await room.acquire()
            sent[request.batch] = time.perf_counter()
            yield request

    async for response in stub.Record(requests()):
        latencies.append(time.perf_counter() - sent.pop(response.batch))
        room.release()


def prepare(count: int, arguments: argparse.Namespace) -> list[ledger_service_pb2.RecordRequest]:
    size, jobs, two_records = arguments.batch, arguments.jobs, arguments.two_records
    now_us = time.time_ns() // 1000
    rows = [record(now_us + i * 50, i % jobs) for i in range(count // (2 if two_records else 1))]
    for row in rows[:jobs]:
        row.definition.CopyFrom(ledger_service_pb2.Definition(request=REQUEST, job=b"x" * 500))
    requests: list[ledger_service_pb2.RecordRequest] = []
    for start in range(0, len(rows), size):
        for is_end in (False, True) if two_records else (True,):
            request = ledger_service_pb2.RecordRequest(batch=len(requests) + 1, records=rows[start : start + size])
            for row in request.records:
                row.execution.status = Execution.SUCCESS if is_end else Execution.RUNNING
                row.is_claim = arguments.claims and not is_end
                row.claimant = "dispatcher-1" if row.is_claim else ""
            requests.append(request)
    return requests


def record(us: int, job: int) -> ledger_service_pb2.ExecutionRecord:
    raw = (us // 1000).to_bytes(6, "big") + os.urandom(10)
    execution = Execution(
        id=str(uuid.UUID(bytes=raw)),
        namespace="default",
        job_id=f"job-{job}",
        job_uid=str(uuid.UUID(int=job)),
        job_name=f"Job {job}",
        job_version=1,
        cause=Execution.SCHEDULE,
        attempt_count=1,
        status_code=200,
        response="ok",
        delivery=1,
        trace_id=raw.hex(),
        dispatcher="dispatcher-1",
    )
    attempt = execution.attempts.add(number=1, status_code=200)
    for moment in (execution.scheduled_time, execution.started_at, execution.completed_at, attempt.started_at):
        moment.FromMicroseconds(us)
    attempt.duration.FromTimedelta(timedelta(milliseconds=3))
    definition_id = uuid.UUID(int=job).bytes
    return ledger_service_pb2.ExecutionRecord(execution=execution, shard=job % 64, epoch=1, definition_id=definition_id)


def cpu(pid: int) -> tuple[float, float]:
    """Seconds of CPU of a process, and of its main thread."""
    stats = (Path(f"/proc/{pid}/stat"), Path(f"/proc/{pid}/task/{pid}/stat"))
    fields = [stat.read_text().rpartition(")")[2].split() for stat in stats]
    whole, loop = ((int(each[11]) + int(each[12])) / TICKS for each in fields)
    return whole, loop


if __name__ == "__main__":
    main()
