"""The database that all histories share, and how each of them talks to it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from libs.faults import Unavailable
from services.history.domain.dead_letters import Choice, DeadLetter
from services.history.domain.decisions import Decision
from services.history.domain.records import ACCEPTED, Batch, Change, Definition, Record, Refused, Status
from services.history.ports import DeadLetterQuery, DecisionQuery, ExecutionQuery, Page, Position, Seal, Search
from tests.fakes.ledger import FakeLedger
from tests.simulation.replies import Messages, NoReplyError, ask

T = TypeVar("T")
DATABASE = "database"
PATIENCE = 5.0
MOST_BATCHES = 64
ONLY_BY_OWNERS = {Status.PENDING, Status.RUNNING, Status.SKIPPED, Status.LOST}


class Database(FakeLedger):
    """One ledger in memory with the rules of the real one; it takes everything in one order, as a row lock makes it.

    `problems` are starts and decisions that were taken from owners whose epoch was over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def write(self, batches: Sequence[Batch]) -> list[Refused]:
        """Commits batches together. Raises Unavailable when it cannot."""
        self._ensure_writable()
        return [self._take(batch) for batch in batches]

    def begin_epoch(self, shard: int, epoch: int, watermark_us: int) -> Seal:
        """See ports.Ledger.seal."""
        return _at_once(self.seal(shard, epoch, watermark_us))

    @property
    def all_records(self) -> list[Record]:
        """Everything that is known at the end."""
        return list(self._records.values())

    def _put(self, news: Record) -> None:
        sealed = self._epochs.get(news.shard, 0)
        is_acceptance = news.reason_code == ACCEPTED  # something that was done, as an end is
        if news.status in ONLY_BY_OWNERS and news.epoch < sealed and not is_acceptance:
            told = f"{Status(news.status).name} of {news.namespace}/{news.job_id} {news.id.hex()}"
            self.problems.append(f"{told} was taken from epoch {news.epoch} of shard {news.shard}; {sealed} is sealed")
        super()._put(news)


class DatabaseClient:
    """A history's side of the ports Ledger and Archive, over the network."""

    def __init__(self, database: Database, network: Messages, node: str) -> None:
        self._database = database
        self._network = network
        self._node = node
        self._batches: deque[tuple[Batch, asyncio.Future[Refused]]] = deque()
        self._has_batches = asyncio.Event()
        self._turn = asyncio.Lock()

    def take(self, batch: Batch) -> "asyncio.Future[Refused]":
        """See ports.Ledger."""
        future: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()
        self._batches.append((batch, future))
        self._has_batches.set()
        return future

    async def run(self) -> None:
        """Commits what was taken, in its order."""
        while True:
            await self._has_batches.wait()
            async with self._turn:
                await self._commit()

    async def seal(self, shard: int, epoch: int, watermark_us: int) -> Seal:
        """See ports.Ledger."""
        async with self._turn:
            while self._batches:
                await self._commit()
            return await self._ask(lambda: self._database.begin_epoch(shard, epoch, watermark_us))

    async def expire(self, before_us: int, limit: int) -> int:
        """See ports.Ledger."""
        return await self._ask(lambda: _at_once(self._database.expire(before_us, limit)))

    async def sweep(self, before_us: int, limit: int) -> int:
        """See ports.Ledger."""
        return await self._ask(lambda: _at_once(self._database.sweep(before_us, limit)))

    async def delete_dead_letters(self, choice: Choice, limit: int) -> int:
        """See ports.Ledger."""
        return await self._ask(lambda: _at_once(self._database.delete_dead_letters(choice, limit)))

    async def expire_dead_letters(self, before_us: int, most: int, limit: int) -> int:
        """See ports.Ledger."""
        return await self._ask(lambda: _at_once(self._database.expire_dead_letters(before_us, most, limit)))

    async def record_decisions(self, decisions: Sequence[Decision]) -> frozenset[bytes]:
        """See ports.Ledger."""
        return await self._ask(lambda: _at_once(self._database.record_decisions(decisions)))

    async def expire_decisions(self, before_us: int, limit: int) -> int:
        """See ports.Ledger."""
        return await self._ask(lambda: _at_once(self._database.expire_decisions(before_us, limit)))

    async def probe(self) -> None:
        """See ports.Ledger."""
        await self._ask(lambda: _at_once(self._database.probe()))

    async def find(self, namespace: str, execution_id: bytes) -> Record | None:
        """See ports.Archive."""
        return await self._ask(lambda: _at_once(self._database.find(namespace, execution_id)))

    async def page(self, query: ExecutionQuery) -> Page:
        """See ports.Archive."""
        return await self._ask(lambda: _at_once(self._database.page(query)))

    async def search(self, search: Search) -> list[Record]:
        """See ports.Archive."""
        return await self._ask(lambda: _at_once(self._database.search(search)))

    async def definitions(self, ids: Sequence[bytes]) -> Mapping[bytes, Definition]:
        """See ports.Archive."""
        return await self._ask(lambda: _at_once(self._database.definitions(ids)))

    async def dead_letters(self, query: DeadLetterQuery) -> list[DeadLetter]:
        """See ports.Archive."""
        return await self._ask(lambda: _at_once(self._database.dead_letters(query)))

    async def count_dead_letters(self, choice: Choice | None = None) -> Mapping[int, int]:
        """See ports.Archive."""
        return await self._ask(lambda: _at_once(self._database.count_dead_letters(choice)))

    async def decisions(self, query: DecisionQuery) -> list[Decision]:
        """See ports.Archive."""
        return await self._ask(lambda: _at_once(self._database.decisions(query)))

    async def position(self) -> Position:
        """See ports.Archive."""
        return await self._ask(lambda: _at_once(self._database.position()))

    async def changes(self, after_seq: int, limit: int) -> list[Change]:
        """See ports.Archive."""
        return await self._ask(lambda: _at_once(self._database.changes(after_seq, limit)))

    async def _commit(self) -> None:
        taken = [self._batches.popleft() for _ in range(min(len(self._batches), MOST_BATCHES))]
        if not self._batches:
            self._has_batches.clear()
        if not taken:
            return
        try:
            refused = await self._ask(lambda: self._database.write([batch for batch, _ in taken]))
        except Unavailable as fault:
            for _, future in taken:
                if not future.done():
                    future.set_exception(fault)
            return
        for (_, future), one in zip(taken, refused, strict=True):
            if not future.done():
                future.set_result(one)

    async def _ask(self, answer: Callable[[], T]) -> T:
        try:
            return await ask(self._network, self._node, DATABASE, answer, seconds=PATIENCE)
        except NoReplyError as error:
            raise Unavailable(str(error), reason="LEDGER_ERROR") from error


@asynccontextmanager
async def open_client(database: Database, network: Messages, node: str) -> AsyncIterator[DatabaseClient]:
    """A client whose commits run for as long as the context is open."""
    client = DatabaseClient(database, network, node)
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(client.run())
        try:
            yield client
        finally:
            writer.cancel()


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waited")
