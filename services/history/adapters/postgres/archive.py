"""The reading side of the ledger over a PostgreSQL database."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from services.history.adapters.postgres import dead_letters, decisions, reading
from services.history.adapters.postgres.errors import told_as_unavailable
from services.history.adapters.postgres.session import Session, Target
from services.history.domain.dead_letters import Choice, DeadLetter
from services.history.domain.decisions import Decision
from services.history.domain.records import Change, Definition, Record
from services.history.ports import DeadLetterQuery, DecisionQuery, ExecutionQuery, Page, Position, Search


class Readers:
    """Connections to read with, made when they are needed."""

    def __init__(self, target: Target, *, connections: int) -> None:
        self._pool: Any = asyncpg.create_pool(**target.options(), min_size=0, max_size=connections)

    async def open(self) -> None:
        """Must come before the first use; does not connect yet."""
        await self._pool

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A session of this caller alone. Raises Unavailable for what goes wrong with it."""
        with told_as_unavailable():
            async with self._pool.acquire() as connection:
                yield Session(connection)

    async def close(self) -> None:
        """Ends all connections, at once where they do not end by themselves."""
        try:
            with told_as_unavailable():
                await self._pool.close()
        finally:
            self._pool.terminate()


class PostgresArchive:
    """See ports.Archive."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def find(self, namespace: str, execution_id: bytes) -> Record | None:
        """See ports.Archive."""
        async with self._readers.session() as session:
            return await reading.find(session, namespace, execution_id)

    async def page(self, query: ExecutionQuery) -> Page:
        """See ports.Archive."""
        async with self._readers.session() as session:
            return await reading.page(session, query)

    async def search(self, search: Search) -> list[Record]:
        """See ports.Archive."""
        async with self._readers.session() as session:
            return await reading.search(session, search)

    async def definitions(self, ids: Sequence[bytes]) -> dict[bytes, Definition]:
        """See ports.Archive."""
        async with self._readers.session() as session:
            return await reading.definitions(session, ids)

    async def dead_letters(self, query: DeadLetterQuery) -> list[DeadLetter]:
        """See ports.Archive."""
        async with self._readers.session() as session:
            return await dead_letters.select(session, query)

    async def count_dead_letters(self, choice: Choice | None = None) -> dict[int, int]:
        """See ports.Archive."""
        async with self._readers.session() as session:
            return await dead_letters.count(session, choice)

    async def decisions(self, query: DecisionQuery) -> list[Decision]:
        """See ports.Archive."""
        async with self._readers.session() as session:
            return await decisions.select(session, query)

    async def position(self) -> Position:
        """See ports.Archive."""
        async with self._readers.session() as session:
            return await reading.position(session)

    async def changes(self, after_seq: int, limit: int) -> list[Change]:
        """See ports.Archive."""
        async with self._readers.session() as session:
            return await reading.changes(session, after_seq, limit)
