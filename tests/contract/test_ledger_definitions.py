"""What only the SQLite ledger promises of definitions: which are in use is noted rarely, and never too late."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from libs.faults import Unavailable
from services.history import metrics
from services.history.adapters.sqlite.archive import SqliteArchive
from services.history.adapters.sqlite.ledger import SqliteLedger
from services.history.domain.moments import LAST_US, to_us
from services.history.domain.records import Batch, Definition
from tests.fakes.clock import FakeClock
from tests.fakes.history_records import record

DEFINITION = Definition(b"1" * 16, b"request", b"job")
DAY = timedelta(days=1)


def used(number: int) -> Batch:
    return Batch([record(number, definition_id=DEFINITION.id)])


async def test_a_definition_in_use_outlives_its_first_execution(tmp_path: Path) -> None:
    clock = FakeClock(datetime(2026, 1, 1, 12, tzinfo=UTC))
    ledger = SqliteLedger(tmp_path / "ledger", clock=clock, observer=metrics.CommitMetrics(), sync="normal")
    archive = SqliteArchive(tmp_path / "ledger")
    await ledger.take(used(1)._replace(definitions=[DEFINITION]))
    for number in range(2, 12):
        await clock.advance(DAY)
        await ledger.take(used(number))
        assert await ledger.sweep(to_us(clock.now() - DAY), 10) == 0
    assert await archive.definitions([DEFINITION.id]) == {DEFINITION.id: DEFINITION}
    await ledger.expire(LAST_US, 100)
    assert await ledger.sweep(to_us(clock.now()), 10) == 0
    assert await ledger.sweep(to_us(clock.now() + DAY), 10) == 1
    await archive.close()
    await ledger.close()


async def test_a_use_that_was_not_written_is_noted_with_the_next(tmp_path: Path) -> None:
    clock = FakeClock(datetime(2026, 1, 1, 12, tzinfo=UTC))
    path = tmp_path / "ledger"
    ledger = SqliteLedger(path, clock=clock, observer=metrics.CommitMetrics(), sync="normal")
    await ledger.take(used(1)._replace(definitions=[DEFINITION]))
    await clock.advance(3 * DAY)
    path.rename(tmp_path / "aside")
    with pytest.raises(Unavailable):
        await ledger.take(used(2))
    (tmp_path / "aside").rename(path)
    await ledger.take(used(3))
    await ledger.expire(LAST_US, 100)
    assert await ledger.sweep(to_us(clock.now()), 10) == 0
    await ledger.close()
