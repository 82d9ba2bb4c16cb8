"""Retention, and what is done while the ledger cannot be written."""

import asyncio
from datetime import timedelta

import pytest

from libs.faults import Unavailable
from services.history.domain.dead_letters import Choice
from services.history.domain.moments import to_us
from services.history.domain.records import Batch, Definition, Status
from services.history.ports import DeadLetterQuery
from services.history.retention import ROWS_A_STEP, Ages, Retention
from services.history.write_health import WriteHealth
from tests.fakes.clock import FakeClock
from tests.fakes.history_records import execution_id, record
from tests.fakes.ledger import FakeLedger

FULL = Unavailable("The disk is full.", reason="LEDGER_FULL")
DAY = timedelta(days=1)


@pytest.mark.parametrize(("age", "left"), [(3 * DAY, [1, 2, 4]), (DAY, [2, 4]), (timedelta(0), [1, 2, 3, 4])])
async def test_what_is_older_than_the_retention_goes_unless_unfinished(age: timedelta, left: list[int]) -> None:
    ledger, clock = FakeLedger(), FakeClock()
    now_us = to_us(clock.now())
    dues = {1: 2 * DAY, 2: timedelta(hours=1), 3: 9 * DAY, 4: 9 * DAY}
    await ledger.take(Batch([
        record(n, Status.RUNNING if n == 4 else Status.SUCCESS, scheduled_us=now_us - due // timedelta(microseconds=1))
        for n, due in dues.items()
    ]))  # fmt: skip
    retention = Retention(
        ledger, ledger, WriteHealth(clock), clock, ages=Ages(executions=age), interval=timedelta(minutes=1)
    )
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(retention.run())
        await clock.advance(timedelta(minutes=1, seconds=1))
        loop.cancel()
    assert [n for n in dues if await ledger.find("default", execution_id(n))] == left


async def test_much_goes_in_small_steps_with_pauses() -> None:
    ledger, clock = FakeLedger(), FakeClock()
    await ledger.take(Batch([record(n) for n in range(1, 2 * ROWS_A_STEP + 2)]))
    retention = Retention(
        ledger, ledger, WriteHealth(clock), clock, ages=Ages(executions=DAY), interval=timedelta(minutes=1)
    )
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(retention.run())
        await clock.advance(timedelta(minutes=1))
        assert await ledger.find("default", execution_id(ROWS_A_STEP)) is None
        assert await ledger.find("default", execution_id(ROWS_A_STEP + 1)) is not None
        await clock.advance(timedelta(seconds=1))
        assert await ledger.find("default", execution_id(2 * ROWS_A_STEP + 1)) is None
        loop.cancel()


async def test_definitions_that_nothing_refers_to_go_with_what_is_old() -> None:
    ledger, clock = FakeLedger(), FakeClock()
    kept, gone = (Definition(bytes([n]), b"", b"") for n in (1, 2))
    recent = record(1, definition_id=kept.id, scheduled_us=to_us(clock.now()))
    await ledger.take(Batch([recent, record(2, definition_id=gone.id)], definitions=[kept, gone]))
    retention = Retention(
        ledger, ledger, WriteHealth(clock), clock, ages=Ages(executions=DAY), interval=timedelta(minutes=1)
    )
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(retention.run())
        await clock.advance(timedelta(minutes=2))
        loop.cancel()
    assert list(await ledger.definitions([kept.id, gone.id])) == [kept.id]


@pytest.mark.parametrize(("ages", "left"), [
    (Ages(dead_letters=3 * DAY), [1, 2]),
    (Ages(dead_letters=DAY), [2]),
    (Ages(), [1, 2, 3]),
    (Ages(most_dead_letters=1), [2]),
])  # fmt: skip
async def test_dead_letters_that_are_too_old_or_too_many_go(ages: Ages, left: list[int]) -> None:
    ledger, clock = FakeLedger(), FakeClock()
    deaths = {1: 2 * DAY, 2: timedelta(hours=1), 3: 9 * DAY}
    await ledger.take(Batch([
        record(n, Status.FAILED, completed_us=to_us(clock.now() - age)) for n, age in deaths.items()
    ]))  # fmt: skip
    retention = Retention(ledger, ledger, WriteHealth(clock), clock, ages=ages, interval=timedelta(minutes=1))
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(retention.run())
        await clock.advance(timedelta(minutes=1, seconds=1))
        loop.cancel()
    found = await ledger.dead_letters(DeadLetterQuery(choice=Choice(namespace="default"), limit=9))
    assert sorted(letter.record.id for letter in found) == [execution_id(n) for n in left]


async def test_retention_goes_on_after_a_full_disk() -> None:
    ledger, clock = FakeLedger(), FakeClock()
    health = WriteHealth(clock)
    await ledger.take(Batch([record(1)]))
    ledger.fault = FULL
    retention = Retention(ledger, ledger, health, clock, ages=Ages(executions=DAY), interval=timedelta(minutes=1))
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(retention.run())
        await clock.advance(timedelta(minutes=1))
        assert not health.is_good
        ledger.fault = None
        await clock.advance(timedelta(minutes=1))
        assert await ledger.find("default", execution_id(1)) is None
        loop.cancel()


async def test_a_ledger_that_cannot_be_written_is_tried_until_it_can_be() -> None:
    ledger, clock = FakeLedger(), FakeClock()
    health = WriteHealth(clock)
    told: list[bool] = []

    async def tell(is_good: bool) -> None:
        told.append(is_good)

    async with asyncio.TaskGroup() as group:
        loop = group.create_task(health.run(ledger, tell))
        ledger.fault = FULL
        health.failed(FULL)
        await clock.advance(timedelta(seconds=3))
        assert (told, ledger.probes) == ([False], 3)
        ledger.fault = None
        await clock.advance(timedelta(seconds=1))
        assert told == [False, True]
        assert health.is_good
        await clock.advance(timedelta(minutes=1))
        assert ledger.probes == 4
        loop.cancel()


async def test_a_write_that_works_makes_a_probe_needless() -> None:
    ledger, clock = FakeLedger(), FakeClock()
    health = WriteHealth(clock)
    told: list[bool] = []

    async def tell(is_good: bool) -> None:
        told.append(is_good)

    async with asyncio.TaskGroup() as group:
        loop = group.create_task(health.run(ledger, tell))
        health.failed(FULL)
        await clock.advance(timedelta(milliseconds=10))
        health.worked()
        await clock.advance(timedelta(seconds=2))
        assert (told, ledger.probes) == ([False, True], 0)
        loop.cancel()
