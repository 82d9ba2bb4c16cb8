"""Occurrences that are taken out of a schedule are explained as they pass."""

import asyncio
from datetime import timedelta

import pytest
from chronos.scheduler.v1 import timing_pb2

from services.scheduler.domain.schedule.calendar import day_set
from services.scheduler.ports.jobs import Versioned
from tests.fakes.firing import SECOND, SHARD, START, Bench, Execution, identity_at, stored, times

WINDOW = timing_pb2.Window(start="00:00:03", end="00:00:06")


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_runs_inside_a_blackout_window_are_explained_in_one_record(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(stored(blackout_windows=[WINDOW])):
        await bench.clock.advance(8 * SECOND)
        assert times(link) == [START + n * SECOND for n in (1, 2, 6, 7, 8)]
        (skipped,) = bench.noted()
        assert (skipped.id, skipped.reason_code) == (identity_at(3), Execution.WINDOW)
        assert skipped.skipped_count == 3
        assert skipped.skipped_until.ToDatetime(START.tzinfo) == START + 5 * SECOND


async def test_runs_on_a_day_that_a_calendar_excludes_are_explained_with_its_name(bench: Bench) -> None:
    link = bench.link()
    bench.calendars.days["new-year"] = day_set(["01-01"], "", [])
    rule = timing_pb2.CalendarRule(exclude=["new-year"])
    async with bench.owning(stored(schedule="*/10 * * * * *", calendars=rule)):
        await bench.clock.advance(12 * SECOND)
        assert link.sent == []
        (skipped,) = bench.noted()
        assert skipped.reason_code == Execution.CALENDAR
        assert "new-year" in skipped.reason


async def test_a_calendar_that_changes_takes_effect(bench: Bench) -> None:
    link = bench.link()
    bench.calendars.days["new-year"] = day_set([], "", [])
    job = stored(schedule="*/10 * * * * *", calendars=timing_pb2.CalendarRule(exclude=["new-year"]))
    await bench.store.insert(job)
    async with bench.owning(job):
        await bench.clock.advance(10 * SECOND)
        assert len(link.sent) == 1
        bench.calendars.change("new-year", day_set(["01-01"], "", []))
        await bench.clock.advance(30 * SECOND)
        assert len(link.sent) == 1


async def test_a_job_that_is_deleted_while_it_is_read_for_a_calendar_stays_away(bench: Bench) -> None:
    link, answer, read = bench.link(), asyncio.Event(), bench.store.get

    async def slow(namespace: str, job_id: str) -> Versioned | None:
        found = await read(namespace, job_id)
        await answer.wait()
        return found

    bench.store.get = slow  # type: ignore[method-assign]
    bench.calendars.days["new-year"] = day_set(["01-01"], "", [])
    job = stored(schedule="*/10 * * * * *", calendars=timing_pb2.CalendarRule(exclude=["new-year"]))
    await bench.store.insert(job)
    async with bench.owning(job):
        bench.calendars.change("new-year", day_set([], "", []))
        await bench.clock.advance(SECOND)
        bench.change(removed=[("default", "a")])
        await bench.clock.advance(SECOND)
        answer.set()
        await bench.clock.advance(30 * SECOND)
        assert link.sent == []


async def test_what_is_removed_is_not_explained_before_its_time(bench: Bench) -> None:
    window = timing_pb2.Window(start="00:01:00", end="00:02:00")
    async with bench.owning(stored(blackout_windows=[window])):
        await bench.clock.advance(30 * SECOND)
        assert bench.noted() == []


async def test_a_job_that_comes_while_nothing_is_awaited_is_explained_within_two_seconds(bench: Bench) -> None:
    async with bench.owning():
        await bench.clock.advance(5 * SECOND)
        job = stored(blackout_windows=[timing_pb2.Window(start="00:00:00", end="12:00:00")])
        job.effective_at.FromDatetime(START + 5 * SECOND)
        bench.change(job)
        await bench.clock.advance(3 * SECOND)
        assert [note.reason_code for note in bench.noted()] == [Execution.WINDOW]


async def test_a_take_over_in_the_midst_of_a_stretch_says_nothing_new(bench: Bench) -> None:
    bench.shards.watermarks[SHARD] = (1, START + timedelta(minutes=10))
    await bench.clock.advance(timedelta(minutes=10))
    window = timing_pb2.Window(start="00:00:30", end="12:00:00")
    async with bench.owning(stored(schedule="*/10 * * * * *", blackout_windows=[window])):
        await bench.clock.advance(5 * SECOND)
        assert {note.id for note in bench.noted()} <= {identity_at(30), identity_at(550)}


async def test_a_job_whose_calendar_comes_later_begins_to_fire_then(bench: Bench) -> None:
    link = bench.link()
    job = stored(schedule="*/10 * * * * *", calendars=timing_pb2.CalendarRule(exclude=["late"]))
    await bench.store.insert(job)
    async with bench.owning(job):
        await bench.clock.advance(15 * SECOND)
        assert link.sent == []
        bench.calendars.change("late", day_set([], "", []))
        await bench.clock.advance(10 * SECOND)
        assert times(link) == [START + 20 * SECOND]
