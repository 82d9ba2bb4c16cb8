"""What happened to executions, on its way to history: gathered in batches, sent until it is durable."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn, Protocol

from chronos.history.v1 import ledger_service_pb2

from libs.clock import Clock
from libs.faults import Unavailable
from libs.log import get_logger
from services.dispatcher.definitions import ToldDefinitions
from services.dispatcher.held import OVER, Held, Stage
from services.dispatcher.ports import Acknowledgement, Ledger, LedgerStream
from services.dispatcher.recent import End

MOST_BATCH_BYTES = 2 * 1024 * 1024
RECONNECT_INTERVAL = timedelta(milliseconds=250)
CHECK_INTERVAL = timedelta(seconds=1)
LONGEST_SILENCE = timedelta(seconds=15)


class Watcher(Protocol):
    """Who is told what the ledger made of a record."""

    def recorded(self, held: Held) -> None:
        """A start is durable."""

    def finished(self, held: Held) -> None:
        """An end is durable."""

    def accepted(self, held: Held) -> None:
        """It is durable that the target has accepted."""

    def refused(self, held: Held, *, epoch: int, is_final: bool) -> bool:
        """That epoch is over. Answers whether to record the execution again."""


class Claimant(Protocol):
    """Who is told what the ledger made of a claim."""

    def granted(self, held: Held) -> None:
        """Nobody else may begin the execution."""

    def refused(self, held: Held) -> None:
        """Somebody else has begun it, or it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderLimits:
    """How records are gathered and how many may be on their way."""

    flush_interval: timedelta
    batch_size: int
    batches_in_flight: int
    most_records: int
    most_response_bytes: int


@dataclass(slots=True, eq=False)
class _Sent:
    """A record as it was sent."""

    held: Held
    epoch: int
    delivery: int
    stage: Stage

    @property
    def is_final(self) -> bool:
        return self.stage in OVER

    @property
    def is_overtaken(self) -> bool:
        """Whether it is an end that the ledger does not take any more: the execution was handed over anew since."""
        held = self.held
        return self.is_final and not End(held.progress.status, self.delivery).counts_for(held.delivery.delivery)


