"""The one thread that writes, and puts what waits into one transaction."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from libs.clock import Clock
from services.history.adapters.observer import CommitObserver
from services.history.adapters.sqlite import writing
from services.history.adapters.sqlite.definitions import DefinitionUses
from services.history.adapters.sqlite.errors import unavailable
from services.history.domain.moments import to_us
from services.history.domain.records import Batch, Refused

T = TypeVar("T")
_Outcome = tuple[asyncio.Future[Any], object, Exception | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    """Something to write: a batch of records, or else any other statements."""

    future: asyncio.Future[Any]
    batch: Batch | None = None
    statements: Callable[[sqlite3.Connection], Any] | None = None


class _Close:
    """The end of the queue."""


class Writer:
    """Writes in the order of arrival; batches that follow each other share a transaction.

    Owns the connection until `close`. Belongs to the event loop that it was made in.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        ensure_in_place: Callable[[], None],
        max_commit_records: int,
        clock: Clock,
        observer: CommitObserver,
    ) -> None:
        """`ensure_in_place` raises when a commit would go to a file that nobody will find again."""
        self._connection = connection
        self._ensure_in_place = ensure_in_place
        self._max_commit_records = max_commit_records
        self._clock = clock
        self._observer = observer
        self._uses = DefinitionUses()
        self._died: Sequence[int] = ()
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Write | _Close] = SimpleQueue()
        self._held: _Write | _Close | None = None
        self._thread = Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def take(self, batch: Batch) -> asyncio.Future[Refused]:
        """Queues a batch; the future says what of it was refused, once the rest is durable."""
        future: asyncio.Future[Refused] = self._loop.create_future()
        self._queue.put(_Write(future=future, batch=batch))
        return future

    async def call(self, statements: Callable[[sqlite3.Connection], T]) -> T:
        """Runs statements in a transaction of their own, after everything queued before."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Write(future=future, statements=statements))
        return await future

    async def close(self) -> None:
        """Writes what is queued, then closes the connection."""
        self._queue.put(_Close())
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while group := self._next_group():
            outcomes = self._write(group)
            self._loop.call_soon_threadsafe(_settle, outcomes)
        self._connection.close()

    def _next_group(self) -> list[_Write]:
        """What goes into the next transaction; nothing once the queue is closed."""
        first, self._held = self._held or self._queue.get(), None
        if isinstance(first, _Close):
            return []
        group, size = [first], _size(first)
        while first.batch is not None and (following := self._poll()) is not None:
            if isinstance(following, _Close) or following.batch is None:
                self._held = following
                break
            size += _size(following)
            if size > self._max_commit_records:
                self._held = following
                break
            group.append(following)
        return group

    def _poll(self) -> _Write | _Close | None:
        try:
            return self._queue.get_nowait()
        except Empty:
            return None

    def _write(self, group: list[_Write]) -> list[_Outcome]:
        try:
            results = self._transact(group)
        except sqlite3.Error as error:
            return [(write.future, None, unavailable(error)) for write in group]
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            return [(write.future, None, error) for write in group]
        return [(write.future, result, None) for write, result in zip(group, results, strict=True)]

    def _transact(self, group: list[_Write]) -> Sequence[object]:
        began = self._clock.monotonic()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            results = self._run_statements(group)
            self._ensure_in_place()
            self._connection.execute("COMMIT")
        except BaseException:
            self._uses.forget()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        if group[0].batch is not None:
            self._observer.committed(sum(map(_size, group)), self._clock.monotonic() - began)
            if self._died:
                self._observer.died(self._died)
        return results

    def _run_statements(self, group: list[_Write]) -> Sequence[object]:
        first = group[0]
        if first.statements is not None:
            return [first.statements(self._connection)]
        batches = [write.batch for write in group if write.batch is not None]
        taken = writing.take(self._connection, batches)
        self._died = taken.died
        self._uses.note(self._connection, batches, taken.records, to_us(self._clock.now()))
        return taken.refused


def _size(write: _Write) -> int:
    return 0 if write.batch is None else len(write.batch.records)


def _settle(outcomes: list[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.cancelled():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
