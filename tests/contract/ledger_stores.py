"""Every ledger that the contract holds for. A new adapter joins by one more entry in STORES."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from libs.clock import SystemClock
from services.history import metrics
from services.history.adapters.postgres.ledger import open_postgres
from services.history.adapters.postgres.session import Target
from services.history.adapters.sqlite.archive import SqliteArchive
from services.history.adapters.sqlite.ledger import SqliteLedger
from services.history.domain.records import Record
from services.history.ports import Archive, Ledger
from tests.fakes.history_records import execution_id
from tests.fakes.ledger import FakeLedger
from tests.postgres_server import shared_postgres

PATIENCE = timedelta(seconds=30)
"""How long a transaction may stand still: longer than a busy machine does."""


@dataclass(frozen=True, slots=True)
class Store:
    ledger: Ledger
    archive: Archive


@asynccontextmanager
async def open_fake(directory: Path) -> AsyncIterator[Store]:
    fake = FakeLedger()
    yield Store(fake, fake)


@asynccontextmanager
async def open_sqlite(directory: Path) -> AsyncIterator[Store]:
    path = directory / "ledger.sqlite3"
    ledger = SqliteLedger(path, clock=SystemClock(), observer=metrics.CommitMetrics(), sync="normal")
    archive = SqliteArchive(path)
    try:
        yield Store(ledger, archive)
    finally:
        await archive.close()
        await ledger.close()


@asynccontextmanager
async def open_postgres_ledger(directory: Path) -> AsyncIterator[Store]:
    target = Target(url=shared_postgres().create_schema(), longest_idle=PATIENCE)
    async with open_postgres(target, clock=SystemClock(), observer=metrics.CommitMetrics()) as (ledger, archive):
        yield Store(ledger, archive)


STORES: dict[str, Callable[[Path], AbstractAsyncContextManager[Store]]] = {
    "fake": open_fake,
    "sqlite": open_sqlite,
    "postgres": open_postgres_ledger,
}


async def stored(store: Store, number: int = 1) -> Record:
    """The execution with this number, which must be there."""
    found = await store.archive.find("default", execution_id(number))
    assert found is not None
    return found
