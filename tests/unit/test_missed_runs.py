"""Runs that were noticed too late."""

from datetime import timedelta

import pytest
from chronos.scheduler.v1 import job_pb2, run_rules_pb2
from google.protobuf.duration_pb2 import Duration

from services.scheduler.domain.identity import microseconds
from tests.fakes.firing import SECOND, SHARD, START, Bench, Event, Execution, identity_at, ids, stored, times

HOUR = timedelta(hours=1)
ALL, ONE, IGNORE = job_pb2.Job.EXECUTE_ALL, job_pb2.Job.EXECUTE_ONE, job_pb2.Job.IGNORE


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.shards.watermarks[SHARD] = (1, START)
    return bench


def bounds(*, window: timedelta | None = None, most: int | None = None, interval: int = 10) -> run_rules_pb2.CatchUp:
    message = run_rules_pb2.CatchUp(max_runs=most, interval=Duration(seconds=interval))
    if window is not None:
        message.window.FromTimedelta(window)
    return message


async def test_ignore_leaves_them_all_out_in_one_record(bench: Bench) -> None:
    link = bench.link()
    await bench.clock.advance(5.5 * HOUR)
    async with bench.owning(stored(schedule="@hourly", missed_run_policy=IGNORE)):
        await bench.clock.advance(SECOND)
        assert link.sent == []
        (skipped,) = bench.noted()
        assert (skipped.reason_code, skipped.skipped_count) == (Execution.MISSED, 5)
        assert skipped.skipped_until.ToDatetime(START.tzinfo) == START + 5 * HOUR
        assert bench.timeline.next_due_us() == microseconds(START + 6 * HOUR)


async def test_the_rest_of_a_stretch_is_explained_when_the_ledger_has_its_first_run(bench: Bench) -> None:
    bench.link()
    ran = Execution(id=identity_at(3600), namespace="default", job_id="a", status=Execution.SUCCESS)
    ran.scheduled_time.FromDatetime(START + HOUR)
    bench.ledger.executions = [ran]
    await bench.clock.advance(5.5 * HOUR)
    async with bench.owning(stored(schedule="@hourly", missed_run_policy=IGNORE)):
        await bench.clock.advance(SECOND)
        _, rest = bench.noted()
        assert (rest.id, rest.reason_code, rest.skipped_count) == (identity_at(2 * 3600), Execution.MISSED, 4)
        assert rest.skipped_until.ToDatetime(START.tzinfo) == START + 5 * HOUR
        assert bench.watermark() > START + 5 * HOUR


async def test_a_stretch_that_the_ledger_has_is_not_explained_again(bench: Bench) -> None:
    bench.link()
    known = Execution(id=identity_at(3600), namespace="default", job_id="a", status=Execution.SKIPPED, skipped_count=5)
    known.scheduled_time.FromDatetime(START + HOUR)
    known.skipped_until.FromDatetime(START + 5 * HOUR)
    bench.ledger.executions = [known]
    await bench.clock.advance(5.5 * HOUR)
    async with bench.owning(stored(schedule="@hourly", missed_run_policy=IGNORE)):
        await bench.clock.advance(SECOND)
        assert len(bench.noted()) == 1


async def test_execute_one_runs_the_latest_at_its_own_scheduled_time(bench: Bench) -> None:
    link = bench.link()
    await bench.clock.advance(5.5 * HOUR)
    async with bench.owning(stored(schedule="@hourly", missed_run_policy=ONE)):
        await bench.clock.advance(SECOND)
        assert times(link) == [START + 5 * HOUR]
        (skipped,) = bench.noted()
        assert skipped.skipped_count == 4


async def test_execute_all_runs_them_oldest_first_at_a_pace(bench: Bench) -> None:
    link = bench.link()
    await bench.clock.advance(3.5 * HOUR)
    async with bench.owning(stored(schedule="@hourly", missed_run_policy=ALL, catch_up=bounds(interval=10))):
        await bench.clock.advance(SECOND)
        assert times(link) == [START + HOUR]
        await bench.clock.advance(10 * SECOND)
        assert times(link) == [START + HOUR, START + 2 * HOUR]
        await bench.clock.advance(10 * SECOND)
        assert times(link) == [START + n * HOUR for n in (1, 2, 3)]
        assert bench.noted() == []


