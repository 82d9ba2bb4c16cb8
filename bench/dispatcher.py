"""How many recorded deliveries a second one dispatcher makes: driver → dispatcher → HTTP endpoint, and → ledger.

    python -m bench.dispatcher --url http://127.0.0.1:8081/ [--seconds 10] [--rate 5000]

Three processes: this one plays the scheduler, one is the dispatcher, one acknowledges every record at once. Without
`--rate`, as many as credit allows.
"""

import argparse
import asyncio
import cProfile
import gc
import json
import multiprocessing
import random
import resource
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any

import uvloop
from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.dispatcher.v1 import delivery_service_pb2_grpc as delivery_grpc
from chronos.history.v1 import ledger_service_pb2 as ledger_pb2
from chronos.history.v1 import ledger_service_pb2_grpc as ledger_grpc
from chronos.scheduler.v1 import job_pb2

from libs.clock import SystemClock
from libs.rpc.channel import open_channel
from libs.rpc.server import RpcServer
from services.dispatcher.adapters.ledger import GrpcLedger
from services.dispatcher.app.senders import open_senders
from services.dispatcher.dispatch import Dispatch
from services.dispatcher.ports import Sender
from services.dispatcher.servicer.deliveries import DeliveryServicer
from services.dispatcher.settings import DispatcherSettings
from tests.deliveries import TRACEPARENT, make_job

BATCH = 500
TOKEN = "bench"
DEFINITION_ID = b"the definition.."
Event = delivery_pb2.DeliveryEvent


class AckingLedger(ledger_grpc.LedgerServiceServicer):
    """Acknowledges everything; keeps how late each execution began and ended, in seconds."""

    def __init__(self) -> None:
        self.begin_lateness: list[float] = []
        self.end_lateness: list[float] = []
        self.finals = 0
        self.records = 0

    async def Record(self, request_iterator: Any, context: Any) -> AsyncIterator[ledger_pb2.RecordResponse]:
        async for request in request_iterator:
            for record in request.records:
                execution = record.execution
                self.records += 1
                if execution.status > 2:
                    due = execution.scheduled_time.ToNanoseconds()
                    self.finals += 1
                    self.begin_lateness.append((execution.started_at.ToNanoseconds() - due) / 1e9)
                    self.end_lateness.append((execution.completed_at.ToNanoseconds() - due) / 1e9)
            yield ledger_pb2.RecordResponse(batch=request.batch)

    async def SealShard(self, request: Any, context: Any) -> AsyncIterator[ledger_pb2.SealShardResponse]:
        yield ledger_pb2.SealShardResponse()

    async def FindExecutions(self, request: Any, context: Any) -> ledger_pb2.FindExecutionsResponse:
        return ledger_pb2.FindExecutionsResponse()


def percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values) or [0.0]
    return {
        name: round(ordered[int(share * (len(ordered) - 1))] * 1e3, 2)
        for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1))
    }


async def serve_ledger(pipe: Connection) -> None:
    ledger = AckingLedger()
    service = (ledger_grpc.add_LedgerServiceServicer_to_server, ledger, "chronos.history.v1.LedgerService")
    server = RpcServer("127.0.0.1:0", [service], authenticator=None, clock=SystemClock(), mesh_token=TOKEN)
    pipe.send(await server.start())
    await asyncio.to_thread(pipe.recv)
    pipe.send({
        "finals": ledger.finals, "records": ledger.records, "cpu_seconds": time.process_time(),
        "begin": percentiles(ledger.begin_lateness), "end": percentiles(ledger.end_lateness),
    })  # fmt: skip


async def serve_dispatcher(pipe: Connection, ledger: str) -> None:
    settings = DispatcherSettings(allow_private_addresses=True)
    async with open_senders(settings, SystemClock()) as sender:
        await _serve(pipe, ledger, settings, sender)


