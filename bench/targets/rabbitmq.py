"""How many recorded deliveries a second one dispatcher makes to RabbitMQ, with a real broker beside it.

    python -m bench.targets.rabbitmq [--seconds 10] [--rate 5000] [--queue classic|quorum] [--transient]

As `bench.dispatcher`, with a message for each delivery in the place of an HTTP request. Each is confirmed by the broker
before it counts. Nobody reads the queue meanwhile; a quorum queue has one member, as there is one broker.
"""

import argparse
import asyncio
import json
import uuid

import aiormq
from chronos.scheduler.v1 import job_pb2, rabbitmq_target_pb2

from bench.dispatcher import measure
from tests.servers.rabbitmq import RabbitmqServer, start_rabbitmq

QUEUE = "orders"


def login(server: RabbitmqServer) -> str:
    return server.url().replace("//", "//guest:guest@")


async def make_queue(server: RabbitmqServer, kind: str) -> None:
    async with aiormq.connect(login(server)) as connection:
        channel = await connection.channel()
        await channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": kind})


async def count_messages(server: RabbitmqServer) -> int:
    async with aiormq.connect(login(server)) as connection:
        channel = await connection.channel()
        return (await channel.queue_declare(QUEUE, passive=True)).message_count or 0


def make_job(server: RabbitmqServer, *, is_persistent: bool) -> job_pb2.Job:
    job = job_pb2.Job(namespace="default", id="orders", uid=str(uuid.uuid4()), name="Orders", version=1)
    target = rabbitmq_target_pb2.RabbitmqTarget(
        url=server.url(), queue=QUEUE, payload='{"execution": "{{.ExecutionID}}"}', persistent=is_persistent
    )
    job.rabbitmq.CopyFrom(target)
    return job


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--queue", default="classic", choices=("classic", "quorum"))
    parser.add_argument("--transient", action="store_true", help="messages that the broker need not keep on disk")
    parser.add_argument("--profile", default="")
    arguments = parser.parse_args()
    server = start_rabbitmq()
    asyncio.run(make_queue(server, arguments.queue))
    job = make_job(server, is_persistent=not arguments.transient)
    result = measure(job, seconds=arguments.seconds, rate=arguments.rate, profile=arguments.profile)
    result["messages_in_queue"] = asyncio.run(count_messages(server))
    server.stop()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