async def test_execute_all_has_a_bound_and_a_window(bench: Bench) -> None:
    link = bench.link()
    await bench.clock.advance(10.5 * HOUR)
    capped = stored("a", "@hourly", missed_run_policy=ALL, catch_up=bounds(most=3, interval=0))
    recent = stored("b", "@hourly", missed_run_policy=ALL, catch_up=bounds(window=2 * HOUR, interval=0))
    async with bench.owning(capped, recent):
        await bench.clock.advance(SECOND)
        by_job = {name: [run.scheduled_us for run in link.sent if run.job.id == name] for name in "ab"}
        assert by_job["a"] == [microseconds(START + n * HOUR) for n in (8, 9, 10)]
        assert by_job["b"] == [microseconds(START + n * HOUR) for n in (9, 10)]
        assert {note.job_id: note.skipped_count for note in bench.noted()} == {"a": 7, "b": 8}


async def test_missed_runs_that_must_not_overlap_wait_for_each_other(bench: Bench) -> None:
    link = bench.link()
    await bench.clock.advance(3.5 * HOUR)
    forbid = job_pb2.Job.FORBID
    async with bench.owning(
        stored(schedule="@hourly", missed_run_policy=ALL, concurrency=forbid, catch_up=bounds(interval=0))
    ):
        await bench.clock.advance(SECOND)
        first, second, third = (identity_at(n * 3600) for n in (1, 2, 3))
        assert ids(link.sent) == [first]
        bench.report(link, Event.FINISHED, first)
        bench.report(link, Event.FINISHED, second)
        assert ids(link.sent) == [first, second, third]
        assert bench.noted() == []


async def test_the_watermark_does_not_pass_missed_runs_that_are_still_to_come(bench: Bench) -> None:
    link = bench.link()
    await bench.clock.advance(3.5 * HOUR)
    async with bench.owning(stored(schedule="@hourly", missed_run_policy=ALL, catch_up=bounds(interval=10))):
        await bench.clock.advance(SECOND)
        bench.report(link, Event.FINISHED, *ids(link.sent))
        await bench.clock.advance(SECOND)
        assert bench.watermark() < START + 2 * HOUR
        await bench.clock.advance(30 * SECOND)
        bench.report(link, Event.FINISHED, *ids(link.sent))
        await bench.clock.advance(SECOND)
        assert bench.watermark() > START + 3 * HOUR


async def test_catching_up_goes_on_after_an_edit_and_ends_with_the_job(bench: Bench) -> None:
    link = bench.link()
    await bench.clock.advance(4.5 * HOUR)
    rules = {"schedule": "@hourly", "missed_run_policy": ALL, "catch_up": bounds(interval=10)}
    async with bench.owning(stored(**rules)):  # type: ignore[arg-type]
        await bench.clock.advance(SECOND)
        bench.change(stored(version=2, **rules))  # type: ignore[arg-type]
        await bench.clock.advance(10 * SECOND)
        assert times(link)[:2] == [START + HOUR, START + 2 * HOUR]
        bench.report(link, Event.FINISHED, *ids(link.sent))
        bench.change(removed=[("default", "a")])
        await bench.clock.advance(SECOND)
        assert bench.watermark() > START + 4 * HOUR


async def test_a_late_run_that_an_earlier_owner_got_recorded_is_neither_repeated_nor_called_missed(
    bench: Bench,
) -> None:
    link = bench.link()
    bench.ledger.recorded = {identity_at(3600)}
    await bench.clock.advance(3.5 * HOUR)
    async with bench.owning(stored(schedule="@hourly", missed_run_policy=IGNORE)):
        await bench.clock.advance(SECOND)
        assert link.sent == []
        (skipped,) = bench.noted()
        assert skipped.id == identity_at(7200)
        assert skipped.skipped_count == 2


async def test_what_a_job_missed_while_disabled_is_explained_when_it_is_enabled(bench: Bench) -> None:
    link = bench.link()
    off = stored(schedule="*/10 * * * * *", enabled=False)
    async with bench.owning(off):
        await bench.clock.advance(35 * SECOND)
        on = stored(schedule="*/10 * * * * *", version=2)
        on.disabled_at.FromDatetime(START + SECOND)
        on.effective_at.FromDatetime(bench.clock.now())
        bench.change(on)
        await bench.clock.advance(SECOND)
        (paused,) = bench.noted()
        assert (paused.reason_code, paused.skipped_count) == (Execution.PAUSED, 3)
        assert link.sent == []
