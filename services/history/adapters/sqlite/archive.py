"""The reading side of the ledger over one SQLite file."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from services.history.adapters.sqlite import dead_letters, decisions, definitions, reading
from services.history.adapters.sqlite.errors import unavailable
from services.history.adapters.sqlite.schema import open_reader
from services.history.domain.dead_letters import Choice, DeadLetter
from services.history.domain.decisions import Decision
from services.history.domain.records import Change, Definition, Record
from services.history.ports import DeadLetterQuery, DecisionQuery, ExecutionQuery, Page, Position, Search

T = TypeVar("T")


class SqliteArchive:
    """See ports.Archive. Queries run in threads of their own; the file must have been opened as a ledger before."""

    def __init__(self, path: Path, *, threads: int = 2, busy_timeout: timedelta = timedelta(seconds=10)) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="ledger-reader")
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for _ in range(threads):
            self._idle.put(open_reader(path, busy_timeout=busy_timeout))

    async def find(self, namespace: str, execution_id: bytes) -> Record | None:
        """See ports.Archive."""
        return await self._run(lambda connection: reading.find(connection, namespace, execution_id))

    async def page(self, query: ExecutionQuery) -> Page:
        """See ports.Archive."""
        return await self._run(lambda connection: reading.page(connection, query))

    async def search(self, search: Search) -> list[Record]:
        """See ports.Archive."""
        return await self._run(lambda connection: reading.search(connection, search))

    async def definitions(self, ids: Sequence[bytes]) -> dict[bytes, Definition]:
        """See ports.Archive."""
        return await self._run(lambda connection: definitions.find(connection, ids))

    async def dead_letters(self, query: DeadLetterQuery) -> list[DeadLetter]:
        """See ports.Archive."""
        return await self._run(lambda connection: dead_letters.select(connection, query))

    async def count_dead_letters(self, choice: Choice | None = None) -> dict[int, int]:
        """See ports.Archive."""
        return await self._run(lambda connection: dead_letters.count(connection, choice))

    async def decisions(self, query: DecisionQuery) -> list[Decision]:
        """See ports.Archive."""
        return await self._run(lambda connection: decisions.select(connection, query))

    async def position(self) -> Position:
        """See ports.Archive."""
        return await self._run(reading.position)

    async def changes(self, after_seq: int, limit: int) -> list[Change]:
        """See ports.Archive."""
        return await self._run(lambda connection: reading.changes(connection, after_seq, limit))

    async def close(self) -> None:
        """Waits for the queries under way and closes the file."""
        await asyncio.to_thread(self._threads.shutdown)
        while not self._idle.empty():
            self._idle.get().close()

    async def _run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._query, query)

    def _query(self, query: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._idle.get()
        try:
            return query(connection)
        except sqlite3.Error as error:
            raise unavailable(error) from error
        finally:
            self._idle.put(connection)
