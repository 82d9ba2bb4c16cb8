"""How many recorded deliveries a second one dispatcher makes to NATS, with a real server beside it.

    python -m bench.targets.nats [--seconds 10] [--rate 5000] [--manner publish|stream|request] [--storage memory]

As `bench.dispatcher`, with a message for each delivery in the place of an HTTP request. A stream has one replica, and
syncs its file as often as the server usually does, every two minutes; `--sync` has it sync before it acknowledges.
Replies come from a process of its own: where there are few cores it takes its share of them.
"""

import argparse
import asyncio
import json
import multiprocessing
import uuid
from multiprocessing.synchronize import Event
from typing import Any

import nats
from chronos.scheduler.v1 import job_pb2, nats_target_pb2
from nats.aio.msg import Msg
from nats.js.api import StorageType, StreamConfig

from bench.dispatcher import measure
from tests.servers.nats import start_nats

SUBJECT, STREAM = "orders.created", "ORDERS"


async def make_stream(url: str, storage: str) -> None:
    async with await nats.connect(url) as connection:
        await connection.jetstream().add_stream(
            StreamConfig(name=STREAM, subjects=["orders.>"], storage=StorageType(storage))
        )


async def count_messages(url: str) -> int:
    async with await nats.connect(url) as connection:
        return int((await connection.jetstream().stream_info(STREAM)).state.messages)


async def reply(url: str, is_ready: Any) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(b"done")

    async with await nats.connect(url) as connection:
        await connection.subscribe(SUBJECT, cb=answer)
        await connection.flush()
        await connection.flush()
        is_ready.set()
        await asyncio.Event().wait()


def run_replier(url: str, is_ready: Event) -> None:
    asyncio.run(reply(url, is_ready))


def make_job(url: str, manner: str) -> job_pb2.Job:
    target = nats_target_pb2.NatsTarget(url=url, subject=SUBJECT, payload='{"execution": "{{.ExecutionID}}"}')
    target.request_reply = manner == "request"
    target.jetstream.enabled = manner == "stream"
    job = job_pb2.Job(namespace="default", id="orders", uid=str(uuid.uuid4()), name="Orders", version=1)
    job.nats.CopyFrom(target)
    return job


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--manner", default="publish", choices=("publish", "stream", "request"))
    parser.add_argument("--storage", default="file", choices=("file", "memory"))
    parser.add_argument("--sync", action="store_true", help="sync the stream's file before each acknowledgement")
    parser.add_argument("--profile", default="")
    arguments = parser.parse_args()
    server = start_nats({"jetstream": {"sync_interval": "always"} if arguments.sync else {}})
    job = make_job(server.url, arguments.manner)
    spawn = multiprocessing.get_context("spawn")
    is_ready = spawn.Event()
    replier = spawn.Process(target=run_replier, args=(server.url, is_ready))
    if arguments.manner == "stream":
        asyncio.run(make_stream(server.url, arguments.storage))
    elif arguments.manner == "request":
        replier.start()
        is_ready.wait(30)
    result = measure(job, seconds=arguments.seconds, rate=arguments.rate, profile=arguments.profile)
    if arguments.manner == "stream":
        result["messages_in_stream"] = asyncio.run(count_messages(server.url))
    if replier.pid is not None:
        replier.terminate()
        replier.join()
    server.stop()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
