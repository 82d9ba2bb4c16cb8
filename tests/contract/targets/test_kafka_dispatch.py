"""A Kafka job through a whole dispatcher: a scheduler's stream in, records in a real topic out."""

import asyncio
from datetime import timedelta

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, kafka_target_pb2

from libs.clock import SystemClock
from services.dispatcher.app.senders import open_senders
from tests.component.dispatcher.harness import open_dispatcher
from tests.contract.targets.kafka_rig import make_topic, read_topic
from tests.deliveries import make_delivery, quick_settings
from tests.servers.kafka import KafkaServer

Execution = execution_pb2.Execution
SETTINGS = quick_settings(allow_private_addresses=True, breaker_failures=0)


def make_kafka_job(server: KafkaServer, topic: str, *, max_attempts: int = 100) -> job_pb2.Job:
    job = job_pb2.Job(namespace="default", id="orders", name="Orders", version=1)
    target = kafka_target_pb2.KafkaTarget(brokers=[server.broker()], topic=topic, payload="{{.Attempt}}")
    job.kafka.CopyFrom(target)
    job.retry_policy.max_attempts = max_attempts
    job.retry_policy.initial_interval.FromTimedelta(timedelta(milliseconds=500))
    job.retry_policy.max_interval.FromTimedelta(timedelta(milliseconds=500))
    return job


async def test_a_delivery_outlasts_a_restart_of_the_broker(own_kafka: KafkaServer) -> None:
    topic = await make_topic(own_kafka)
    own_kafka.kill()
    async with open_senders(SETTINGS, SystemClock()) as sender, open_dispatcher(SETTINGS, sender=sender) as harness:
        stream = await harness.connect()
        delivery = make_delivery(make_kafka_job(own_kafka, topic))
        await stream.send(delivery)
        await harness.history.wait_for(lambda history: any(each.attempts for each in history.of(delivery.execution_id)))
        await asyncio.to_thread(own_kafka.start)
        execution = await harness.history.wait_for_final(delivery.execution_id)
    assert execution.status == Execution.SUCCESS
    assert execution.attempts[0].error == f"connection refused by {own_kafka.broker()}"
    assert execution.response == "partition 0, offset 0"
    (record,) = await read_topic(own_kafka, topic)
    assert int(record.value) > 1
    assert record.headers["x-chronos-attempt"] == record.value.decode()
    assert record.headers["idempotency-key"] == delivery.execution_id


async def test_what_is_refused_is_not_tried_again(kafka: KafkaServer) -> None:
    async with open_senders(SETTINGS, SystemClock()) as sender, open_dispatcher(SETTINGS, sender=sender) as harness:
        stream = await harness.connect()
        delivery = make_delivery(make_kafka_job(kafka, "no-such-topic"))
        await stream.send(delivery)
        execution = await harness.history.wait_for_final(delivery.execution_id)
    assert execution.status == Execution.FAILED
    assert [attempt.error for attempt in execution.attempts] == ["topic no-such-topic does not exist; create it"]