async def _serve(pipe: Connection, ledger: str, settings: DispatcherSettings, sender: Sender) -> None:
    clock, dice = SystemClock(), random.Random()
    records = GrpcLedger(lambda: [ledger], lambda address: open_channel(address, mesh_token=TOKEN), dice)
    dispatch = Dispatch(
        settings, sender=sender, ledger=records, clock=clock, dice=dice, user_agent="Chronos/bench", instance="bench"
    )
    servicer = DeliveryServicer(
        dispatch.streams, dispatch.intake, clock, interval=settings.event_interval, has_room=lambda: dispatch.has_room
    )
    service = (delivery_grpc.add_DeliveryServiceServicer_to_server, servicer, "chronos.dispatcher.v1.DeliveryService")
    server = RpcServer("127.0.0.1:0", [service], authenticator=None, clock=clock, mesh_token=TOKEN)
    async with asyncio.TaskGroup() as group:
        loops = [group.create_task(_run(loop)) for loop in (*dispatch.loops.values(), servicer.run)]
        pipe.send(await server.start())
        gc.collect()
        gc.freeze()
        await asyncio.to_thread(pipe.recv)
        used = resource.getrusage(resource.RUSAGE_SELF)
        pipe.send({"cpu_seconds": time.process_time(), "peak_mb": used.ru_maxrss // 1024})
        await dispatch.drain()
        await server.drain(timedelta(seconds=1))
        for loop in loops:
            loop.cancel()


async def _run(loop: Callable[[], Awaitable[None]]) -> None:
    await loop()


def run_process(target: str, pipe: Connection, argument: str, profile: str) -> None:
    main = serve_ledger(pipe) if target == "ledger" else serve_dispatcher(pipe, argument)
    if profile and target == "dispatcher":
        profiler = cProfile.Profile()
        profiler.enable()
        uvloop.run(main)
        profiler.disable()
        profiler.dump_stats(profile)
    else:
        uvloop.run(main)


async def drive(address: str, job: job_pb2.Job, seconds: float, rate: int) -> dict[str, Any]:
    channel = open_channel(address, mesh_token=TOKEN)
    call = delivery_grpc.DeliveryServiceStub(channel).Deliver()
    state: dict[str, Any] = {"credit": 0, "sent": 0, "finished": 0, "messages": 0}
    changed = asyncio.Event()

    async def read() -> None:
        async for response in call:
            state["credit"] += response.credit
            state["messages"] += 1
            state["finished"] += sum(event.kind == Event.FINISHED for event in response.events)
            changed.set()

    def batch(count: int) -> delivery_pb2.DeliverRequest:
        request = delivery_pb2.DeliverRequest()
        now = datetime.now(UTC)
        for _ in range(count):
            delivery = request.deliveries.add(
                execution_id=str(uuid.uuid4()), job=job, cause=1, delivery=1, shard=1, epoch=1, traceparent=TRACEPARENT,
                definition_id=DEFINITION_ID,
            )  # fmt: skip
            delivery.scheduled_time.FromDatetime(now)
        return request

    async with asyncio.TaskGroup() as group:
        reader = group.create_task(read())
        begin = time.monotonic()
        while (spent := time.monotonic() - begin) < seconds:
            due = int(spent * rate) - state["sent"] if rate else BATCH
            count = min(due, BATCH, state["credit"])
            if count <= 0:
                await asyncio.sleep(0.002)
                continue
            state["credit"] -= count
            state["sent"] += count
            await call.write(batch(count))
        while state["finished"] < state["sent"]:
            changed.clear()
            await asyncio.wait_for(changed.wait(), 30)
        state["seconds"] = time.monotonic() - begin
        reader.cancel()
    await channel.close()
    return state


def measure(job: job_pb2.Job, *, seconds: float, rate: int = 0, profile: str = "") -> dict[str, Any]:
    """Delivers a job, whatever its target, as fast as credit allows or at a rate."""
    spawn = multiprocessing.get_context("spawn")
    processes, pipes, address = [], {}, ""
    for name in ("ledger", "dispatcher"):
        pipes[name], theirs = spawn.Pipe()
        processes.append(spawn.Process(target=run_process, args=(name, theirs, address, profile)))
        processes[-1].start()
        address = pipes[name].recv()
    state = uvloop.run(drive(address, job, seconds, rate))
    reports = {}
    for name in ("dispatcher", "ledger"):
        pipes[name].send("stop")
        reports[name] = pipes[name].recv()
    for process in processes:
        process.join()
    cpu = reports["dispatcher"]["cpu_seconds"]
    return {
        "deliveries": state["finished"], "per_second": round(state["finished"] / state["seconds"]),
        "dispatcher_cpu_us_per_delivery": round(cpu / state["finished"] * 1e6, 1),
        "dispatcher_cpu_percent": round(cpu / state["seconds"] * 100),
        "dispatcher_peak_mb": reports["dispatcher"]["peak_mb"],
        "event_messages": state["messages"], **reports["ledger"],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--profile", default="")
    arguments = parser.parse_args()
    job = make_job(arguments.url, body='{"execution": "{{.ExecutionID}}"}')
    result = measure(job, seconds=arguments.seconds, rate=arguments.rate, profile=arguments.profile)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
