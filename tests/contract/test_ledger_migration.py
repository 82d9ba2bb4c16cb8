"""Ledgers that older releases of Chronos wrote, opened by this one."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from libs.clock import SystemClock
from services.history import metrics
from services.history.adapters.sqlite import schema
from services.history.adapters.sqlite.archive import SqliteArchive
from services.history.adapters.sqlite.errors import LedgerFileError
from services.history.adapters.sqlite.ledger import SqliteLedger
from services.history.domain.decisions import Decision, DecisionChoice
from services.history.domain.records import Batch, Definition, Record, Refused, Status
from services.history.ports import DecisionQuery, Search
from tests.fakes.history_records import execution_id, record

VERSION_1 = """
CREATE TABLE executions (
    id BLOB NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    job_id TEXT NOT NULL,
    job_uid TEXT NOT NULL,
    job_name TEXT NOT NULL,
    job_version INTEGER NOT NULL,
    cause INTEGER NOT NULL,
    scheduled_us INTEGER NOT NULL,
    started_us INTEGER,
    completed_us INTEGER,
    status INTEGER NOT NULL,
    attempt_count INTEGER NOT NULL,
    status_code INTEGER NOT NULL,
    response TEXT NOT NULL,
    is_response_truncated INTEGER NOT NULL,
    error TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts BLOB NOT NULL,
    delivery INTEGER NOT NULL,
    trace_id TEXT NOT NULL,
    shard INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL
);
CREATE INDEX executions_by_job ON executions (namespace, job_id, scheduled_us, id);
CREATE INDEX executions_by_time ON executions (namespace, scheduled_us, id);
CREATE INDEX executions_by_shard ON executions (shard, scheduled_us);
CREATE INDEX executions_unfinished ON executions (shard) WHERE status < 3;
CREATE INDEX executions_by_seq ON executions (seq);
CREATE TABLE seals (shard INTEGER PRIMARY KEY, epoch INTEGER NOT NULL);
CREATE TABLE ledger (ledger_id TEXT NOT NULL, seq INTEGER NOT NULL);
CREATE TABLE probes (filling BLOB NOT NULL);
"""
COLUMNS_1 = Record._fields[: Record._fields.index("definition_id")]
WITHOUT_SETTLED = "ALTER TABLE executions DROP COLUMN is_settled;"
WITHOUT_DECISIONS = f"DROP TABLE decisions; DROP TABLE decisions_by_policy; {WITHOUT_SETTLED}"
WITHOUT_SETTLED_LETTERS = "ALTER TABLE dead_letters DROP COLUMN is_settled;"
STORED = [record(1), record(2, Status.RUNNING), record(3, Status.PENDING)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file as version 1 left it."""
    path = tmp_path / "ledger.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(VERSION_1)
        connection.execute("INSERT INTO ledger VALUES ('an old ledger', 3)")
        connection.execute("INSERT INTO seals VALUES (3, 7)")
        marks = ",".join("?" * (len(COLUMNS_1) + 1))
        for seq, stored in enumerate(STORED, start=1):
            row = (*stored[: len(COLUMNS_1)], seq)
            connection.execute(f"INSERT INTO executions ({','.join(COLUMNS_1)}, seq) VALUES ({marks})", row)
        connection.execute("PRAGMA user_version = 1")
    return path


def opened(path: Path) -> SqliteLedger:
    return SqliteLedger(path, clock=SystemClock(), observer=metrics.CommitMetrics(), sync="normal")


def shape(path: Path) -> tuple[int, dict[str, object]]:
    """The version, the columns of each table, and the definition of each index."""
    with closing(sqlite3.connect(path)) as connection:
        shapes: dict[str, object] = {}
        for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_schema").fetchall():
            columns = connection.execute(f"SELECT name, type, \"notnull\", dflt_value FROM pragma_table_info('{name}')")
            shapes[name] = sorted(columns.fetchall()) if kind == "table" else sql
        return connection.execute("PRAGMA user_version").fetchone()[0], shapes


async def two_with_a_dead_letter(folder: Path) -> tuple[Path, Path]:
    """Two ledgers alike, one of them to be made older."""
    paths = folder / "old.sqlite3", folder / "new.sqlite3"
    for path in paths:
        ledger = opened(path)
        await ledger.take(Batch([record(1, Status.FAILED)]))
        await ledger.close()
    return paths


