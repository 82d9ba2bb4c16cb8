"""The load: jobs created, stopped and counted through the edge, as any client would."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import grpc
from chronos.history.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc
from chronos.scheduler.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc, target_pb2

from bench.mesh import BenchMesh

CALLERS = 32
T = TypeVar("T")
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ledger says: executions by status, and the ids of those that succeeded, by scheduled time."""

    by_status: Counter[str]
    succeeded: dict[str, float]


def now() -> float:
    """Unix seconds."""
    return time.time()


async def create_jobs(mesh: BenchMesh, count: int, schedule: str, url: str) -> None:
    """Creates the jobs, evenly over whole seconds when their phase counts from creation."""
    began = time.monotonic()
    async with grpc.aio.insecure_channel(mesh.edge) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)

        async def create(number: int) -> None:
            webhook = target_pb2.WebhookTarget(url=url, body='{"run": "{{.ExecutionID}}"}')
            job = job_pb2.Job(
                id=f"bench-{number}",
                name=f"bench {number}",
                schedule=schedule,
                webhook=webhook,
                concurrency=job_pb2.Job.ALLOW,  # what is too much shows as lateness, not as skipped runs
            )
            request = job_service_pb2.CreateJobRequest(job=job)
            await _patiently(lambda: stub.CreateJob(request, metadata=[("x-api-key", mesh.key)]))

        await _each(count, create)
    print(f"created {count} jobs through the edge in {time.monotonic() - began:.1f} s", flush=True)


async def disable_jobs(mesh: BenchMesh, count: int) -> None:
    """Stops the jobs."""
    async with grpc.aio.insecure_channel(mesh.edge) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)

        async def disable(number: int) -> None:
            request = job_service_pb2.DisableJobRequest(id=f"bench-{number}")
            await _patiently(lambda: stub.DisableJob(request, metadata=[("x-api-key", mesh.key)]))

        await _each(count, disable)


async def recorded(mesh: BenchMesh, start: float, end: float) -> Recorded:
    """Pages through the ledger and keeps what was due from `start` to `end`."""
    by_status: Counter[str] = Counter()
    succeeded: dict[str, float] = {}
    async with grpc.aio.insecure_channel(mesh.edge, options=[("grpc.max_receive_message_length", -1)]) as channel:
        stub = execution_service_pb2_grpc.ExecutionServiceStub(channel)
        token = ""
        while True:
            request = execution_service_pb2.ListExecutionsRequest(page_size=PAGE, page_token=token)
            page = await _patiently(partial(stub.ListExecutions, request, metadata=[("x-api-key", mesh.key)]))
            for execution in page.executions:
                due = execution.scheduled_time.ToNanoseconds() / 1e9
                if start <= due < end:
                    by_status[execution_pb2.Execution.Status.Name(execution.status)] += 1
                    if execution.status == execution_pb2.Execution.SUCCESS:
                        succeeded[execution.id] = due
            token = page.next_page_token
            if not token or (page.executions and page.executions[-1].scheduled_time.ToNanoseconds() / 1e9 < start):
                return Recorded(by_status, succeeded)


async def _each(count: int, act: Callable[[int], Awaitable[None]]) -> None:
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await act(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(caller())


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Calls until the edge has room: it limits the rate of each client."""
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE):
                raise
            await asyncio.sleep(0.25)
