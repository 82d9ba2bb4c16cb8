"""A Kafka cluster as one producer sees it: who leads which partition, and the connections to those who do."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.transaction import InitProducerIdRequest

from libs.clock import Clock
from services.dispatcher.adapters.checked_addresses import Addresses
from services.dispatcher.adapters.kafka_connections import KafkaConnection, open_connection
from services.dispatcher.adapters.kafka_errors import Undelivered, identity_error, missing_partition, topic_error
from services.dispatcher.domain.outcome import PERMANENT_KINDS
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.targets.kafka import Broker, KafkaLink

TOPIC_LIFETIME = timedelta(minutes=5)
WAITS_FOR_TOPIC = tuple(timedelta(milliseconds=span) for span in (100, 200, 400))
"""Between asking for a topic that is not there yet: brokers that make topics by themselves take a moment."""
NOBODY = -1
UNREACHED = frozenset({FailureKind.CONNECT, FailureKind.NAME})


class Identity(NamedTuple):
    """What a broker knows an idempotent producer by."""

    producer_id: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What the cluster told of a topic at a moment of the clock: the leader of each partition, or NOBODY."""

    name: str
    leaders: Mapping[int, int]
    error_code: int
    asked_at: float

    @property
    def partitions(self) -> list[int]:
        """All partitions, in order."""
        return sorted(self.leaders)


class KafkaCluster:
    """Looks after the connections and the map of one cluster. Every method raises Undelivered, which is certain."""

    def __init__(self, link: KafkaLink, addresses: Addresses, clock: Clock, *, ca_file: str) -> None:
        self._link = link
        self._addresses = addresses
        self._clock = clock
        self._ca_file = ca_file
        self._connections: dict[Broker, KafkaConnection] = {}
        self._failures: dict[Broker, tuple[float, Undelivered]] = {}
        self._locks: dict[Broker, asyncio.Lock] = {}
        self._nodes: dict[int, Broker] = {}
        self._topics: dict[str, Topic] = {}
        self._asking = asyncio.Lock()

    async def any_connection(self) -> KafkaConnection:
        """A connection to any broker: an open one, else one to the first that answers of those that the job names."""
        for connection in self._connections.values():
            if connection.is_open:
                return connection
        failed = []
        for broker in self._link.brokers:
            try:
                return await self._connect(broker)
            except Undelivered as error:
                failed.append(error)
        # One that may be reached later counts for more than one that never will.
        raise next((error for error in failed if error.failure.kind not in PERMANENT_KINDS), failed[-1])

    async def topic(self, name: str) -> Topic:
        """The topic, which exists."""
        topic = self._topics.get(name)
        if topic is None or topic.error_code or topic.asked_at < self._now - TOPIC_LIFETIME.total_seconds():
            topic = await self.ask_for_topic(name)
        waits = iter(WAITS_FOR_TOPIC)
        while topic.error_code:
            error = topic_error(topic.error_code, name)
            wait = next(waits, None) if error.is_passing else None
            if wait is None:
                raise Undelivered(error.failure)
            await self._clock.sleep(wait)
            topic = await self.ask_for_topic(name)
        return topic

    async def ask_for_topic(self, name: str) -> Topic:
        """What the cluster tells of a topic now. Those who ask at the same time share the answer."""
        came_at = self._now
        async with self._asking:
            known = self._topics.get(name)
            if known is not None and known.asked_at > came_at:
                return known
            asked_at = self._now
            answer = await self._ask(await self.any_connection(), MetadataRequest([name]))
            self._nodes = {node: Broker(host.lower(), port) for node, host, port, *_ in answer.brokers}
            topic = _read_topic(answer, name, asked_at)
            self._topics[name] = topic
            return topic

    def forget_topic(self, name: str) -> None:
        """What is known of a topic may be wrong: it is asked for again before it is used."""
        self._topics.pop(name, None)

    async def leader(self, topic_name: str, partition: int) -> KafkaConnection:
        """A connection to the leader of a partition."""
        topic = await self.topic(topic_name)
        node = topic.leaders.get(partition)
        if node is None:
            raise missing_partition(topic_name, partition, len(topic.leaders))
        broker = self._nodes.get(node)
        where = f"partition {partition} of {topic_name}"
        if broker is None:
            raise Undelivered(
                Failure(kind=FailureKind.UNREADY, error=f"{where} has no leader at the moment"), is_passing=True
            )
        try:
            return await self._connect(broker)
        except Undelivered as error:
            if error.failure.kind in UNREACHED and len(self._nodes) > 1:
                # The others will choose another leader: it is not the cluster that cannot be reached.
                words = f"the leader of {where} cannot be reached: {error.failure.error}"
                raise Undelivered(Failure(kind=FailureKind.UNREADY, error=words), is_passing=True) from error
            raise

    async def new_identity(self) -> Identity:
        """An id for an idempotent producer."""
        answer = await self._ask(await self.any_connection(), InitProducerIdRequest(None, 0))
        if answer.error_code:
            raise identity_error(answer.error_code)
        return Identity(answer.producer_id, answer.producer_epoch)

    async def close(self) -> None:
        """Closes all connections."""
        for connection in self._connections.values():
            await connection.close()
        self._connections.clear()

    @property
    def _now(self) -> float:
        return self._clock.monotonic()

    async def _connect(self, broker: Broker) -> KafkaConnection:
        came_at = self._now
        async with self._locks.setdefault(broker, asyncio.Lock()):
            known = self._connections.get(broker)
            if known is not None and known.is_open:
                return known
            last = self._failures.get(broker)
            if last is not None and last[0] > came_at:
                raise last[1]
            try:
                opened = await open_connection(broker, self._link, self._addresses, ca_file=self._ca_file)
            except Undelivered as error:
                self._failures[broker] = self._now, error
                raise
            self._connections[broker] = opened
            self._failures.pop(broker, None)
            return opened

    async def _ask(self, connection: KafkaConnection, request: Any) -> Any:
        try:
            return await connection.ask(request)
        except Undelivered as error:
            if error.is_certain:
                raise
            # A question has no effect, however it ends.
            words = f"no answer from {connection.broker}"
            if error.failure.kind is FailureKind.BROKEN:
                words = f"{connection.broker} closed the connection when it was asked; does it expect sasl settings?"
            raise Undelivered(Failure(kind=FailureKind.CONNECT, error=words), is_passing=True) from error


def _read_topic(answer: Any, name: str, asked_at: float) -> Topic:
    for error_code, topic_name, *_, partitions in answer.topics:
        if topic_name != name:
            continue
        leaders = {partition: leader for _, partition, leader, *_ in partitions}
        return Topic(name=name, leaders=leaders, error_code=error_code, asked_at=asked_at)
    raise Undelivered(Failure(kind=FailureKind.UNREADY, error=f"the broker told nothing of topic {name}"))