async def test_everything_in_a_ledger_of_version_1_is_there_and_goes_on(path: Path) -> None:
    ledger = opened(path)
    archive = SqliteArchive(path)
    try:
        for told in STORED:
            assert await archive.find("default", told.id) == told
        position = await archive.position()
        assert (position.ledger_id, position.seq) == ("an old ledger", 3)
        definition = Definition(b"1" * 16, b"request", b"job")
        end = record(2, reason_code=3, definition_id=definition.id, dispatcher="d", details=b"\x18\x01")
        stale = record(3, Status.RUNNING, epoch=6)
        assert await ledger.take(Batch([end, stale], (), [definition])) == Refused(frozenset({execution_id(3)}))
        assert await archive.find("default", end.id) == end
        assert await archive.definitions([definition.id]) == {definition.id: definition}
        search = Search(namespace="default", job_id="report", limit=9, with_stretches=True)
        assert [each.id for each in await archive.search(search)] == [execution_id(n) for n in (3, 2, 1)]
    finally:
        await archive.close()
        await ledger.close()


async def test_a_ledger_of_version_1_becomes_as_a_new_one(path: Path, tmp_path: Path) -> None:
    await opened(path).close()
    new = tmp_path / "new.sqlite3"
    await opened(new).close()
    assert shape(path) == shape(new)
    assert shape(new)[0] == 5
    await opened(path).close()
    assert shape(path) == shape(new)


async def test_a_ledger_of_version_2_gets_dead_letters_from_now_on(tmp_path: Path) -> None:
    old, new = tmp_path / "old.sqlite3", tmp_path / "new.sqlite3"
    for each in (old, new):
        await opened(each).close()
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.executescript(f"DROP TABLE dead_letters; {WITHOUT_DECISIONS} PRAGMA user_version = 2;")
    ledger = opened(old)
    assert shape(old) == shape(new)
    await ledger.take(Batch([record(1, Status.FAILED)]))
    archive = SqliteArchive(old)
    assert await archive.count_dead_letters() == {Status.FAILED: 1}
    await archive.close()
    await ledger.close()


async def test_a_ledger_of_version_3_keeps_its_dead_letters_and_gets_an_account_of_decisions(tmp_path: Path) -> None:
    old, new = await two_with_a_dead_letter(tmp_path)
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.executescript(f"{WITHOUT_DECISIONS} {WITHOUT_SETTLED_LETTERS} PRAGMA user_version = 3;")
    ledger = opened(old)
    assert shape(old) == shape(new)
    archive = SqliteArchive(old)
    assert await archive.count_dead_letters() == {Status.FAILED: 1}
    told = Decision(b"1" * 16, "default", "report", 1, 5, 3, ("freeze",), b"content")
    assert await ledger.record_decisions([told]) == {told.id}
    query = DecisionQuery(choice=DecisionChoice(namespace="default", policy_id="freeze"), limit=9)
    assert [each.content for each in await archive.decisions(query)] == [b"content"]
    await archive.close()
    await ledger.close()


async def test_a_ledger_of_version_4_knows_settled_ends_from_now_on(tmp_path: Path) -> None:
    old, new = await two_with_a_dead_letter(tmp_path)
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.executescript(f"{WITHOUT_SETTLED} {WITHOUT_SETTLED_LETTERS} PRAGMA user_version = 4;")
    ledger = opened(old)
    assert shape(old) == shape(new)
    await ledger.take(Batch([record(1, is_settled=1)]))
    archive = SqliteArchive(old)
    assert await archive.find("default", execution_id(1)) == record(1, is_settled=1)
    assert await archive.count_dead_letters() == {}
    await archive.close()
    await ledger.close()


async def test_a_migration_that_breaks_off_leaves_the_ledger_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shape(path)
    monkeypatch.setattr(schema, "FROM_VERSION_1", schema.FROM_VERSION_1 + "; ALTER TABLE nothing ADD COLUMN x")
    with pytest.raises(LedgerFileError, match="nothing"):
        opened(path)
    assert shape(path) == before
    monkeypatch.undo()
    await opened(path).close()
    assert shape(path)[0] == 5
