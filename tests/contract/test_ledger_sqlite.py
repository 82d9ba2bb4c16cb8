"""What only the SQLite ledger promises: its file outlives crashes, full disks, damage and other processes."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from libs.clock import SystemClock
from libs.faults import Unavailable
from services.history.adapters.sqlite import reading, schema
from services.history.adapters.sqlite.archive import SqliteArchive
from services.history.adapters.sqlite.errors import LedgerFileError
from services.history.adapters.sqlite.ledger import SqliteLedger
from services.history.domain.records import NOTHING_REFUSED, Batch, Record, Refused, Status
from services.history.ports import ExecutionQuery
from tests.fakes.history_records import execution_id, record

NO_WAIT = timedelta(seconds=10)


class Commits:
    """How many records each transaction had, and the statuses of what became a dead letter."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.deaths: list[int] = []

    def committed(self, records: int, seconds: float) -> None:
        self.sizes.append(records)

    def died(self, statuses: Sequence[int]) -> None:
        self.deaths += statuses


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.sqlite3"


@asynccontextmanager
async def opened(path: Path, commits: Commits | None = None) -> AsyncIterator[tuple[SqliteLedger, SqliteArchive]]:
    ledger = SqliteLedger(path, clock=SystemClock(), observer=commits or Commits(), sync="normal")
    archive = SqliteArchive(path)
    try:
        yield ledger, archive
    finally:
        await archive.close()
        await ledger.close()


async def filled(path: Path, count: int = 500) -> None:
    async with opened(path) as (ledger, _):
        await ledger.take(Batch([record(number, response="x" * 200) for number in range(1, count + 1)]))


async def listed(archive: SqliteArchive) -> list[bytes]:
    page = await archive.page(ExecutionQuery(namespace="default", limit=100_000))
    return [each.id for each in page.records]


async def all_ids(path: Path) -> list[bytes]:
    async with opened(path) as (_, archive):
        return await listed(archive)


async def limit_pages(ledger: SqliteLedger, pages: int) -> None:
    """Makes the file full at so many pages: SQLite then answers as on a full disk."""
    await ledger._writer.call(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchall())


async def test_what_was_recorded_is_there_after_a_restart(path: Path) -> None:
    await filled(path, 10)
    async with opened(path) as (ledger, archive):
        assert len(await listed(archive)) == 10
        assert (await archive.position()).seq == 10
        await ledger.seal(3, 8, 0)
    async with opened(path) as (ledger, _):
        assert await ledger.take(Batch([record(99, Status.RUNNING)])) == Refused(stale=frozenset({execution_id(99)}))


