"""The one task of a replica that writes, and puts what waits into one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from libs.clock import Clock
from services.history.adapters.observer import CommitObserver
from services.history.adapters.postgres import writing
from services.history.adapters.postgres.definitions import DefinitionUses
from services.history.adapters.postgres.errors import FAULTS, unavailable
from services.history.adapters.postgres.session import Session, Target
from services.history.domain.moments import to_us
from services.history.domain.records import Batch, Refused

T = TypeVar("T")
Statements = Callable[[Session, writing.Known], Awaitable[T]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    """Something to write: a batch of records, or else any other statements."""

    future: asyncio.Future[Any]
    batch: Batch | None = None
    statements: Statements[Any] | None = None
    afterwards: Callable[[Session], Awaitable[Any]] | None = None
    """What the result is read with, once the transaction of `statements` is durable."""

    @property
    def size(self) -> int:
        return 0 if self.batch is None else len(self.batch.records)


class Writer:
    """Writes in the order of arrival; batches that follow each other share a transaction.

    After any fault of the database it goes on with a new connection. What was under way then fails, even where it may
    have been committed: senders tell it again, and telling again changes nothing.
    """

    def __init__(self, target: Target, *, max_commit_records: int, clock: Clock, observer: CommitObserver) -> None:
        self._target = target
        self._max_commit_records = max_commit_records
        self._clock = clock
        self._observer = observer
        self._known = writing.Known()
        self._uses = DefinitionUses()
        self._died: Sequence[int] = ()
        self._queue: asyncio.Queue[_Write | None] = asyncio.Queue()
        self._held: list[_Write | None] = []
        self._session: Session | None = None

    def take(self, batch: Batch) -> asyncio.Future[Refused]:
        """Queues a batch; the future says what of it was refused, once the rest is durable."""
        future: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Write(future=future, batch=batch))
        return future

    async def call(self, statements: Statements[T]) -> T:
        """Runs statements in a transaction of their own, after everything queued before."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Write(future=future, statements=statements))
        return await future

    async def call_and_read(self, statements: Statements[object], afterwards: Callable[[Session], Awaitable[T]]) -> T:
        """The same; then reads in the same session, which cannot be behind, and without holding anybody up."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Write(future=future, statements=statements, afterwards=afterwards))
        return await future

    def close(self) -> None:
        """Lets `run` end once everything queued before is written."""
        self._queue.put_nowait(None)

    async def run(self) -> None:
        """Writes until `close`."""
        try:
            while group := await self._next_group():
                _settle(group, await self._write(group))
        finally:
            if self._session is not None:
                self._session.abandon()

    async def _next_group(self) -> list[_Write]:
        """What goes into the next transaction; nothing once the queue is closed."""
        first = self._held.pop() if self._held else await self._queue.get()
        if first is None:
            return []
        group, size = [first], first.size
        while first.batch is not None and not self._queue.empty():
            following = self._queue.get_nowait()
            size += 0 if following is None else following.size
            if following is None or following.batch is None or size > self._max_commit_records:
                self._held.append(following)
                break
            group.append(following)
        return group

    async def _write(self, group: list[_Write]) -> Sequence[object] | Exception:
        try:
            return await self._transact(group)
        except asyncpg.CharacterNotInRepertoireError:
            try:
                return await self._transact([_cleaned(write) for write in group])
            except FAULTS as error:
                return unavailable(error)
        except FAULTS as error:
            return unavailable(error)
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            return error

    async def _transact(self, group: list[_Write]) -> Sequence[object]:
        began = self._clock.monotonic()
        session = await self._connected()
        try:
            async with session.transaction():
                results = await self._run_statements(session, group)
            if (afterwards := group[0].afterwards) is not None:
                results = [await afterwards(session)]
        except BaseException as error:
            self._known.forget()
            self._uses.forget()
            if not isinstance(error, Exception) or isinstance(error, FAULTS):
                session.abandon()
            raise
        if group[0].batch is not None:
            self._observer.committed(sum(write.size for write in group), self._clock.monotonic() - began)
            if self._died:
                self._observer.died(self._died)
        return results

    async def _run_statements(self, session: Session, group: list[_Write]) -> Sequence[object]:
        statements = group[0].statements
        if statements is not None:
            return [await statements(session, self._known)]
        batches = [write.batch for write in group if write.batch is not None]
        now_us = to_us(self._clock.now())
        taken = await writing.take(session, self._known, batches, now_us)
        self._died = taken.died
        await self._uses.note(session, batches, taken.records, now_us)
        return taken.refused

    async def _connected(self) -> Session:
        """A session that answers: the one from before may have ended since, with the server or with the network."""
        if self._session is not None and not self._session.is_closed:
            return self._session
        self._session = await Session.open(self._target)
        self._known.forget()
        return self._session


def _cleaned(write: _Write) -> _Write:
    batch = None if write.batch is None else writing.without_nul(write.batch)
    return _Write(future=write.future, batch=batch, statements=write.statements)


def _settle(group: list[_Write], outcome: Sequence[object] | Exception) -> None:
    for place, write in enumerate(group):
        if write.future.cancelled():
            continue
        if isinstance(outcome, Exception):
            write.future.set_exception(outcome)
        else:
            write.future.set_result(outcome[place])
