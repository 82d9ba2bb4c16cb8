"""What produces records over one link: finds the partition of each, and hands it to that partition's lane."""

import asyncio
import random
from datetime import timedelta

from aiokafka.partitioner import DefaultPartitioner

from libs.clock import Clock
from services.dispatcher.adapters.kafka_batches import Pending
from services.dispatcher.adapters.kafka_clusters import NOBODY, KafkaCluster, Topic
from services.dispatcher.adapters.kafka_errors import missing_partition
from services.dispatcher.adapters.kafka_lanes import Lane
from services.dispatcher.domain.results import Failure, Receipt
from services.dispatcher.domain.targets.kafka import KafkaLink

CLOSING_TIMEOUT = timedelta(seconds=10)


class KafkaProducer:
    """Produces to one cluster, with one set of credentials and settings."""

    def __init__(
        self, link: KafkaLink, cluster: KafkaCluster, clock: Clock, dice: random.Random, tasks: asyncio.TaskGroup
    ) -> None:
        self._link = link
        self._cluster = cluster
        self._clock = clock
        self._dice = dice
        self._tasks = tasks
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._sticky: dict[str, int] = {}
        self._partitioner = DefaultPartitioner()
        self._busy = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    async def deliver(self, record: Pending) -> Receipt | Failure:
        """What became of the record. Raises Undelivered when it was not even tried. The caller bounds the time."""
        self._busy += 1
        self._is_idle.clear()
        try:
            topic = await self._cluster.topic(record.request.topic)
            self._lane(topic.name, self._partition(topic, record)).add(record)
            return await record.settled
        finally:
            self._busy -= 1
            if not self._busy:
                self._is_idle.set()

    async def close(self) -> None:
        """Closes the connections, once what is under way has ended; it does not wait long."""
        try:
            async with asyncio.timeout(CLOSING_TIMEOUT.total_seconds()):
                await self._is_idle.wait()
        except TimeoutError:
            pass  # whoever still waits has a time-out of its own
        for lane in self._lanes.values():
            lane.cancel()
        await self._cluster.close()

    def _partition(self, topic: Topic, record: Pending) -> int:
        request = record.request
        if request.partition is not None:
            if request.partition not in topic.leaders:
                raise missing_partition(topic.name, request.partition, len(topic.leaders))
            return request.partition
        if request.key is not None:
            return int(self._partitioner(request.key, topic.partitions, ()))
        sticky = self._sticky.get(topic.name)
        if sticky is None:
            # One partition until its lane takes a batch, then another: batches are larger so.
            led = [partition for partition, leader in topic.leaders.items() if leader != NOBODY]
            sticky = self._sticky[topic.name] = self._dice.choice(led or topic.partitions)
        return sticky

    def _lane(self, topic: str, partition: int) -> Lane:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = Lane(
                topic,
                partition,
                link=self._link,
                cluster=self._cluster,
                clock=self._clock,
                tasks=self._tasks,
                took_batch=lambda: self._leave(topic, partition),
            )
        return lane

    def _leave(self, topic: str, partition: int) -> None:
        if self._sticky.get(topic) == partition:
            del self._sticky[topic]
