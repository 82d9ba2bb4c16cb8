"""Forecasts against runs counted one by one."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from chronos.scheduler.v1 import job_pb2, stored_job_pb2, timing_pb2

from libs.faults import InvalidArgument
from services.scheduler.convert.firing import job_schedule
from services.scheduler.timing.forecasts import Forecasts
from tests.fakes.calendars import FakeCalendarBook, FakeJobScan
from tests.fakes.clock import FakeClock
from tests.fakes.scheduler import FakeJobStore

BEGIN = datetime(2026, 3, 28, 22, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def jobs() -> FakeJobStore:
    return FakeJobStore()


@pytest.fixture
def forecasts(jobs: FakeJobStore) -> Forecasts:
    return Forecasts(jobs, FakeJobScan(jobs), FakeCalendarBook(), FakeClock(BEGIN), most_occurrences=20_000)


async def add(jobs: FakeJobStore, job_id: str, schedule: str, effective: datetime = LONG_AGO, **fields: object) -> None:
    job = job_pb2.Job(namespace="default", id=job_id, schedule=schedule, timezone="Europe/Berlin", enabled=True)
    job.MergeFrom(job_pb2.Job(**fields))  # type: ignore[arg-type]
    job.created_at.FromDatetime(LONG_AGO)
    stored = stored_job_pb2.StoredJob(job=job)
    stored.effective_at.FromDatetime(effective)
    await jobs.insert(stored)


async def crowd(jobs: FakeJobStore) -> None:
    for number in range(4):
        await add(jobs, f"same-{number}", "*/5 * * * *")
        await add(jobs, f"spread-{number}", "H H(0-3) * * *")
        await add(jobs, f"night-{number}", "30 2 * * *")
    await add(jobs, "other-zone", "*/5 * * * *", timezone="Asia/Kathmandu")
    await add(jobs, "skips", "30 2 * * *", dst_policy=timing_pb2.DstPolicy(skipped_time=timing_pb2.DstPolicy.SKIP))
    await add(jobs, "every", "@every 7m")
    await add(jobs, "late", "*/5 * * * *", BEGIN + timedelta(hours=2))
    await add(jobs, "week", "0 * * * *", calendars=timing_pb2.CalendarRule(exclude=["weekends"]))
    await add(jobs, "window", "* * * * *", active_windows=[timing_pb2.Window(start="01:00", end="01:30")])
    jitter = job_pb2.Job()
    jitter.jitter.FromTimedelta(timedelta(minutes=4))
    await add(jobs, "jitter", "*/10 * * * *", jitter=jitter.jitter)
    await add(jobs, "off", "* * * * *")
    jobs.jobs["default", "off"].stored.job.enabled = False
    await add(jobs, "by-hand", "")
    await add(jobs, "broken", "61 * * * *")


def naive(jobs: FakeJobStore, end: datetime, step: timedelta) -> tuple[list[int], list[int]]:
    seconds: Counter[datetime] = Counter()
    for name, versioned in jobs.jobs.items():
        stored = versioned.stored
        if not stored.job.enabled or name[1] in ("broken", "by-hand"):
            continue
        schedule = job_schedule(stored, FakeCalendarBook().sets("default"))
        assert schedule is not None
        moment = schedule.next_after(stored.effective_at.ToDatetime(tzinfo=UTC))
        while moment is not None and moment < end:
            seconds[moment.replace(microsecond=0)] += moment >= BEGIN
            moment = schedule.next_after(moment)
    runs, peaks = [], []
    at = BEGIN
    while at < end:
        inside = [count for second, count in seconds.items() if at <= second < at + step]
        runs.append(sum(inside))
        peaks.append(max(inside, default=0))
        at += step
    return runs, peaks


@pytest.mark.parametrize("step", [timedelta(minutes=5), timedelta(minutes=7), timedelta(seconds=30)])
async def test_a_forecast_is_what_counting_one_by_one_gives(
    jobs: FakeJobStore, forecasts: Forecasts, step: timedelta
) -> None:
    await crowd(jobs)
    end = BEGIN + timedelta(hours=6)
    runs, peaks = naive(jobs, end, step)
    for forecast in (
        await forecasts.of_cluster(BEGIN, end, step),
        await forecasts.of_namespace("default", BEGIN, end, step),
    ):
        assert [interval.runs for interval in forecast.intervals] == runs
        assert [interval.peak_per_second for interval in forecast.intervals] == peaks
        assert forecast.total_runs == sum(runs)
        assert forecast.jobs == len(jobs.jobs) - 1
        assert forecast.intervals[1].start.ToDatetime(tzinfo=UTC) == BEGIN + step


async def test_a_namespace_sees_its_own_jobs_only(jobs: FakeJobStore, forecasts: Forecasts) -> None:
    await crowd(jobs)
    forecast = await forecasts.of_namespace("other", None, None, None)
    assert (forecast.jobs, forecast.total_runs, len(forecast.intervals)) == (0, 0, 60)


@pytest.mark.parametrize(
    ("end", "step", "field"),
    [
        (BEGIN, None, "to"),
        (BEGIN + timedelta(days=32), timedelta(hours=1), "to"),
        (BEGIN + timedelta(hours=1), timedelta(seconds=1), "step"),
        (BEGIN + timedelta(hours=1), timedelta(seconds=90.5), "step"),
        (BEGIN + timedelta(hours=1), timedelta(milliseconds=10), "step"),
    ],
)
async def test_a_range_that_is_not_possible_is_refused_with_its_field(
    forecasts: Forecasts, end: datetime, step: timedelta | None, field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await forecasts.of_cluster(BEGIN, end, step)
    assert [violation.field for violation in caught.value.violations] == [field]


async def test_too_much_to_look_at_is_refused(jobs: FakeJobStore, forecasts: Forecasts) -> None:
    await add(jobs, "busy", "* * * * * *")
    with pytest.raises(InvalidArgument, match="20,000 times"):
        await forecasts.of_cluster(BEGIN, BEGIN + timedelta(hours=6), timedelta(minutes=1))
