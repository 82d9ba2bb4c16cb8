"""A broker that is killed under load: nothing acknowledged is lost, and what failed is told apart truly."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from services.dispatcher.adapters.kafka import KafkaSender
from services.dispatcher.domain.outcome import PERMANENT_KINDS, UNSENT_KINDS
from services.dispatcher.domain.results import Failure, FailureKind, Receipt
from services.dispatcher.domain.targets.kafka import Acks, KafkaLink
from tests.contract.targets.kafka_proxy import CuttingProxy
from tests.contract.targets.kafka_rig import (
    accepted,
    link_to,
    make_request,
    make_topic,
    open_sender,
    read_topic,
    refused,
)
from tests.eventually import eventually
from tests.servers.kafka import KafkaServer

WORKERS = 40
RECORDS = 6_000
KILL_AT = 1_500


class Load:
    """Sends numbered records until each is acknowledged, and remembers how each attempt ended."""

    def __init__(self, sender: KafkaSender, link: KafkaLink, topic: str) -> None:
        self.acknowledged = 0
        self.failures: list[Failure] = []
        self.most: Counter[bytes] = Counter()
        """How often each record may be there: once, and once more for each attempt that may have had an effect."""
        self._sender = sender
        self._link = link
        self._topic = topic
        self._numbers = iter(range(RECORDS))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        for number in self._numbers:
            value = str(number).encode()
            request = make_request(self._link, self._topic, value)
            self.most[value] += 1
            while not isinstance(result := await self._sender.send(request), Receipt):
                assert isinstance(result, Failure)
                assert result.kind not in PERMANENT_KINDS, result
                self.failures.append(result)
                self.most[value] += result.kind not in UNSENT_KINDS
            self.acknowledged += 1


async def test_a_killed_broker_loses_nothing_acknowledged_and_doubles_nothing_unsent(own_kafka: KafkaServer) -> None:
    careful, hasty = await make_topic(own_kafka, partitions=2), await make_topic(own_kafka, partitions=2)
    async with open_sender() as sender, asyncio.timeout(120):
        loads = {
            careful: Load(sender, link_to(own_kafka), careful),
            hasty: Load(sender, link_to(own_kafka, acks=Acks.LEADER, is_idempotent=False), hasty),
        }
        async with asyncio.TaskGroup() as group:
            for load in loads.values():
                group.create_task(load.run())
            for load in loads.values():
                await eventually(lambda load=load: load.acknowledged >= KILL_AT, within_s=60)  # type: ignore[misc]
            own_kafka.kill()
            await asyncio.to_thread(own_kafka.start)
    for topic, load in loads.items():
        assert load.failures, "the broker was gone, and nobody noticed"
        there = Counter(record.value for record in await read_topic(own_kafka, topic, partitions=2))
        assert set(there) == set(load.most)
        assert {value: (count, load.most[value]) for value, count in there.items() if count > load.most[value]} == {}


@pytest.fixture
async def proxy(kafka: KafkaServer) -> AsyncIterator[CuttingProxy]:
    async with CuttingProxy(kafka.proxy_port, kafka.broker("proxied")) as proxy:
        yield proxy


async def test_an_idempotent_record_whose_acknowledgement_was_lost_is_there_once(
    kafka: KafkaServer, proxy: CuttingProxy
) -> None:
    topic, link = await make_topic(kafka), KafkaLink(brokers=(proxy.broker,))
    async with open_sender() as sender:
        accepted(await sender.send(make_request(link, topic, b"before")))
        proxy.cut_at_next_answer()
        assert accepted(await sender.send(make_request(link, topic, b"cut"))) == "partition 0, offset 1"
        accepted(await sender.send(make_request(link, topic, b"after")))
    assert proxy.cuts == 1
    assert [record.value for record in await read_topic(kafka, topic)] == [b"before", b"cut", b"after"]


async def test_what_became_of_another_record_whose_acknowledgement_was_lost_is_unclear(
    kafka: KafkaServer, proxy: CuttingProxy
) -> None:
    topic, link = await make_topic(kafka), KafkaLink(brokers=(proxy.broker,), is_idempotent=False)
    async with open_sender() as sender:
        accepted(await sender.send(make_request(link, topic, b"before")))
        proxy.cut_at_next_answer()
        error = refused(await sender.send(make_request(link, topic, b"cut")), FailureKind.BROKEN)
        assert error == f"connection closed by {proxy.broker} before it acknowledged"
        accepted(await sender.send(make_request(link, topic, b"after")))
    assert [record.value for record in await read_topic(kafka, topic)] == [b"before", b"cut", b"after"]
