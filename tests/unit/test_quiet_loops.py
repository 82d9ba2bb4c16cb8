"""Loops sleep until there is something to do, and miss nothing."""

import asyncio
from datetime import timedelta

import pytest

from services.dispatcher.held import Held
from services.dispatcher.retries import Retries
from services.scheduler.domain.identity import microseconds
from tests.fakes.clock import FakeClock
from tests.fakes.firing import START, Bench, identity_at, stored, times, trigger
from tests.unit.dispatcher.test_memory import make_held

SECOND = timedelta(seconds=1)


async def test_a_job_that_is_due_before_everything_else_fires_on_time() -> None:
    bench = Bench()
    link = bench.link()
    async with bench.owning(stored(schedule="@hourly")):
        await bench.clock.advance(SECOND / 2 + timedelta(milliseconds=1))
        bench.change(stored("b"))
        await bench.clock.advance(timedelta(milliseconds=499))
        assert times(link) == [START + SECOND]


async def test_the_horizon_of_an_idle_shard_moves() -> None:
    bench = Bench()
    bench.link()
    async with bench.owning():
        await bench.clock.advance(10 * SECOND)
        assert bench.watermark() >= START + 4 * SECOND
        (shard,) = bench.owned
        assert shard.horizon_us >= microseconds(bench.clock.now() - SECOND / 2)


async def test_a_written_watermark_goes_back_for_what_was_learned_of_late() -> None:
    bench = Bench()
    async with bench.owning(stored(schedule="@hourly")):
        await bench.clock.advance(10 * SECOND)
        (shard,) = bench.owned
        assert bench.watermark() > START + 8 * SECOND
        shard.unrecorded["late"] = microseconds(START + 5 * SECOND)
        await bench.clock.advance(SECOND)
        assert START + 4 * SECOND < bench.watermark() < START + 5 * SECOND
        shard.unrecorded.clear()
        await bench.clock.advance(SECOND)
        assert bench.watermark() > START + 10 * SECOND


async def test_the_clock_that_is_set_is_noticed_within_half_a_second() -> None:
    bench = Bench()
    link = bench.link()
    async with bench.owning(stored(schedule="@hourly")):
        await bench.clock.advance(SECOND)
        bench.clock.jump(timedelta(minutes=60))
        await bench.clock.advance(SECOND / 2)
        assert times(link) == [START + timedelta(hours=1)]


async def test_what_is_settled_later_is_settled_after_an_outage() -> None:
    bench = Bench()
    bench.link()
    async with bench.owning(stored(schedule="@hourly")):
        (shard,) = bench.owned
        for number in range(120):
            shard.triggers.add(str(number))
            bench.settler.settle(shard, str(number))
        await bench.clock.advance(SECOND)
    assert len(bench.settled.settled) == 120


async def test_retries_wake_for_one_that_is_due_earlier() -> None:
    clock, back = FakeClock(), list[Held]()
    retries = Retries(back.append, clock)
    late, early = make_held(), make_held()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(retries.run())
        retries.add(late, timedelta(seconds=9))
        await clock.advance(SECOND)
        retries.add(early, timedelta(milliseconds=5))
        await clock.advance(timedelta(milliseconds=20))
        assert back == [early]
        running.cancel()


@pytest.mark.parametrize("count", [0, 1])
async def test_retries_sleep_until_one_is_due(count: int) -> None:
    clock, back = FakeClock(), list[Held]()
    retries = Retries(back.append, clock)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(retries.run())
        for _ in range(count):
            retries.add(make_held(), timedelta(seconds=9))
        await clock.advance(SECOND)
        assert clock.sleeping == count
        running.cancel()


async def test_a_trigger_fires_at_once_while_nothing_else_is_due() -> None:
    bench = Bench()
    link = bench.link()
    async with bench.owning(stored(schedule="@hourly")):
        await bench.clock.advance(SECOND)
        bench.order(triggers=[trigger(identity_at(0))])
        await bench.clock.advance(timedelta(milliseconds=1))
        assert len(link.sent) == 1
