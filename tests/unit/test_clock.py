"""Waiting for an event or a time, by the machine's clock and by the fake one."""

import asyncio
from datetime import timedelta

import pytest

from libs.clock import SystemClock
from tests.fakes.clock import FakeClock

SECOND = timedelta(seconds=1)


async def test_a_wait_ends_when_its_time_has_passed() -> None:
    event = asyncio.Event()
    await asyncio.wait_for(SystemClock().wait(event, timedelta(milliseconds=1)), 10)
    assert event.is_set()
    event.clear()
    await asyncio.wait_for(SystemClock().wait(event, -SECOND), 10)
    assert event.is_set()


async def test_a_wait_ends_when_the_event_is_set_and_leaves_no_timer() -> None:
    clock, event = FakeClock(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(clock.wait(event, SECOND))
        await clock.advance(SECOND / 2)
        assert (waiting.done(), clock.sleeping) == (False, 1)
        event.set()
    assert clock.sleeping == 0
    event.clear()
    await clock.advance(SECOND)
    assert not event.is_set()


@pytest.mark.parametrize("clock", [SystemClock(), FakeClock()])
async def test_a_wait_that_is_cancelled_leaves_no_timer(clock: SystemClock | FakeClock) -> None:
    event = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(clock.wait(event, timedelta(milliseconds=5)))
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0.01)
    assert not event.is_set()


async def test_the_fake_clock_wakes_at_the_moment() -> None:
    clock, event = FakeClock(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(clock.wait(event, SECOND))
        await clock.advance(SECOND)
        assert waiting.done()