@pytest.mark.parametrize(("sync", "expected"), [("full", 2), ("normal", 1)])
async def test_a_commit_waits_for_the_disk_as_asked(path: Path, sync: schema.Sync, expected: int) -> None:
    connection = schema.open_ledger(path, sync=sync, busy_timeout=NO_WAIT, check_up_to_bytes=0)
    assert connection.execute("PRAGMA synchronous").fetchone() == (expected,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    connection.close()


async def test_batches_that_wait_together_share_a_commit(path: Path) -> None:
    commits = Commits()
    async with opened(path, commits) as (ledger, _):
        taken = [ledger.take(Batch([record(number)])) for number in range(1, 201)]
        for future in taken:
            await future
    assert sum(commits.sizes) == 200
    assert len(commits.sizes) < 20


async def test_each_dead_letter_is_told_once(path: Path) -> None:
    commits = Commits()
    async with opened(path, commits) as (ledger, _):
        await ledger.take(Batch([record(1, Status.FAILED), record(2), record(3, Status.RUNNING)]))
        await ledger.take(Batch([record(1, Status.FAILED), record(3, Status.LOST)]))
        await ledger.take(Batch([record(4)]))
    assert commits.deaths == [Status.FAILED, Status.LOST]


async def test_lists_of_dead_letters_are_read_off_an_index(path: Path) -> None:
    await filled(path, 1)
    connection = schema.open_reader(path, busy_timeout=NO_WAIT)
    order = "ORDER BY completed_us DESC, id DESC LIMIT 50"
    for conditions, index in {
        "namespace = 'a' AND status IN (4) AND replayed_by = x''": "dead_letters_by_time",
        "namespace = 'a' AND job_id = 'b' AND completed_us >= 1 AND replayed_by = x''": "dead_letters_by_job",
        "+namespace = 'a' AND id IN (x'01') AND replayed_by = x''": "sqlite_autoindex_dead_letters_1",
    }.items():
        query = f"EXPLAIN QUERY PLAN SELECT * FROM dead_letters WHERE {conditions} {order}"
        plan = " ".join(row[3] for row in connection.execute(query))
        assert f"SEARCH dead_letters USING INDEX {index} (" in plan, plan
    connection.close()


async def test_lists_of_decisions_are_read_off_an_index_alone(path: Path) -> None:
    await filled(path, 1)
    connection = schema.open_reader(path, busy_timeout=NO_WAIT)
    order = "ORDER BY time_us DESC, id DESC LIMIT 50"
    for conditions, plan in {
        "decisions WHERE namespace = 'a' AND outcome IN (3)": "decisions USING COVERING INDEX decisions_by_time",
        "decisions WHERE namespace = 'a' AND job_id = 'b'": "decisions USING COVERING INDEX decisions_by_job",
        "decisions_by_policy WHERE namespace = 'a' AND policy_id = 'b' AND job_id = 'c' AND operation IN (5)": (
            "decisions_by_policy USING PRIMARY KEY"
        ),
    }.items():
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN SELECT id FROM {conditions} {order}")]
        assert len(steps) == 1, steps
        assert steps[0].startswith(f"SEARCH {plan} ("), steps
    old = "SELECT id FROM decisions WHERE namespace = 'a' AND time_us < 9 ORDER BY time_us, id LIMIT 9"
    for table, index in {"decisions": "sqlite_autoindex", "decisions_by_policy": "decisions_by_policy_of"}.items():
        query = f"EXPLAIN QUERY PLAN DELETE FROM {table} WHERE id IN ({old})"
        steps = [row[3] for row in connection.execute(query)]
        assert f"{table} USING" in steps[0], steps
        assert index in steps[0], steps
        assert "decisions_by_time" in " ".join(steps[1:]), steps
        assert "TEMP B-TREE" not in " ".join(steps), steps
    connection.close()


async def test_a_commit_does_not_grow_without_bound(path: Path) -> None:
    commits = Commits()
    ledger = SqliteLedger(path, clock=SystemClock(), observer=commits, sync="normal", max_commit_records=25)
    taken = [ledger.take(Batch([record(10 * n + m) for m in range(10)])) for n in range(1, 21)]
    large = ledger.take(Batch([record(n) for n in range(1000, 1040)]))
    for future in [*taken, large]:
        await future
    await ledger.close()
    assert max(commits.sizes) == 40
    assert sorted(commits.sizes)[-2] <= 20


async def test_a_full_disk_refuses_loudly_and_recording_goes_on_once_there_is_room(path: Path) -> None:
    async with opened(path) as (ledger, archive):
        await ledger.take(Batch([record(1)]))
        await limit_pages(ledger, 40)
        large = [record(number, response="x" * 4000) for number in range(2, 200)]
        with pytest.raises(Unavailable) as caught:
            await ledger.take(Batch(large))
        assert caught.value.reason == "LEDGER_FULL"
        with pytest.raises(Unavailable):
            await ledger.take(Batch(large))
        assert await listed(archive) == [execution_id(1)]
        await limit_pages(ledger, 1_000_000)
        await ledger.probe()
        assert await ledger.take(Batch(large)) == NOTHING_REFUSED
        assert len(await listed(archive)) == 199


async def test_a_probe_notices_a_full_disk(path: Path) -> None:
    async with opened(path) as (ledger, _):
        await limit_pages(ledger, 20)
        with pytest.raises(Unavailable) as caught:
            await ledger.probe()
        assert caught.value.reason == "LEDGER_FULL"


@pytest.mark.parametrize("offset", [0, 100, 4096 * 3, 4096 * 20])
async def test_a_damaged_file_is_refused_and_left_as_it_is(path: Path, offset: int) -> None:
    await filled(path)
    overwrite(path, offset)
    before = contents(path)
    with pytest.raises(LedgerFileError) as caught:
        SqliteLedger(path, clock=SystemClock(), observer=Commits())
    assert str(path) in str(caught.value)
    assert "backup" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert contents(path) == before


async def test_damage_found_while_running_is_told_as_such(path: Path) -> None:
    await filled(path)
    overwrite(path, 4096 * 3, 40 * 4096)
    archive = SqliteArchive(path)
    with pytest.raises(Unavailable) as caught:
        await listed(archive)
    await archive.close()
    assert caught.value.reason == "LEDGER_CORRUPT"


async def test_a_ledger_of_a_newer_release_is_refused(path: Path) -> None:
    await filled(path, 1)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LedgerFileError, match="newer release"):
        SqliteLedger(path, clock=SystemClock(), observer=Commits())


