"""History as a dispatcher sees it, in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from chronos.history.v1 import execution_pb2, ledger_service_pb2

from libs.faults import Unavailable
from services.dispatcher.ports import Acknowledgement

Record = ledger_service_pb2.ExecutionRecord
LIVE = (execution_pb2.Execution.PENDING, execution_pb2.Execution.RUNNING)


class FakeHistory:
    """Takes records and acknowledges them, unless told otherwise."""

    def __init__(self) -> None:
        self.batches: list[list[Record]] = []
        self.is_away = False
        self.is_mute = False
        """Takes batches and acknowledges nothing."""
        self.sealed: dict[int, int] = {}
        """Epoch that is sealed for a shard: records of live executions from older epochs are refused."""
        self.claimants: dict[str, str] = {}
        """Who has claimed an execution."""
        self.opened = 0
        self._streams: set[FakeHistoryStream] = set()
        self._changed = asyncio.Event()

    @property
    def records(self) -> list[Record]:
        return [record for batch in self.batches for record in batch]

    def of(self, execution_id: str) -> list[execution_pb2.Execution]:
        return [record.execution for record in self.records if record.execution.id == execution_id]

    def final(self, execution_id: str) -> execution_pb2.Execution | None:
        return next((execution for execution in self.of(execution_id) if execution.status not in LIVE), None)

    async def wait_for(self, is_there: Callable[["FakeHistory"], bool]) -> None:
        async with asyncio.timeout(10):
            while not is_there(self):
                self._changed.clear()
                await self._changed.wait()

    async def wait_for_final(self, execution_id: str) -> execution_pb2.Execution:
        await self.wait_for(lambda history: history.final(execution_id) is not None)
        execution = self.final(execution_id)
        assert execution is not None
        return execution

    @asynccontextmanager
    async def open(self) -> AsyncIterator["FakeHistoryStream"]:
        if self.is_away:
            raise Unavailable("no history is running")
        self.opened += 1
        stream = FakeHistoryStream(self)
        self._streams.add(stream)
        self._changed.set()
        try:
            yield stream
        finally:
            self._streams.discard(stream)

    def break_streams(self) -> None:
        """Breaks every open stream; what was not acknowledged is lost."""
        for stream in self._streams:
            stream.acks.put_nowait(None)

    def acknowledge(self) -> None:
        """Acknowledges everything that was taken, late."""
        for stream in self._streams:
            for number in range(1, len(self.batches) + 1):
                stream.acks.put_nowait(Acknowledgement(batch=number))

    def take(self, batch: ledger_service_pb2.RecordRequest) -> Acknowledgement:
        self.batches.append(list(batch.records))
        self._changed.set()
        stale = {record.execution.id for record in batch.records if self._is_stale(record)}
        claimed = {record.execution.id for record in batch.records if record.is_claim and not self._claim(record)}
        return Acknowledgement(
            batch=batch.batch, stale_execution_ids=frozenset(stale), claimed_execution_ids=frozenset(claimed - stale)
        )

    def _is_stale(self, record: Record) -> bool:
        return record.execution.status in LIVE and record.epoch < self.sealed.get(record.shard, 0)

    def _claim(self, record: Record) -> bool:
        if self._is_stale(record):
            return False
        return self.claimants.setdefault(record.execution.id, record.claimant) == record.claimant


class FakeHistoryStream:
    def __init__(self, history: FakeHistory) -> None:
        self._history = history
        self.acks: asyncio.Queue[Acknowledgement | None] = asyncio.Queue()

    async def send(self, batch: ledger_service_pb2.RecordRequest) -> None:
        if self._history.is_away:
            raise Unavailable("the stream broke")
        acknowledgement = self._history.take(batch)
        if not self._history.is_mute:
            self.acks.put_nowait(acknowledgement)

    async def acknowledgements(self) -> AsyncIterator[Acknowledgement]:
        while (acknowledgement := await self.acks.get()) is not None:
            yield acknowledgement
        raise Unavailable("the stream broke")
