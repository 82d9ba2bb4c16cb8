"""Making up for times of a schedule that have passed."""

from datetime import UTC, datetime, timedelta

import pytest
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2
from hypothesis import given
from hypothesis import strategies as st

from libs.faults import InvalidArgument, WrongState
from services.scheduler.domain.identity import execution_id, microseconds
from services.scheduler.domain.schedule.interval import IntervalSchedule
from services.scheduler.domain.schedule.sequence import last_of
from services.scheduler.runs.backfills import Backfill, Backfills
from services.scheduler.runs.triggers import Triggers
from tests.fakes.clock import FakeClock
from tests.fakes.policies import no_policies
from tests.fakes.scheduler import FakeJobStore, FakeLedger
from tests.fakes.versions import FakeJobFinder, FakeSchedules, FakeTriggerStore

Execution = execution_pb2.Execution
Job = job_pb2.Job
BEGIN = datetime(2025, 12, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Stage:
    """Backfills with everything that they need."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.store = FakeTriggerStore()
        self.ledger = FakeLedger()
        triggers = Triggers(FakeJobFinder(FakeJobStore()), self.store, self.ledger, no_policies(), self.clock)
        self.backfills = Backfills(triggers, FakeSchedules(), self.ledger, no_policies(), self.clock)

    async def run(
        self, stored: stored_job_pb2.StoredJob, start: datetime, end: datetime, **options: object
    ) -> Backfill:
        settings: dict[str, object] = {
            "rerun": False, "concurrency": Job.CONCURRENCY_UNSPECIFIED, "validate_only": False, "actor": "key-1",
        }  # fmt: skip
        return await self.backfills.backfill(stored, start, end, **{**settings, **options})  # type: ignore[arg-type]

    def record(self, identity: str, time: datetime, status: "Execution.Status.ValueType", **fields: object) -> None:
        execution = Execution(
            id=identity, namespace="default", job_id="report", job_uid="u1", status=status, **fields  # type: ignore[arg-type]
        )  # fmt: skip
        execution.scheduled_time.FromDatetime(time)
        self.ledger.executions.append(execution)

    def record_scheduled(self, time: datetime, status: "Execution.Status.ValueType") -> None:
        self.record(execution_id("u1", microseconds(time)), time, status, cause=Execution.SCHEDULE)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def job(schedule: str = "0 * * * *", **fields: object) -> stored_job_pb2.StoredJob:
    message = Job(
        namespace="default", id="report", uid="u1", name="Report", version=3, schedule=schedule, timezone="UTC"
    )
    message.MergeFrom(Job(**fields))  # type: ignore[arg-type]
    message.created_at.FromDatetime(BEGIN)
    stored = stored_job_pb2.StoredJob(job=message)
    stored.effective_at.FromDatetime(BEGIN)
    return stored


def times(backfill: Backfill) -> list[datetime]:
    return [execution.scheduled_time.ToDatetime(UTC) for execution in backfill.executions]


async def test_every_time_in_the_range_gets_a_run_that_keeps_its_time(stage: Stage) -> None:
    done = await stage.run(job(), NOW - 3 * HOUR, NOW)
    assert times(done) == [NOW - 3 * HOUR, NOW - 2 * HOUR, NOW - HOUR]
    first = done.executions[0]
    assert (first.cause, first.status, first.actor, first.job_name) == (
        Execution.BACKFILL, Execution.PENDING, "key-1", "Report",
    )  # fmt: skip
    assert list(stage.store.triggers) == [execution.id for execution in done.executions]
    assert [note.execution.id for note in stage.ledger.notes] == list(stage.store.triggers)


async def test_repeating_it_while_the_runs_wait_adds_nothing(stage: Stage) -> None:
    first = await stage.run(job(), NOW - 3 * HOUR, NOW)
    stage.ledger.executions += first.executions  # announced as PENDING
    second = await stage.run(job(), NOW - 4 * HOUR, NOW)
    assert [execution.id for execution in second.executions][1:] == [execution.id for execution in first.executions]
    assert len(stage.store.triggers) == 4


async def test_times_that_have_succeeded_are_left_out(stage: Stage) -> None:
    stage.record_scheduled(NOW - 3 * HOUR, Execution.SUCCESS)
    stage.record_scheduled(NOW - 2 * HOUR, Execution.SKIPPED)
    done = await stage.run(job(), NOW - 3 * HOUR, NOW)
    assert times(done) == [NOW - 2 * HOUR, NOW - HOUR]
    assert done.already_succeeded == 1


async def test_a_time_that_a_backfill_made_up_for_is_left_out(stage: Stage) -> None:
    promised = (await stage.run(job(), NOW - HOUR, NOW)).executions[0]
    stage.store.triggers.clear()
    stage.record(promised.id, NOW - HOUR, Execution.SUCCESS, cause=Execution.BACKFILL)
    done = await stage.run(job(), NOW - HOUR, NOW)
    assert (list(done.executions), done.already_succeeded) == ([], 1)


async def test_a_time_whose_backfill_failed_gets_another_run(stage: Stage) -> None:
    for _ in range(3):
        failed = (await stage.run(job(), NOW - HOUR, NOW)).executions[0]
        stage.record(failed.id, NOW - HOUR, Execution.FAILED, cause=Execution.BACKFILL)
    assert len(stage.store.triggers) == 3
    last = (await stage.run(job(), NOW - HOUR, NOW)).executions[0]
    assert (await stage.run(job(), NOW - HOUR, NOW)).executions[0].id == last.id


async def test_a_run_that_is_under_way_is_answered_and_not_doubled(stage: Stage) -> None:
    stage.record_scheduled(NOW - 2 * HOUR, Execution.RUNNING)
    stage.record_scheduled(NOW - HOUR, Execution.PENDING)
    done = await stage.run(job(), NOW - 3 * HOUR, NOW)
    assert [execution.status for execution in done.executions] == [
        Execution.PENDING, Execution.RUNNING, Execution.PENDING,
    ]  # fmt: skip
    assert times(done) == [NOW - 3 * HOUR, NOW - 2 * HOUR, NOW - HOUR]
    assert len(stage.store.triggers) == 1


async def test_a_rerun_repeats_also_what_has_succeeded(stage: Stage) -> None:
    stage.record_scheduled(NOW - HOUR, Execution.SUCCESS)
    done = await stage.run(job(), NOW - HOUR, NOW, rerun=True)
    assert times(done) == [NOW - HOUR]
    assert done.already_succeeded == 0
    assert (await stage.run(job(), NOW - HOUR, NOW, rerun=True)).executions[0].id != done.executions[0].id


async def test_checking_only_promises_nothing(stage: Stage) -> None:
    done = await stage.run(job(), NOW - 2 * HOUR, NOW, validate_only=True)
    assert times(done) == [NOW - 2 * HOUR, NOW - HOUR]
    assert not stage.store.triggers
    assert not stage.ledger.notes
    assert [run.id for run in done.executions] == [
        run.id for run in (await stage.run(job(), NOW - 2 * HOUR, NOW)).executions
    ]


@pytest.mark.parametrize(
    ("own", "asked", "expected"),
    [
        (Job.CONCURRENCY_UNSPECIFIED, Job.CONCURRENCY_UNSPECIFIED, Job.QUEUE),
        (Job.FORBID, Job.CONCURRENCY_UNSPECIFIED, Job.QUEUE),
        (Job.ALLOW, Job.CONCURRENCY_UNSPECIFIED, Job.ALLOW),
        (Job.ALLOW, Job.FORBID, Job.FORBID),
    ],
)
async def test_runs_queue_unless_the_job_allows_more_or_the_caller_says_so(
    stage: Stage,
    own: "Job.Concurrency.ValueType",
    asked: "Job.Concurrency.ValueType",
    expected: "Job.Concurrency.ValueType",
) -> None:
    await stage.run(job(concurrency=own), NOW - HOUR, NOW, concurrency=asked)
    assert [trigger.concurrency for trigger in stage.store.triggers.values()] == [expected]


async def test_a_thousand_runs_are_the_most_and_the_refusal_says_where_to_cut(stage: Stage) -> None:
    stored = job("* * * * *")
    cut = NOW - timedelta(minutes=1)
    with pytest.raises(InvalidArgument, match="those before 2025-12-31T23:59:00Z") as caught:
        await stage.run(stored, NOW - timedelta(minutes=1001), NOW)
    assert caught.value.violations[0].field == "to"
    assert len((await stage.run(stored, NOW - timedelta(minutes=1001), cut)).executions) == 1000


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [(NOW - HOUR, NOW + HOUR, "in the future; give 2026-01-01T00:00:00Z at most"), (NOW, NOW, "is not after from")],
)
async def test_a_range_must_lie_in_the_past(stage: Stage, start: datetime, end: datetime, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        await stage.run(job(), start, end)


async def test_a_job_without_times_has_nothing_to_make_up_for(stage: Stage) -> None:
    with pytest.raises(WrongState, match="no schedule"):
        await stage.run(job(""), NOW - HOUR, NOW)


async def test_a_schedule_that_cannot_be_read_any_more_is_no_internal_error(stage: Stage) -> None:
    with pytest.raises(WrongState, match="cannot be read"):
        await stage.run(job(timezone="Gone/Zone"), NOW - HOUR, NOW)


def paused(policy: "Job.MissedRunPolicy.ValueType") -> stored_job_pb2.StoredJob:
    """A job that was disabled for ten hours, and enabled at noon."""
    stored = job(missed_run_policy=policy)
    stored.disabled_at.FromDatetime(NOW - 10 * HOUR)
    stored.effective_at.FromDatetime(NOW)
    return stored


async def test_catching_up_follows_the_missed_run_policy(stage: Stage) -> None:
    await stage.clock.advance(2 * HOUR)  # what is due from enabling on is the schedule's own
    nothing = await stage.backfills.catch_up(paused(Job.IGNORE), actor="k")
    one = await stage.backfills.catch_up(paused(Job.EXECUTE_ONE), actor="k")
    usual = await stage.backfills.catch_up(paused(Job.MISSED_RUN_POLICY_UNSPECIFIED), actor="k")
    assert times(nothing) == []
    assert times(one) == times(usual) == [NOW]
    everything = await stage.backfills.catch_up(paused(Job.EXECUTE_ALL), actor="k")
    assert times(everything) == [NOW - hours * HOUR for hours in range(10, -1, -1)]
    assert len(stage.store.triggers) == 11


async def test_catching_up_stays_in_its_bounds(stage: Stage) -> None:
    stored = paused(Job.EXECUTE_ALL)
    stored.job.catch_up.max_runs = 3
    assert times(await stage.backfills.catch_up(stored, actor="k")) == [NOW - 2 * HOUR, NOW - HOUR, NOW]
    stored.job.catch_up.window.FromTimedelta(90 * timedelta(minutes=1))
    assert times(await stage.backfills.catch_up(stored, actor="k")) == [NOW - HOUR, NOW]


async def test_a_job_that_was_never_disabled_or_has_no_times_catches_up_with_nothing(stage: Stage) -> None:
    assert times(await stage.backfills.catch_up(job(missed_run_policy=Job.EXECUTE_ALL), actor="k")) == []
    stored = paused(Job.EXECUTE_ALL)
    stored.job.schedule = ""
    assert times(await stage.backfills.catch_up(stored, actor="k")) == []


@given(st.integers(1, 500), st.integers(0, 5000), st.integers(1, 50))
def test_the_latest_times_are_the_end_of_all_of_them(period: int, length: int, most: int) -> None:
    schedule = IntervalSchedule(timedelta(seconds=period), BEGIN)
    floor, limit = NOW, NOW + timedelta(seconds=length)
    every: list[datetime] = []
    moment = schedule.next_after(floor)
    while moment is not None and moment < limit:
        every.append(moment)
        moment = schedule.next_after(moment)
    assert list(last_of(schedule, limit, floor=floor, most=most)) == every[-most:]