async def test_the_database_of_another_program_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    with pytest.raises(LedgerFileError, match="another program"):
        SqliteLedger(path, clock=SystemClock(), observer=Commits())


async def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerFileError, match="cannot be opened"):
        SqliteLedger(tmp_path / "file" / "ledger.sqlite3", clock=SystemClock(), observer=Commits())


@pytest.mark.parametrize("is_replaced", [False, True])
async def test_nothing_is_acknowledged_into_a_file_that_was_taken_away(path: Path, is_replaced: bool) -> None:
    async with opened(path) as (ledger, _):
        await ledger.take(Batch([record(1)]))
        aside = take_away(path, is_replaced=is_replaced)
        with pytest.raises(Unavailable, match="moved or deleted"):
            await ledger.take(Batch([record(2)]))
        bring_back(aside, path)
        assert await ledger.take(Batch([record(2)])) == NOTHING_REFUSED


async def test_several_processes_write_to_one_file(path: Path) -> None:
    async with opened(path) as (first, archive), opened(path) as (second, _):
        start = await archive.position()
        taken = []
        for number in range(1, 301):
            ledger = (first, second)[number % 2]
            taken.append(ledger.take(Batch([record(number, Status.RUNNING), record(number + 1000)])))
        for future in taken:
            assert await future == NOTHING_REFUSED
        await second.seal(3, 8, 0)
        assert await first.take(Batch([record(5000, Status.RUNNING)])) == Refused(stale=frozenset({execution_id(5000)}))
        changes = await archive.changes(start.seq, 10_000)
        assert len({change.seq for change in changes}) == len(changes) == 600


async def test_what_another_process_holds_is_told_after_a_while(path: Path) -> None:
    async with opened(path):
        impatient = SqliteLedger(path, clock=SystemClock(), observer=Commits(), busy_timeout=timedelta(milliseconds=20))
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable) as caught:
            await impatient.take(Batch([record(1)]))
        assert caught.value.reason == "LEDGER_ERROR"
        blocker.execute("ROLLBACK")
        blocker.close()
        assert await impatient.take(Batch([record(1)])) == NOTHING_REFUSED
        await impatient.close()


async def test_a_list_filtered_by_status_looks_at_a_bounded_number_of_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SCAN_ROWS", 10)
    async with opened(path) as (ledger, archive):
        rare = {3, 17, 38}
        await ledger.take(Batch([record(n, Status.FAILED if n in rare else Status.SUCCESS) for n in range(1, 41)]))
        found: list[Record] = []
        after, pages = None, 0
        while pages == 0 or after is not None:
            page = await archive.page(
                ExecutionQuery(namespace="default", statuses=frozenset({int(Status.FAILED)}), limit=5, after=after)
            )
            found += page.records
            after, pages = page.next, pages + 1
        assert [each.id for each in found] == [execution_id(n) for n in (38, 17, 3)]
        assert pages == 5


