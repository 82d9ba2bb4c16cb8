"""What the tests of Kafka targets share: a sender to a real broker, requests, and what is in a topic afterwards."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from libs.clock import SystemClock
from services.dispatcher.adapters.checked_addresses import Addresses, AnyAddress
from services.dispatcher.adapters.kafka import KafkaSender, open_kafka_sender
from services.dispatcher.domain.results import Failure, FailureKind, Receipt, Result
from services.dispatcher.domain.targets.kafka import KafkaLink, KafkaRequest, parse_broker
from tests.servers.kafka import KafkaServer

TOO_FEW_BROKERS = 38


@dataclass(frozen=True)
class Record:
    """A record as a consumer sees it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Mapping[str, str]


def link_to(server: KafkaServer, listener: str = "plain", **changes: Any) -> KafkaLink:
    return replace(KafkaLink(brokers=(parse_broker(server.broker(listener)),)), **changes)


def make_request(link: KafkaLink, topic: str, value: bytes = b"{}", **changes: Any) -> KafkaRequest:
    request = KafkaRequest(
        link=link, topic=topic, partition=None, key=None, value=value, headers=[], timeout=timedelta(seconds=20)
    )
    return replace(request, **changes)


@asynccontextmanager
async def open_sender(addresses: Addresses | None = None) -> AsyncIterator[KafkaSender]:
    async with open_kafka_sender(addresses or AnyAddress(), SystemClock(), random.Random(1)) as sender:
        yield sender


async def make_topic(server: KafkaServer, partitions: int = 1, *, replicas: int = 1, **settings: str) -> str:
    """A topic of the test's own. It is made as soon as there are brokers for all replicas."""
    name = f"t-{uuid.uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=server.broker())
    await admin.start()
    try:
        configs = {key.replace("_", "."): value for key, value in settings.items()}
        topic, code = NewTopic(name, partitions, replicas, topic_configs=configs), TOO_FEW_BROKERS
        async with asyncio.timeout(30):
            while code == TOO_FEW_BROKERS:
                ((_, code, message),) = (await admin.create_topics([topic])).topic_errors
        assert code == 0, message
    finally:
        await admin.close()
    return name


async def delete_topic(server: KafkaServer, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=server.broker())
    await admin.start()
    try:
        await admin.delete_topics([name])
    finally:
        await admin.close()


async def read_topic(server: KafkaServer, name: str, partitions: int = 1) -> list[Record]:
    """Everything that is in a topic now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=server.broker(), auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(name, number) for number in range(partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        records: list[Record] = []
        while [place for place, end in ends.items() if await consumer.position(place) < end]:
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records += [
                    Record(each.partition, each.offset, each.key, each.value, {k: v.decode() for k, v in each.headers})
                    for each in batch
                ]
        return records
    finally:
        await consumer.stop()


def accepted(result: Result) -> str:
    assert isinstance(result, Receipt), result
    return result.response


def refused(result: Result, kind: FailureKind) -> str:
    assert isinstance(result, Failure), result
    assert result.kind is kind, result
    return result.error
