"""The writing side of the ledger over one SQLite file."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from libs.clock import Clock
from libs.faults import Unavailable
from services.history.adapters.observer import CommitObserver
from services.history.adapters.reasons import LEDGER_ERROR
from services.history.adapters.sqlite import dead_letters, decisions, definitions, writing
from services.history.adapters.sqlite.schema import Sync, open_ledger
from services.history.adapters.sqlite.writer import Writer
from services.history.domain.dead_letters import Choice
from services.history.domain.decisions import Decision
from services.history.domain.records import Batch, Refused
from services.history.ports import Seal

PAGES_GIVEN_BACK = 1_000


class SqliteLedger:
    """See ports.Ledger. Open it in the event loop that uses it; `close` it there."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        observer: CommitObserver,
        sync: Sync = "full",
        busy_timeout: timedelta = timedelta(seconds=10),
        max_commit_records: int = 5_000,
        check_up_to_bytes: int = 1024**3,
    ) -> None:
        """Opens the file, made when there is none. Raises LedgerFileError when it cannot be used as it is."""
        connection = open_ledger(path, sync=sync, busy_timeout=busy_timeout, check_up_to_bytes=check_up_to_bytes)
        self._writer = Writer(
            connection,
            ensure_in_place=_guard(path),
            max_commit_records=max_commit_records,
            clock=clock,
            observer=observer,
        )

    def take(self, batch: Batch) -> asyncio.Future[Refused]:
        """See ports.Ledger."""
        return self._writer.take(batch)

    async def seal(self, shard: int, epoch: int, watermark_us: int) -> Seal:
        """See ports.Ledger."""
        return await self._writer.call(lambda connection: writing.seal(connection, shard, epoch, watermark_us))

    async def expire(self, before_us: int, limit: int) -> int:
        """See ports.Ledger. Gives the disk back what is free, when that is much."""
        deleted = await self._writer.call(lambda connection: writing.expire(connection, before_us, limit))
        await self._writer.call(lambda connection: writing.shrink(connection, PAGES_GIVEN_BACK))
        return deleted

    async def sweep(self, before_us: int, limit: int) -> int:
        """See ports.Ledger."""
        return await self._writer.call(lambda connection: definitions.sweep(connection, before_us, limit))

    async def delete_dead_letters(self, choice: Choice, limit: int) -> int:
        """See ports.Ledger."""
        return await self._writer.call(lambda connection: dead_letters.delete(connection, choice, limit))

    async def expire_dead_letters(self, before_us: int, most: int, limit: int) -> int:
        """See ports.Ledger. Looks at one namespace after another, so that it holds nobody up for long."""
        deleted = 0
        for namespace in await self._writer.call(dead_letters.namespaces):
            expire = partial(
                dead_letters.expire, namespace=namespace, before_us=before_us, most=most, limit=limit - deleted
            )
            deleted += await self._writer.call(expire)
            if deleted >= limit:
                break
        return deleted

    async def record_decisions(self, told: Sequence[Decision]) -> frozenset[bytes]:
        """See ports.Ledger."""
        return await self._writer.call(lambda connection: decisions.insert(connection, told))

    async def expire_decisions(self, before_us: int, limit: int) -> int:
        """See ports.Ledger. Looks at one namespace after another, so that it holds nobody up for long."""
        deleted = 0
        for namespace in await self._writer.call(decisions.namespaces):
            expire = partial(decisions.expire, namespace=namespace, before_us=before_us, limit=limit - deleted)
            deleted += await self._writer.call(expire)
            if deleted >= limit:
                break
        return deleted

    async def probe(self) -> None:
        """See ports.Ledger."""
        await self._writer.call(writing.fill_probe)
        await self._writer.call(writing.clear_probe)

    async def close(self) -> None:
        """Writes what is queued, then closes the file."""
        await self._writer.close()


def _guard(path: Path) -> Callable[[], None]:
    """A check that `path` is still the file that was opened: SQLite would go on writing to one that was deleted."""
    opened = path.stat()

    def ensure_in_place() -> None:
        try:
            found = path.stat()
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != (opened.st_dev, opened.st_ino):
            raise Unavailable(
                f"{path} was moved or deleted while in use and nothing was recorded; put it back or restart history.",
                reason=LEDGER_ERROR,
            )

    return ensure_in_place