@pytest.mark.parametrize(
    ("source", "index"),
    [
        ("executions WHERE id = ? AND namespace = ?", "sqlite_autoindex_executions_1"),
        (
            "executions WHERE namespace = ? AND job_id = ? AND (scheduled_us, id) < (?, ?) "
            f"{reading.NEWEST_FIRST} LIMIT 50",
            "executions_by_job",
        ),
        (
            f"executions WHERE namespace = ? AND (scheduled_us, id) < (?, ?) {reading.NEWEST_FIRST} LIMIT 50",
            "executions_by_time",
        ),
        (
            "executions WHERE namespace = ? AND job_id = ? AND scheduled_us >= ? AND scheduled_us < ? "
            f"{reading.NEWEST_FIRST} LIMIT 50",
            "executions_by_job",
        ),
        (
            "executions WHERE id IN (?, ?) AND +namespace = ? AND ? IN ('', +job_id) AND scheduled_us >= ? LIMIT 50",
            "sqlite_autoindex_executions_1",
        ),
        (
            "executions WHERE namespace = ? AND job_id = ? AND scheduled_us < ? AND skipped_until_us >= ? LIMIT 50",
            "executions_stretches",
        ),
        ("definitions WHERE used_us < ?", "definitions_by_use"),
        ("executions WHERE shard = ? AND status < 3", "executions_unfinished"),
        ("executions WHERE shard = ? AND scheduled_us > ?", "executions_by_shard"),
        ("executions WHERE seq > ? ORDER BY seq LIMIT 10", "executions_by_seq"),
    ],
)
async def test_every_query_goes_through_its_index(path: Path, source: str, index: str) -> None:
    await filled(path, 1)
    connection = schema.open_reader(path, busy_timeout=NO_WAIT)
    plan = connection.execute(f"EXPLAIN QUERY PLAN SELECT * FROM {source}", (1,) * source.count("?")).fetchall()
    connection.close()
    steps = [row[3] for row in plan]
    assert [step for step in steps if index in step] == steps


WRITER = """
import asyncio, sys
from pathlib import Path
from libs.clock import SystemClock
from services.history.adapters.sqlite.ledger import SqliteLedger
from services.history.domain.records import Batch
from services.history.metrics import CommitMetrics
from tests.fakes.history_records import record

async def main():
    ledger = SqliteLedger(Path(sys.argv[1]), clock=SystemClock(), observer=CommitMetrics(), max_commit_records=50)
    number = int(sys.argv[2])
    async def take(numbers):
        await ledger.take(Batch([record(each, response="x" * 300) for each in numbers]))
        print(*numbers, flush=True)
    while True:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(take(range(number, number + 5)))
                number += 5

asyncio.run(main())
"""


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(path: Path) -> None:
    acknowledged: set[int] = set()
    for life in range(3):
        command = [sys.executable, "-c", WRITER, str(path), str(1_000_000 * (life + 1))]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                acknowledged.update(map(int, line.split()))
                if len(acknowledged) > 700 * (life + 1):
                    writer.send_signal(signal.SIGKILL)
                    break
            for line in writer.stdout:
                if line.endswith("\n"):
                    acknowledged.update(map(int, line.split()))
        assert writer.returncode == -signal.SIGKILL
    found = set(asyncio.run(all_ids(path)))
    assert {number for number in acknowledged if execution_id(number) not in found} == set()


async def test_opening_the_same_new_file_from_many_places_at_once_works(path: Path) -> None:
    def open_one() -> None:
        schema.open_ledger(path, sync="full", busy_timeout=NO_WAIT, check_up_to_bytes=1024**3).close()

    async with asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(asyncio.to_thread(open_one))
    async with opened(path) as (ledger, _):
        await ledger.take(Batch([record(1)]))


def contents(path: Path) -> bytes:
    return path.read_bytes()


def take_away(path: Path, *, is_replaced: bool) -> Path:
    aside = path.rename(path.with_suffix(".aside"))
    if is_replaced:
        path.write_bytes(aside.read_bytes())
    return aside


def bring_back(aside: Path, path: Path) -> None:
    aside.rename(path)


def overwrite(path: Path, offset: int, size: int = 4000) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * size)