class Recorder:
    """Records executions as they are when their batch leaves, so that a start and an end close together are one.

    What history has not acknowledged is sent again on the next stream. Nothing is ever thrown away: `has_room` says
    when no more should be taken on.
    """

    def __init__(
        self,
        ledger: Ledger,
        watcher: Watcher,
        claimant: Claimant,
        write_record: Callable[[Held, ledger_service_pb2.ExecutionRecord], None],
        clock: Clock,
        limits: RecorderLimits,
    ) -> None:
        self._ledger = ledger
        self._watcher = watcher
        self._claimant = claimant
        self._told = ToldDefinitions()
        self._write_record = write_record
        self._clock = clock
        self._limits = limits
        self._pending: OrderedDict[str, Held] = OrderedDict()
        self._sent: dict[int, list[_Sent]] = {}
        self._sent_count = 0
        self._response_bytes = 0
        self._batch = 0
        self._last_sign = 0.0
        self._wake = asyncio.Event()
        self._has_sent = asyncio.Event()
        self._log = get_logger()

    @property
    def backlog(self) -> int:
        """Records that are not durable yet."""
        return len(self._pending) + self._sent_count

    @property
    def has_room(self) -> bool:
        """Whether more executions should be taken on."""
        return self.backlog < self._limits.most_records and self._response_bytes < self._limits.most_response_bytes

    def put(self, held: Held) -> None:
        """Records the execution as it is now, or as it will be when the batch leaves. Once it is over, only once."""
        if held.stage in OVER:
            self._response_bytes += _response_size(held)
        self._queue(held)

    async def run(self) -> None:
        """Keeps a stream to history open and sends, until cancelled."""
        while True:
            try:
                async with self._ledger.open() as stream:
                    self._told = ToldDefinitions()
                    self._log.info("ledger connected", records_waiting=len(self._pending))
                    await self._converse(stream)
            except* Unavailable as group:
                error = group.exceptions[0]
                self._log.warning("ledger away, records wait", error=str(error), records_waiting=self.backlog)
            self._take_back()
            await self._clock.sleep(RECONNECT_INTERVAL)

    async def _converse(self, stream: LedgerStream) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send(stream))
            group.create_task(self._receive(stream))
            group.create_task(self._expect_signs())

    async def _send(self, stream: LedgerStream) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._clock.sleep(self._limits.flush_interval)
            while self._pending and len(self._sent) < self._limits.batches_in_flight:
                if not self._sent:
                    self._last_sign = self._clock.monotonic()
                batch = self._next_batch()
                if batch.records:
                    await stream.send(batch)

    async def _receive(self, stream: LedgerStream) -> NoReturn:
        async for acknowledgement in stream.acknowledgements():
            self._last_sign = self._clock.monotonic()
            self._settle(acknowledgement)
        raise Unavailable("history closed the stream")

    async def _expect_signs(self) -> None:
        while True:
            self._has_sent.clear()
            if not self._sent:
                await self._has_sent.wait()
            await self._clock.sleep(CHECK_INTERVAL)
            silence = timedelta(seconds=self._clock.monotonic() - self._last_sign)
            if self._sent and silence > LONGEST_SILENCE:
                raise Unavailable(f"history acknowledged nothing for {silence.total_seconds():.0f} s")

    def _next_batch(self) -> ledger_service_pb2.RecordRequest:
        batch = ledger_service_pb2.RecordRequest(batch=self._batch + 1)
        self._told.grow_old(self._clock.monotonic())
        sent: list[_Sent] = []
        size = 0
        while self._pending and len(sent) < self._limits.batch_size and size < MOST_BATCH_BYTES:
            held = self._pending.popitem(last=False)[1]
            if held.stage is Stage.DROPPED:
                continue
            record = batch.records.add()
            self._write_record(held, record)
            self._told.tell(held.delivery.plan, record)
            size += record.ByteSize()
            sent.append(_Sent(held, held.delivery.epoch, held.delivery.delivery, held.stage))
        if sent:
            self._batch += 1
            self._sent[self._batch] = sent
            self._sent_count += len(sent)
            self._has_sent.set()
        return batch

    def _settle(self, acknowledgement: Acknowledgement) -> None:
        batch = self._sent.pop(acknowledgement.batch, [])
        self._sent_count -= len(batch)
        stale, claimed = acknowledgement.stale_execution_ids, acknowledgement.claimed_execution_ids
        for sent in batch:
            if sent.stage is Stage.CLAIMING and sent.held.id in claimed:
                self._told.forget(sent.held.delivery.plan)
                self._claimant.refused(sent.held)
            elif sent.held.id in stale:
                self._told.forget(sent.held.delivery.plan)
                if self._watcher.refused(sent.held, epoch=sent.epoch, is_final=sent.is_final):
                    self._queue(sent.held)
                    continue
            elif sent.is_overtaken:
                self._queue(sent.held)
                continue
            elif sent.stage is Stage.ENDED:
                self._watcher.finished(sent.held)
            elif sent.stage is Stage.ACCEPTED:
                self._watcher.accepted(sent.held)
            elif sent.stage is Stage.CLAIMING:
                self._claimant.granted(sent.held)
            else:
                self._watcher.recorded(sent.held)
            if sent.is_final:
                self._response_bytes -= _response_size(sent.held)
        if self._pending:
            self._wake.set()

    def _take_back(self) -> None:
        unacknowledged = OrderedDict((sent.held.id, sent.held) for batch in self._sent.values() for sent in batch)
        self._pending = unacknowledged | self._pending
        self._sent.clear()
        self._sent_count = 0
        if self._pending:
            self._wake.set()

    def _queue(self, held: Held) -> None:
        self._pending[held.id] = held
        self._wake.set()


def _response_size(held: Held) -> int:
    verdict = held.progress.verdict
    return len(verdict.response) if verdict is not None else 0
