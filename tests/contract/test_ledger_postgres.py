"""What only the PostgreSQL ledger promises: replicas share it, a server that dies loses nothing, days go as tables."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from libs.clock import Clock, SystemClock
from libs.faults import Unavailable, WrongState
from services.history.adapters.postgres.errors import LedgerRefusedError, unavailable
from services.history.adapters.postgres.ledger import open_postgres
from services.history.adapters.postgres.partitions import first_id, name_of
from services.history.adapters.postgres.schema import FIRST, STEPS, migrate
from services.history.adapters.postgres.session import Session, Target
from services.history.domain.decisions import Decision, DecisionChoice
from services.history.domain.moments import to_us
from services.history.domain.records import NOTHING_REFUSED, Batch, Definition, Record, Refused, Status
from services.history.ports import DecisionQuery, ExecutionQuery
from tests.contract.ledger_stores import PATIENCE, Store
from tests.fakes.clock import FakeClock
from tests.fakes.history_records import execution_id, record
from tests.postgres_server import PostgresServer, own_postgres, shared_postgres

__all__ = ["own_postgres"]

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
TODAY = (NOW - datetime(1970, 1, 1, tzinfo=UTC)).days
DAY_US = 86_400_000_000


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
def url() -> str:
    return shared_postgres().create_schema()


@asynccontextmanager
async def replica(url: str, clock: Clock | None = None, commits: Commits | None = None) -> AsyncIterator[Store]:
    target = Target(url=url, timeout=timedelta(seconds=5), longest_idle=PATIENCE)
    async with open_postgres(target, clock=clock or SystemClock(), observer=commits or Commits()) as (ledger, archive):
        yield Store(ledger, archive)


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[Session]:
    session = await Session.open(Target(url=url))
    try:
        yield session
    finally:
        session.abandon()


def dated(number: int, day: int, status: Status = Status.SUCCESS, **changes: object) -> Record:
    """A record whose id is of a day, as all real ones are."""
    moment_us = day * DAY_US + number * 1_000_000
    tail = number.to_bytes(10, "big")
    return record(number, status, id=first_id(day)[:6] + tail, scheduled_us=moment_us, **changes)


def decided(number: int, **changes: object) -> Decision:
    """A run that a policy denied, `number` microseconds after 1970."""
    plain = Decision(execution_id(number), "default", "report", number, 5, 3, ("freeze",), b"content")
    return plain._replace(**changes)  # type: ignore[arg-type]


async def listed(store: Store) -> set[bytes]:
    page = await store.archive.page(ExecutionQuery(namespace="default", limit=100_000))
    return {each.id for each in page.records}


async def tables(session: Session) -> set[str]:
    return {
        row[0]
        for row in await session.rows(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'executions'::regclass"
        )
    }


async def test_of_claims_at_two_replicas_exactly_one_wins(url: str) -> None:
    async with replica(url) as first, replica(url) as second:
        taken = []
        for number in range(1, 101):
            for name, store in (("a", first), ("b", second)):
                claim = record(number, Status.RUNNING, claimant=name)
                taken.append((number, store.ledger.take(Batch([claim], frozenset({0})))))
            await asyncio.sleep(0)
        lost = [number for number, future in taken if await future != NOTHING_REFUSED]
        assert sorted(lost) == list(range(1, 101))


async def test_a_seal_at_one_replica_refuses_starts_at_the_other(url: str) -> None:
    async with replica(url) as first, replica(url) as second:
        await second.ledger.take(Batch([record(1, Status.RUNNING)]))
        seal = await first.ledger.seal(3, 8, 0)
        assert [each.id for each in seal.unfinished] == [execution_id(1)]
        late = await second.ledger.take(Batch([record(2, Status.RUNNING)]))
        assert late == Refused(stale=frozenset({execution_id(2)}))
        with pytest.raises(WrongState):
            await second.ledger.seal(3, 7, 0)


async def test_replicas_see_the_same_position_and_each_others_changes(url: str) -> None:
    async with replica(url) as first, replica(url) as second:
        start = await first.archive.position()
        for number in range(1, 201):
            await (first, second)[number % 2].ledger.take(Batch([record(number)]))
        changes = await second.archive.changes(start.seq, 1_000)
        assert [change.record.id for change in changes] == [execution_id(number) for number in range(1, 201)]
        assert await first.archive.position() == await second.archive.position()


async def test_a_reader_that_resumes_never_misses_what_commits_late(url: str) -> None:
    async with replica(url) as first, replica(url) as second:
        seen: list[bytes] = []
        done = asyncio.Event()

        async def follow() -> None:
            seq = (await first.archive.position()).seq
            while True:
                was_done = done.is_set()
                changes = await first.archive.changes(seq, 37)
                seen.extend(change.record.id for change in changes)
                seq = changes[-1].seq if changes else seq
                if was_done and not changes:
                    return

        async def write(store: Store, numbers: range) -> None:
            for number in numbers:
                await store.ledger.take(Batch([record(number * 100 + each) for each in range(20)]))

        async with asyncio.TaskGroup() as group:
            group.create_task(follow())
            async with asyncio.TaskGroup() as writers:
                writers.create_task(write(first, range(1, 40)))
                writers.create_task(write(second, range(40, 80)))
            done.set()
        assert len(seen) == len(set(seen)) == 79 * 20


async def test_a_replica_that_hangs_inside_a_transaction_holds_up_the_others_only_shortly(url: str) -> None:
    async with replica(url) as store, raw(url) as hanging:
        await hanging.execute("BEGIN")
        await hanging.execute("UPDATE ledger SET seq = seq + 1")
        began = asyncio.get_running_loop().time()
        assert await store.ledger.take(Batch([record(1)])) == NOTHING_REFUSED
        assert 1 < asyncio.get_running_loop().time() - began < 4
        assert (await store.archive.position()).seq == 1


async def test_nothing_acknowledged_is_lost_when_the_server_is_killed(own_postgres: PostgresServer) -> None:
    url = own_postgres.create_database()
    acknowledged: set[int] = set()
    async with replica(url) as store:

        async def write(start: int) -> None:
            for number in range(start, start + 30_000):
                try:
                    await store.ledger.take(Batch([record(number, response="x" * 300)]))
                except Unavailable:
                    await asyncio.sleep(0.02)
                else:
                    acknowledged.add(number)

        async def until(count: int) -> None:
            while len(acknowledged) < count:  # noqa: ASYNC110 - the writers are the test's own
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            writers = [group.create_task(write(1_000_000 * (n + 1))) for n in range(10)]
            for life in range(1, 3):
                await until(500 * life)
                own_postgres.kill()
                await asyncio.sleep(0.1)
                await asyncio.to_thread(own_postgres.start)
            await until(1_500)
            for writer in writers:
                writer.cancel()
        found = await listed(store)
    assert {number for number in acknowledged if execution_id(number) not in found} == set()


async def test_what_was_under_way_when_the_session_ended_is_not_acknowledged(url: str) -> None:
    async with replica(url) as store, raw(url) as operator:
        await store.ledger.take(Batch([record(1)]))
        await operator.execute("BEGIN")
        await operator.execute("SELECT 1 FROM ledger FOR UPDATE")
        waiting = store.ledger.take(Batch([record(2)]))
        ended = 0
        while not ended:
            ended = await operator.value(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE application_name = 'chronos-history' AND wait_event_type = 'Lock'"
            )
        with pytest.raises(Unavailable) as caught:
            await waiting
        assert caught.value.reason == "LEDGER_ERROR"
        await operator.execute("ROLLBACK")
        assert await store.ledger.take(Batch([record(2)])) == NOTHING_REFUSED


async def test_each_day_has_a_table_of_its_own_made_ahead(url: str) -> None:
    clock = FakeClock(NOW)
    async with replica(url, clock) as store, raw(url) as session:
        await store.ledger.take(Batch([dated(1, TODAY), dated(2, TODAY - 400), dated(3, 60_000)]))
        own = {name_of(TODAY), name_of(TODAY + 1)}
        assert await tables(session) == {"executions_earlier", "executions_later", *own}
        await clock.advance(timedelta(days=3))
        await store.ledger.take(Batch([dated(4, TODAY + 1)]))
        own |= {name_of(TODAY + 3), name_of(TODAY + 4)}
        assert await tables(session) == {"executions_earlier", "executions_later", *own}
        assert len(await listed(store)) == 4


async def test_replicas_learn_of_each_others_tables(url: str) -> None:
    clock = FakeClock(NOW)
    async with replica(url, clock) as first, replica(url, clock) as second:
        for number in range(1, 20):
            batch = Batch([dated(number, TODAY + number // 2)])
            assert await (first, second)[number % 2].ledger.take(batch) == NOTHING_REFUSED
        assert await first.ledger.expire((TODAY + 5) * DAY_US, 1) > 1
        batch = Batch([dated(100, TODAY + 2), dated(101, TODAY + 8)])
        assert await second.ledger.take(batch) == NOTHING_REFUSED


async def test_old_days_go_with_their_tables_and_unfinished_ones_stay(url: str) -> None:
    clock = FakeClock(NOW)
    async with replica(url, clock) as store, raw(url) as session:
        finished = [dated(number, TODAY + number % 3) for number in range(1, 31)]
        running = dated(50, TODAY + 1, Status.RUNNING)
        await store.ledger.take(Batch([*finished, running]))
        before_us = (TODAY + 2) * DAY_US + 15_000_000
        assert [await store.ledger.expire(before_us, 6) for _ in range(3)] == [10 + 6, 4, 0]
        assert await listed(store) == {running.id, *(each.id for each in finished[1::3])}
        assert name_of(TODAY) not in await tables(session)
        await store.ledger.take(Batch([running._replace(status=int(Status.SUCCESS))]))
        assert await store.ledger.expire(before_us, 6) == 1
        assert name_of(TODAY + 1) not in await tables(session)
        assert await store.ledger.take(Batch([dated(1, TODAY)])) == NOTHING_REFUSED


async def test_a_day_that_somebody_reads_is_dropped_later(url: str) -> None:
    clock = FakeClock(NOW)
    async with replica(url, clock) as store, raw(url) as reader:
        await store.ledger.take(Batch([dated(1, TODAY)]))
        await reader.execute("BEGIN")
        await reader.value("SELECT count(*) FROM executions")
        assert await store.ledger.expire((TODAY + 1) * DAY_US, 10) == 0
        await reader.execute("ROLLBACK")
        assert await store.ledger.expire((TODAY + 1) * DAY_US, 10) == 1


async def test_what_cannot_be_stored_in_a_name_is_replaced_and_the_rest_recorded(url: str) -> None:
    async with replica(url) as store:
        odd = record(1, job_name="a\0b", response="c\0d")
        taken = [store.ledger.take(Batch([odd])), store.ledger.take(Batch([record(2)]))]
        assert [await each for each in taken] == [NOTHING_REFUSED] * 2
        assert await store.archive.find("default", odd.id) == odd._replace(job_name="a\ufffdb")


async def test_batches_that_wait_together_share_a_commit(url: str) -> None:
    commits = Commits()
    async with replica(url, commits=commits) as store:
        taken = [store.ledger.take(Batch([record(number)])) for number in range(1, 201)]
        for future in taken:
            await future
    assert sum(commits.sizes) == 200
    assert len(commits.sizes) < 20


async def test_what_is_queued_at_the_end_is_written(url: str) -> None:
    async with replica(url) as store:
        taken = [store.ledger.take(Batch([record(number)])) for number in range(1, 51)]
    assert all(future.done() for future in taken)
    async with replica(url) as store:
        assert len(await listed(store)) == 50


async def test_a_definition_in_use_outlives_its_first_execution(url: str) -> None:
    clock = FakeClock(NOW)
    told = Definition(b"1" * 16, b"request", b"job")
    async with replica(url, clock) as store:
        await store.ledger.take(Batch([record(1, definition_id=told.id)], definitions=[told]))
        for number in range(2, 6):
            await clock.advance(timedelta(days=1))
            await store.ledger.take(Batch([record(number, definition_id=told.id)]))
            assert await store.ledger.sweep(to_us(clock.now() - timedelta(days=1)), 10) == 0
        await store.ledger.expire(to_us(clock.now()), 100)
        assert await store.ledger.sweep(to_us(clock.now()), 10) == 0
        assert await store.ledger.sweep(to_us(clock.now() + timedelta(days=1)), 10) == 1


async def test_replicas_that_start_together_make_the_tables_once(url: str) -> None:
    async def open_one() -> str:
        async with replica(url) as store:
            return (await store.archive.position()).ledger_id

    async with asyncio.TaskGroup() as group:
        ids = [group.create_task(open_one()) for _ in range(6)]
    assert len({each.result() for each in ids}) == 1


async def test_tables_of_the_first_schema_are_brought_up_to_date_with_what_is_in_them(url: str) -> None:
    next_step = ("ALTER TABLE executions ADD COLUMN colour text NOT NULL DEFAULT 'red'",)
    async with raw(url) as session:
        await migrate(session, TODAY, [FIRST])
        async with replica(url) as store:
            await store.ledger.take(Batch([record(1), record(2, Status.FAILED)]))
            position = await store.archive.position()
            assert await store.archive.count_dead_letters() == {Status.FAILED: 1}
            assert await store.ledger.record_decisions([decided(1)]) == {decided(1).id}
        for _ in range(2):
            await migrate(session, TODAY, [*STEPS, next_step])
        assert await session.value("SELECT colour FROM executions") == "red"
        assert await session.value("SELECT ledger_id FROM ledger") == position.ledger_id
        with pytest.raises(LedgerRefusedError, match="newer release"):
            await migrate(session, TODAY, [FIRST])


async def test_each_dead_letter_is_told_once(url: str) -> None:
    commits = Commits()
    async with replica(url, commits=commits) as store:
        await store.ledger.take(Batch([record(1, Status.FAILED), record(2), record(3, Status.RUNNING)]))
        await store.ledger.take(Batch([record(1, Status.FAILED), record(3, Status.LOST)]))
        await store.ledger.take(Batch([record(4)]))
    assert commits.deaths == [Status.FAILED, Status.LOST]


async def test_a_replica_takes_away_the_dead_letter_of_what_another_one_noted_as_lost(url: str) -> None:
    async with replica(url) as one, replica(url) as other:
        await other.ledger.take(Batch([record(9)]))
        await one.ledger.take(Batch([record(1, Status.LOST), record(2, Status.LOST)]))
        await other.ledger.take(Batch([record(1)]))
        await one.ledger.take(Batch([record(2)]))
        assert await one.archive.count_dead_letters() == {}


async def test_a_server_that_is_away_at_the_start_is_waited_for(own_postgres: PostgresServer) -> None:
    url = own_postgres.create_database()
    own_postgres.stop()

    async def open_one() -> None:
        async with replica(url) as store:
            await store.ledger.take(Batch([record(1)]))

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(open_one())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.2)
        await asyncio.to_thread(own_postgres.start)


async def test_a_database_that_is_not_there_is_refused() -> None:
    with pytest.raises(LedgerRefusedError, match="nowhere"):
        async with replica(shared_postgres().url("nowhere")):
            pass


def test_a_full_disk_and_damage_have_reasons_of_their_own() -> None:
    assert unavailable(asyncpg.DiskFullError("full")).reason == "LEDGER_FULL"
    assert unavailable(asyncpg.DataCorruptedError("torn")).reason == "LEDGER_CORRUPT"
    assert unavailable(ConnectionResetError()).reason == "LEDGER_ERROR"


NEWEST = "ORDER BY scheduled_us DESC, id DESC LIMIT 50"


@pytest.mark.parametrize(
    ("source", "index"),
    [
        (f"executions WHERE namespace = 'default' AND job_id = 'job-7' {NEWEST}", "namespace_job_id_scheduled"),
        (f"executions WHERE namespace = 'default' {NEWEST}", "namespace_scheduled"),
        ("executions WHERE shard = 3 AND status < 3", "shard_idx"),
        (f"executions WHERE shard = 3 AND scheduled_us > {(TODAY * DAY_US) + 3_990_000_000}", "shard_scheduled"),
        ("executions WHERE seq > 3000 ORDER BY seq LIMIT 10", "seq_idx"),
        (f"executions WHERE id = '{dated(5, TODAY).id.hex()}' AND namespace = 'default'", "pkey"),
    ],
)
async def test_every_query_goes_through_its_index(url: str, source: str, index: str) -> None:
    async with replica(url, FakeClock(NOW)) as store, raw(url) as session:
        rows = [dated(n, TODAY, job_id=f"job-{n % 100}", shard=n % 64) for n in range(1, 4_000)]
        running = [dated(n, TODAY, Status.RUNNING, shard=n % 64) for n in range(4_000, 4_100)]
        await store.ledger.take(Batch([*rows, *running]))
        await session.execute("ANALYZE executions")
        plan = [row[0] for row in await session.rows(f"EXPLAIN SELECT * FROM {source}")]
        assert [step for step in plan if f"{name_of(TODAY)}_{index}" in step], plan
        assert [step for step in plan if f"Seq Scan on {name_of(TODAY)}" in step] == []


NEWEST_DECISIONS = "ORDER BY time_us DESC, id DESC LIMIT 50"


@pytest.mark.parametrize(
    ("source", "index"),
    [
        (f"decisions WHERE namespace = 'default' AND outcome = ANY('{{3}}') {NEWEST_DECISIONS}", "decisions_by_time"),
        (f"decisions WHERE namespace = 'default' AND job_id = 'job-7' {NEWEST_DECISIONS}", "decisions_by_job"),
        (
            f"decisions_by_policy WHERE namespace = 'default' AND policy_id = 'p-7' {NEWEST_DECISIONS}",
            "decisions_by_policy_pkey",
        ),
        (
            "decisions WHERE namespace = 'default' AND time_us < 9 ORDER BY time_us, id LIMIT 500",
            "decisions_by_time",
        ),
        (f"decisions_by_policy WHERE id = ANY('{{{execution_id(7).hex()}}}')", "decisions_by_policy_of"),
    ],
)
async def test_every_query_of_decisions_goes_through_its_index(url: str, source: str, index: str) -> None:
    async with replica(url) as store, raw(url) as session:
        told = [
            decided(
                n,
                namespace="ops" if n % 4 else "default",
                job_id=f"job-{n % 50}",
                policy_ids=("freeze", f"p-{n % 50}"),
                content=bytes(500),
            )
            for n in range(1, 4_001)
        ]
        await store.ledger.record_decisions(told)
        await session.execute("ANALYZE decisions")
        await session.execute("ANALYZE decisions_by_policy")
        plan = [row[0] for row in await session.rows(f"EXPLAIN SELECT id FROM {source}")]
        assert [step for step in plan if index in step], plan
        assert [step for step in plan if "Seq Scan" in step] == []


async def test_a_decision_told_at_two_replicas_is_there_once(url: str) -> None:
    async with replica(url) as one, replica(url) as other:
        told = [decided(number) for number in range(1, 201)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(store.ledger.record_decisions(told)) for store in (one, other)]
        new = [task.result() for task in tasks]
        assert new[0] | new[1] == {each.id for each in told}
        assert not new[0] & new[1]
        query = DecisionQuery(choice=DecisionChoice(namespace="default", policy_id="freeze"), limit=1_000)
        assert len(await other.archive.decisions(query)) == 200
        assert await one.ledger.expire_decisions(201, 500) == 200
        assert await other.archive.decisions(query) == []
