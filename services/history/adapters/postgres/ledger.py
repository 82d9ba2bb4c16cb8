"""The writing side of the ledger over a PostgreSQL database."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from libs.clock import Clock
from libs.log import get_logger
from services.history.adapters.observer import CommitObserver
from services.history.adapters.postgres import dead_letters, decisions, definitions, expiry, reading, writing
from services.history.adapters.postgres.archive import PostgresArchive, Readers
from services.history.adapters.postgres.errors import FAULTS, LedgerRefusedError, is_hopeless, told
from services.history.adapters.postgres.partitions import DAY_US
from services.history.adapters.postgres.schema import migrate
from services.history.adapters.postgres.session import Session, Target
from services.history.adapters.postgres.writer import Writer
from services.history.domain.dead_letters import Choice
from services.history.domain.decisions import Decision
from services.history.domain.moments import to_us
from services.history.domain.records import Batch, Refused
from services.history.ports import Seal

PROBE_BYTES = 64 * 1024
RETRY_AFTER = timedelta(seconds=1)
TELL_EVERY = 5
"""Of the tries to reach the database, one in so many is logged."""

logger = get_logger()


class PostgresLedger:
    """See ports.Ledger. Made by `open_postgres`."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def take(self, batch: Batch) -> asyncio.Future[Refused]:
        """See ports.Ledger."""
        return self._writer.take(batch)

    async def seal(self, shard: int, epoch: int, watermark_us: int) -> Seal:
        """See ports.Ledger. Answers with what is there once the epoch is durable, so that it locks nobody out."""
        return await self._writer.call_and_read(
            partial(writing.seal, shard=shard, epoch=epoch),
            partial(reading.sealed, shard=shard, watermark_us=watermark_us),
        )

    async def expire(self, before_us: int, limit: int) -> int:
        """See ports.Ledger. Days that are wholly old go at once, whatever the limit; a day that is not stays whole."""
        async with self._readers.session() as session:
            return await expiry.expire(session, self._writer.call, before_us, limit)

    async def sweep(self, before_us: int, limit: int) -> int:
        """See ports.Ledger."""

        async def statements(session: Session, known: writing.Known) -> int:
            await writing.begin(session, known)
            return await definitions.sweep(session, before_us, limit)

        return await self._writer.call(statements)

    async def delete_dead_letters(self, choice: Choice, limit: int) -> int:
        """See ports.Ledger."""

        async def statements(session: Session, known: writing.Known) -> int:
            await writing.begin(session, known)
            return await dead_letters.delete(session, choice, limit)

        return await self._writer.call(statements)

    async def expire_dead_letters(self, before_us: int, most: int, limit: int) -> int:
        """See ports.Ledger."""
        async with self._readers.session() as session:
            stale = await dead_letters.stale(session, before_us, most, limit)

        async def statements(session: Session, known: writing.Known) -> int:
            await writing.begin(session, known)
            return await dead_letters.delete_these(session, stale)

        return await self._writer.call(statements) if stale else 0

    async def record_decisions(self, told: Sequence[Decision]) -> frozenset[bytes]:
        """See ports.Ledger."""

        async def statements(session: Session, known: writing.Known) -> frozenset[bytes]:
            await writing.begin(session, known)
            return await decisions.insert(session, told)

        return await self._writer.call(statements)

    async def expire_decisions(self, before_us: int, limit: int) -> int:
        """See ports.Ledger."""
        async with self._readers.session() as session:
            old = await decisions.old(session, before_us, limit)

        async def statements(session: Session, known: writing.Known) -> int:
            await writing.begin(session, known)
            return await decisions.delete(session, old)

        return await self._writer.call(statements) if old else 0

    async def probe(self) -> None:
        """See ports.Ledger."""

        async def fill(session: Session, known: writing.Known) -> None:
            await writing.begin(session, known)
            await session.execute("INSERT INTO probes VALUES ($1)", os.urandom(PROBE_BYTES))

        async def clear(session: Session, known: writing.Known) -> None:
            await writing.begin(session, known)
            await session.execute("TRUNCATE probes")

        await self._writer.call(fill)
        await self._writer.call(clear)


@asynccontextmanager
async def open_postgres(
    target: Target, *, clock: Clock, observer: CommitObserver, max_commit_records: int = 5_000, connections: int = 4
) -> AsyncIterator[tuple[PostgresLedger, PostgresArchive]]:
    """Both sides of the ledger, once the database answers. What is queued when it closes is written.

    Waits while the database is away. Raises LedgerRefusedError when it cannot be used as it is.
    """
    await _prepare(target, clock)
    readers = Readers(target, connections=connections)
    await readers.open()
    writer = Writer(target, max_commit_records=max_commit_records, clock=clock, observer=observer)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(writer.run())
            try:
                yield PostgresLedger(writer, readers), PostgresArchive(readers)
            finally:
                writer.close()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    finally:
        await readers.close()


async def _prepare(target: Target, clock: Clock) -> None:
    """Makes the tables or brings them up to date, as soon as the database answers."""
    tries = 0
    while True:
        try:
            return await _migrate(target, clock)
        except FAULTS as error:
            if is_hopeless(error):
                raise LedgerRefusedError(f"the ledger's database refuses: {told(error)}") from error
            if tries % TELL_EVERY == 0:
                logger.warning("waiting for the ledger's database", error=told(error))
        tries += 1
        await clock.sleep(RETRY_AFTER)


async def _migrate(target: Target, clock: Clock) -> None:
    session = await Session.open(target)
    try:
        await migrate(session, to_us(clock.now()) // DAY_US)
    finally:
        session.abandon()
