"""A cluster that loses a broker: leaders move, and replicas are missing."""

import asyncio
from collections.abc import Callable

from services.dispatcher.adapters.kafka import KafkaSender
from services.dispatcher.domain.outcome import PERMANENT_KINDS
from services.dispatcher.domain.results import Failure, FailureKind, Receipt, Result
from services.dispatcher.domain.targets.kafka import KafkaRequest
from tests.contract.targets.kafka_rig import link_to, make_request, make_topic, open_sender, read_topic
from tests.servers.kafka import KafkaServer

PATIENCE_S = 60


async def send_until(is_there: Callable[[Result], bool], sender: KafkaSender, request: KafkaRequest) -> int:
    """Sends again and again; gives how many records were acknowledged on the way."""
    count = 0
    async with asyncio.timeout(PATIENCE_S):
        while True:
            result = await sender.send(request)
            assert isinstance(result, Receipt) or result.kind not in PERMANENT_KINDS, result
            count += isinstance(result, Receipt)
            if is_there(result):
                return count


def is_accepted(result: Result) -> bool:
    return isinstance(result, Receipt)


def lacks_replicas(result: Result) -> bool:
    return isinstance(result, Failure) and result.kind is FailureKind.UNREADY and "fewer replicas" in result.error


async def test_a_lost_broker_costs_neither_its_partitions_nor_what_was_acknowledged(
    kafka_pair: tuple[KafkaServer, KafkaServer],
) -> None:
    first, second = kafka_pair
    relaxed = await make_topic(first, 2, replicas=2, min_insync_replicas="1")
    strict = await make_topic(first, 2, replicas=2, min_insync_replicas="2")
    async with open_sender() as sender:
        requests = {
            (topic, partition): make_request(link_to(first), topic, partition=partition)
            for topic in (relaxed, strict)
            for partition in (0, 1)
        }
        counts = {key: await send_until(is_accepted, sender, request) for key, request in requests.items()}
        second.kill()
        for key, request in requests.items():
            counts[key] += await send_until(is_accepted if key[0] == relaxed else lacks_replicas, sender, request)
        await asyncio.to_thread(second.start)
        for key, request in requests.items():
            counts[key] += await send_until(is_accepted, sender, request)
    for topic in (relaxed, strict):
        records = await read_topic(first, topic, partitions=2)
        for partition in (0, 1):
            assert len([each for each in records if each.partition == partition]) >= counts[topic, partition]
