"""A scheduler's stream in, real messages in RabbitMQ's queues, records to history."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from aiormq.abc import DeliveredMessage
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2
from chronos.scheduler.v1.rabbitmq_target_pb2 import RabbitmqTarget

from libs.clock import SystemClock
from services.dispatcher.app.senders import open_senders
from tests.component.dispatcher.harness import Harness, open_dispatcher
from tests.contract.targets.rabbitmq_rig import open_reader
from tests.deliveries import TRACE_ID, make_delivery, make_job, quick_settings
from tests.servers.rabbitmq import RabbitmqServer

Execution = execution_pb2.Execution
SETTINGS = quick_settings(allow_private_addresses=True, breaker_failures=0)
PAUSE = timedelta(milliseconds=50)


@asynccontextmanager
async def open_real_dispatcher() -> AsyncIterator[Harness]:
    async with open_senders(SETTINGS, SystemClock()) as sender, open_dispatcher(SETTINGS, sender=sender) as harness:
        yield harness


def rabbitmq_job(server: RabbitmqServer, queue: str) -> job_pb2.Job:
    """A job that is patient: 1,000 attempts, one after another."""
    job = make_job("", max_attempts=1_000)
    payload = '{"name": "{{.JobName}}", "attempt": {{.Attempt}}}'
    job.rabbitmq.CopyFrom(RabbitmqTarget(url=server.url(), queue=queue, payload=payload, headers={"Team": "billing"}))
    job.retry_policy.initial_interval.FromTimedelta(PAUSE)
    job.retry_policy.max_interval.FromTimedelta(PAUSE)
    return job


async def make_queue(server: RabbitmqServer) -> str:
    async with open_reader(server) as reader:
        return await reader.queue()


async def read_queue(server: RabbitmqServer, queue: str) -> list[DeliveredMessage]:
    async with open_reader(server) as reader:
        return await reader.take_all(queue)


async def test_a_message_arrives_with_the_facts_of_its_delivery(rabbitmq: RabbitmqServer) -> None:
    queue = await make_queue(rabbitmq)
    async with open_real_dispatcher() as harness:
        delivery = make_delivery(rabbitmq_job(rabbitmq, queue))
        await (await harness.connect()).send(delivery)
        execution = await harness.history.wait_for_final(delivery.execution_id)
    assert (execution.status, execution.attempt_count) == (Execution.SUCCESS, 1)
    assert execution.response == f"confirmed: queue {queue}"
    (message,) = await read_queue(rabbitmq, queue)
    assert message.body == b'{"name": "B\\u00fcro \\"report\\"", "attempt": 1}'
    properties = message.header.properties
    assert properties.headers is not None
    traceparent = str(properties.headers.pop("traceparent"))
    assert traceparent.split("-")[1] == TRACE_ID
    assert properties.headers == {
        "Team": "billing",
        "x-chronos-job-id": "report",
        "x-chronos-execution-id": delivery.execution_id,
        "x-chronos-scheduled-time": "2026-01-01T12:00:00Z",
        "x-chronos-attempt": "1",
        "idempotency-key": delivery.execution_id,
    }
    assert (properties.message_id, properties.app_id) == (delivery.execution_id, "chronos")
    assert (properties.content_type, properties.delivery_mode) == ("application/json", 2)


async def test_a_message_is_published_again_until_its_broker_is_back(own_rabbitmq: RabbitmqServer) -> None:
    queue = await make_queue(own_rabbitmq)
    async with open_real_dispatcher() as harness:
        stream = await harness.connect()
        first, second = (make_delivery(rabbitmq_job(own_rabbitmq, queue)) for _ in range(2))
        await stream.send(first)
        await harness.history.wait_for_final(first.execution_id)
        own_rabbitmq.kill()
        await stream.send(second)
        await harness.history.wait_for(lambda history: any(each.attempts for each in history.of(second.execution_id)))
        await asyncio.to_thread(own_rabbitmq.start)
        execution = await harness.history.wait_for_final(second.execution_id)
    assert (execution.status, execution.attempt_count > 1) == (Execution.SUCCESS, True)
    refused = f"connection refused by 127.0.0.1:{own_rabbitmq.port}"
    assert refused in {attempt.error for attempt in execution.attempts}
    headers = {
        message.header.properties.message_id: message.header.properties.headers
        for message in await read_queue(own_rabbitmq, queue)
    }
    assert set(headers) == {first.execution_id, second.execution_id}
    found = headers[second.execution_id]
    assert found is not None
    assert found["x-chronos-attempt"] == str(execution.attempt_count)
