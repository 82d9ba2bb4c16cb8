"""The way into one partition: records are gathered into batches, and one batch is under way at a time.

This is why aiokafka's own producer is not used: it repeats requests by itself, tells only what came of the last try,
and goes on with records that nobody waits for. A job that must not run twice needs to know whether any try may have had
an effect, and a record that timed out before it left must not leave later.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta

from libs.clock import Clock
from libs.log import get_logger
from services.dispatcher.adapters.kafka_batches import NOBODY, Pending, pack, produce, receipt
from services.dispatcher.adapters.kafka_clusters import KafkaCluster
from services.dispatcher.adapters.kafka_errors import Undelivered
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.targets.kafka import KafkaLink

LINGER = timedelta(milliseconds=2)
"""What the first record of a batch waits for others; later ones wait for the batch before them."""
MOST_BATCH_BYTES = 512 * 1024
"""Well below what brokers take by default (1 MB)."""
WAITS = tuple(timedelta(milliseconds=span) for span in (100, 200, 400))
"""Between tries of a batch of which nothing was appended. The job's own retries come on top."""
WAITS_WHEN_UNCLEAR = tuple(timedelta(milliseconds=span) for span in (100, 200, 400, 800, 1600, 3200))
"""Between tries of an idempotent batch that may have been appended: long enough for a broker to come back."""
LAST_SEQUENCE = 2**31 - 1_000_000
INTERNAL = Failure(kind=FailureKind.INTERNAL, error="internal error in the dispatcher; its log has the details")


class Lane:
    """Delivers the records of one partition, in the order in which they come unless some are tried again."""

    def __init__(
        self,
        topic: str,
        partition: int,
        *,
        link: KafkaLink,
        cluster: KafkaCluster,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        took_batch: Callable[[], None],
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._link = link
        self._cluster = cluster
        self._clock = clock
        self._tasks = tasks
        self._took_batch = took_batch
        self._waiting: deque[Pending] = deque()
        self._task: asyncio.Task[None] | None = None
        self._identity = NOBODY
        self._sequence = 0
        self._log = get_logger()

    def add(self, record: Pending) -> None:
        """Takes a record on; its future is settled, unless its sender leaves before."""
        self._waiting.append(record)
        if self._task is None:
            self._task = self._tasks.create_task(self._run())

    def cancel(self) -> None:
        """Stops at once, whatever is under way."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._clock.sleep(LINGER)
            while records := self._take():
                await self._deliver_safely(records)
        finally:
            self._task = None

    def _take(self) -> list[Pending]:
        self._took_batch()
        taken: list[Pending] = []
        size = 0
        while self._waiting:
            record = self._waiting[0]
            size += record.size
            if taken and size > MOST_BATCH_BYTES:
                break
            self._waiting.popleft()
            if record.is_awaited:
                taken.append(record)
        return taken

    async def _deliver_safely(self, records: Sequence[Pending]) -> None:
        try:
            await self._deliver(records)
        except Exception as error:  # noqa: BLE001 - the lane must go on, and nobody else hears of it
            self._log.error("batch failed unexpectedly", topic=self._topic, exc_info=error)
            self._identity = NOBODY
            _settle(records, INTERNAL)

    async def _deliver(self, records: Sequence[Pending]) -> None:
        """Tries until it is clear what came of the batch, or for long enough."""
        waits = iter(WAITS)
        while records := [record for record in records if record.is_awaited]:
            try:
                await self._begin_identity()
                batch = pack(records, self._link.compression, self._identity, self._sequence)
                await self._send(records, batch)
                return
            except Undelivered as error:
                if error.is_of_identity:
                    self._identity = NOBODY
                if not error.is_certain:
                    await self._clear_up(records, batch, error)
                    return
                _mark(records, was_sent=False)
                if error.is_of_one and len(records) > 1:
                    await self._deliver(records[: len(records) // 2])
                    await self._deliver(records[len(records) // 2 :])
                    return
                wait = next(waits, None) if error.is_passing else None
                if wait is None:
                    _settle(records, error.failure)
                    return
            await self._wait_for_better(wait)

    async def _clear_up(self, records: Sequence[Pending], batch: bytes, first: Undelivered) -> None:
        """Goes on with a batch that may have been appended: the very same one, which an idempotent broker knows again.

        Where it stays unclear, the answer is what was unclear first.
        """
        if self._link.is_idempotent:
            for wait in WAITS_WHEN_UNCLEAR:
                await self._wait_for_better(wait)
                if not any(record.is_awaited for record in records):
                    break
                try:
                    await self._send(records, batch)
                    return
                except Undelivered as error:
                    if error.is_of_identity or not error.is_passing:
                        break
        # The broker may take the batch yet: what comes next must not look like a gap or a repetition.
        self._identity = NOBODY
        self._cluster.forget_topic(self._topic)
        _settle(records, first.failure)

    async def _send(self, records: Sequence[Pending], batch: bytes) -> None:
        leader = await self._cluster.leader(self._topic, self._partition)
        _mark(records, was_sent=True)
        offset = await produce(leader, self._link, self._topic, self._partition, batch)
        self._sequence += len(records)
        for place, record in enumerate(records):
            record.settle(receipt(self._link, self._partition, None if offset is None else offset + place))

    async def _begin_identity(self) -> None:
        if self._link.is_idempotent and (self._identity is NOBODY or self._sequence > LAST_SEQUENCE):
            self._identity = await self._cluster.new_identity()
            self._sequence = 0

    async def _wait_for_better(self, wait: timedelta) -> None:
        await self._clock.sleep(wait)
        try:
            await self._cluster.ask_for_topic(self._topic)
        except Undelivered:
            return  # the next try will say the same, to those who wait


def _mark(records: Sequence[Pending], *, was_sent: bool) -> None:
    for record in records:
        record.was_sent = was_sent


def _settle(records: Sequence[Pending], failure: Failure) -> None:
    for record in records:
        record.settle(failure)
