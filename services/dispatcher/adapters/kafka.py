"""Kafka records, in batches over shared connections."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from libs.clock import Clock
from services.dispatcher.adapters.checked_addresses import Addresses
from services.dispatcher.adapters.kafka_batches import Pending
from services.dispatcher.adapters.kafka_clusters import KafkaCluster
from services.dispatcher.adapters.kafka_errors import Undelivered, timed_out
from services.dispatcher.adapters.kafka_producers import KafkaProducer
from services.dispatcher.adapters.pool import Pool, open_pool
from services.dispatcher.domain.results import Failure, Receipt
from services.dispatcher.domain.targets.kafka import KafkaLink, KafkaRequest

MOST_PRODUCERS = 128
IDLE_LIFETIME = timedelta(minutes=5)


class KafkaSender:
    """Produces records. The time-out covers connecting, waiting for a batch, and the acknowledgement."""

    def __init__(self, producers: Pool[KafkaLink, KafkaProducer]) -> None:
        self._producers = producers

    async def send(self, request: KafkaRequest) -> Receipt | Failure:
        """The broker's receipt, or why there is none, within the request's timeout.

        A record that left before the time was over may be appended all the same, also later.
        """
        record = Pending(request, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(request.timeout.total_seconds()):
                producer = await self._producers.get(request.link)
                return await producer.deliver(record)
        except TimeoutError:
            return timed_out(request.timeout, request.link.brokers[0], was_sent=record.was_sent)
        except Undelivered as error:
            return error.failure


@asynccontextmanager
async def open_kafka_sender(
    addresses: Addresses, clock: Clock, dice: random.Random, *, ca_file: str = ""
) -> AsyncIterator[KafkaSender]:
    """A sender; its connections are closed at the end. `ca_file` names authorities to trust beside the system's."""

    async def open_producer(link: KafkaLink) -> KafkaProducer:
        cluster = KafkaCluster(link, addresses, clock, ca_file=ca_file)
        try:
            await cluster.any_connection()
        except BaseException:
            await cluster.close()
            raise
        return KafkaProducer(link, cluster, clock, dice, tasks)

    async with (
        asyncio.TaskGroup() as tasks,
        open_pool(
            open_producer, lambda producer: producer.close(), limit=MOST_PRODUCERS, idle=IDLE_LIFETIME, clock=clock
        ) as producers,
    ):
        yield KafkaSender(producers)
