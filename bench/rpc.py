"""Unary calls a second, with and without everything that `libs.rpc` puts around a call.

    python -m bench.rpc [SECONDS] [CALLS IN FLIGHT]

The client is a process of its own; logs go to a null device.
"""

import asyncio
import multiprocessing
import os
import sys
import time
from datetime import timedelta
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import grpc
import uvloop
from chronos.scheduler.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from libs import log
from libs.clock import SystemClock
from libs.rpc.auth import Authenticator
from libs.rpc.credentials import new_key
from libs.rpc.server import RpcServer
from tests.component.rpc.harness import JOBS, Conduct, Jobs
from tests.fakes.keys import FakeKeyDirectory

Result = tuple[int, float, float]


async def main(seconds: float, in_flight: int) -> None:
    """Measures a bare server and ours, access log included, twice."""
    for name in ("bare", "checked") * 2:
        calls, p50, p99, cpu = await measure(name, seconds, in_flight)
        print(
            f"{name:8} {calls / seconds:6.0f} calls/s   p50 {p50:5.2f} ms   p99 {p99:5.2f} ms   "
            f"server CPU {cpu / calls * 1e6:4.0f} us a call"
        )


async def measure(name: str, seconds: float, in_flight: int) -> tuple[int, float, float, float]:
    """Starts a server and a client, and gives calls, p50 and p99 in ms, and CPU seconds of the server."""
    spawn = multiprocessing.get_context("spawn")
    results: Queue[Result] = spawn.Queue()
    text, stored = new_key("bench", ["*"], ["*"], SystemClock())
    add, servicer = job_service_pb2_grpc.add_JobServiceServicer_to_server, EchoJobs(Conduct())  # type: ignore[abstract]
    server: Any
    if name == "bare":
        server = grpc.aio.server()
        add(servicer, server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
    else:
        authenticator = Authenticator(FakeKeyDirectory(stored), SystemClock())
        server = RpcServer("127.0.0.1:0", [(add, servicer, JOBS)], authenticator=authenticator, clock=SystemClock())
        address = await server.start()
    client = spawn.Process(target=call, args=(address, text, seconds, in_flight, results))
    client.start()
    begun = time.process_time()
    await asyncio.to_thread(client.join)
    cpu = time.process_time() - begun
    await (server.stop(0) if name == "bare" else server.drain(timedelta(0)))
    return *results.get(), cpu


class EchoJobs(Jobs):
    """Answers without looking at the caller."""

    async def GetJob(self, request: job_service_pb2.GetJobRequest, context: Any) -> job_pb2.Job:
        return job_pb2.Job(id=request.id)


def call(address: str, key: str, seconds: float, in_flight: int, results: "Queue[Result]") -> None:
    """The client's process."""
    uvloop.run(_call(address, key, seconds, in_flight, results))


async def _call(address: str, key: str, seconds: float, in_flight: int, results: "Queue[Result]") -> None:
    request, latencies = job_service_pb2.GetJobRequest(id="a"), list[float]()
    end = time.monotonic() + seconds
    async with grpc.aio.insecure_channel(address) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)

        async def repeat() -> None:
            while time.monotonic() < end:
                begun = time.perf_counter()
                await stub.GetJob(request, metadata=(("x-api-key", key),), timeout=10)
                latencies.append(time.perf_counter() - begun)

        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(repeat())
    latencies.sort()
    p50, p99 = latencies[len(latencies) // 2] * 1000, latencies[int(len(latencies) * 0.99)] * 1000
    results.put((len(latencies), p50, p99))


if __name__ == "__main__":
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process lives
    log.configure("info", "bench", "bench-0")
    arguments = [float(argument) for argument in sys.argv[1:]] + [4, 32][len(sys.argv) - 1 :]
    uvloop.run(main(arguments[0], int(arguments[1])))
