"""Watching: nothing missed, in order, in bounded memory."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta

from services.history.domain.records import Batch, Status
from services.history.feed import PAGE, Feed, Scope, Step
from services.history.ports import Position
from tests.fakes.clock import FakeClock
from tests.fakes.history_records import execution_id, record
from tests.fakes.ledger import FakeLedger

INTERVAL = timedelta(milliseconds=50)
KEEP_ALIVE = timedelta(seconds=10)
DEFAULT = Scope(namespace="default")


class Watched:
    def __init__(self, *, buffer: int = 100) -> None:
        self.ledger = FakeLedger()
        self.clock = FakeClock()
        self.feed = Feed(self.ledger, self.clock, interval=INTERVAL, keep_alive=KEEP_ALIVE, buffer=buffer)

    async def record(self, *numbers: int, **changes: object) -> None:
        for number in numbers:
            await self.ledger.take(Batch([record(number, **changes)]))  # type: ignore[arg-type]

    @asynccontextmanager
    async def watch(
        self, scope: Scope = DEFAULT, after: Position | None = None
    ) -> AsyncIterator[AsyncGenerator[Step, None]]:
        """A watch of which the first message, which tells where it begins, has been read."""
        async with asyncio.TaskGroup() as group, aclosing(self.feed.watch(scope, after)) as steps:
            loop = group.create_task(self.feed.run())
            await anext(steps)
            yield steps
            loop.cancel()

    async def told(self, steps: AsyncGenerator[Step, None], count: int) -> list[bytes]:
        """The ids of the next executions, while time goes on."""
        ids: list[bytes] = []
        async with asyncio.TaskGroup() as group:
            passing = group.create_task(self._pass_time())
            while len(ids) < count:
                step = await anext(steps)
                if step.record is not None:
                    ids.append(step.record.id)
            passing.cancel()
        return ids

    async def _pass_time(self) -> None:
        while True:
            await self.clock.advance(INTERVAL)


async def following(steps: AsyncGenerator[Step, None]) -> Step:
    return await anext(steps)


def ids(*numbers: int) -> list[bytes]:
    return [execution_id(number) for number in numbers]


async def test_a_watch_begins_now() -> None:
    watched = Watched()
    await watched.record(1, 2)
    async with watched.watch() as steps:
        await watched.record(3, 4)
        assert await watched.told(steps, 2) == ids(3, 4)


async def test_a_watch_begins_by_telling_where_it_is() -> None:
    watched = Watched()
    await watched.record(1)
    async with aclosing(watched.feed.watch(DEFAULT, None)) as steps:
        assert await anext(steps) == Step(position=Position(ledger_id="fake", seq=1))


async def test_a_watch_resumes_after_its_position() -> None:
    watched = Watched()
    await watched.record(1, 2, 3)
    async with watched.watch(after=Position(ledger_id="fake", seq=1)) as steps:
        assert await watched.told(steps, 2) == ids(2, 3)
        await watched.record(4)
        assert await watched.told(steps, 1) == ids(4)


async def test_a_position_of_another_ledger_means_the_oldest() -> None:
    watched = Watched()
    await watched.record(1, 2)
    async with watched.watch(after=Position(ledger_id="lost", seq=99)) as steps:
        assert await watched.told(steps, 2) == ids(1, 2)


async def test_a_watch_tells_of_its_scope_only() -> None:
    watched = Watched()
    async with watched.watch(Scope(namespace="default", job_id="report")) as steps:
        await watched.record(1, namespace="ops")
        await watched.record(2, job_id="other")
        await watched.record(3)
        assert await watched.told(steps, 1) == ids(3)


async def test_an_execution_is_told_again_when_it_changes() -> None:
    watched = Watched()
    async with watched.watch() as steps:
        await watched.record(1, status=Status.RUNNING)
        assert await watched.told(steps, 1) == ids(1)
        await watched.record(1)
        assert await watched.told(steps, 1) == ids(1)


async def test_what_is_recorded_here_is_told_without_waiting_for_the_next_look() -> None:
    watched = Watched()
    async with watched.watch() as steps, asyncio.TaskGroup() as group:
        step = group.create_task(following(steps))
        await watched.clock.advance(timedelta(milliseconds=1))
        await watched.record(1)
        watched.feed.wake()
        await watched.clock.advance(timedelta(0))
        assert step.done()


async def test_a_quiet_watch_says_that_it_is_alive_and_where() -> None:
    watched = Watched()
    async with watched.watch() as steps, asyncio.TaskGroup() as group:
        step = group.create_task(following(steps))
        await watched.clock.advance(timedelta(seconds=1))
        await watched.record(1, namespace="ops")
        await watched.clock.advance(KEEP_ALIVE)
        assert step.result() == Step(position=Position(ledger_id="fake", seq=1))


async def test_a_slow_watcher_misses_nothing_and_takes_no_memory() -> None:
    watched = Watched(buffer=3)
    async with watched.watch() as slow, aclosing(watched.feed.watch(DEFAULT, None)) as quick:
        await anext(quick)
        await watched.record(1)
        assert await watched.told(slow, 1) == await watched.told(quick, 1) == ids(1)
        for number in range(2, 30):
            await watched.record(number)
            assert await watched.told(quick, 1) == ids(number)
        assert await watched.told(slow, 28) == ids(*range(2, 30))


async def test_a_watch_far_behind_catches_up_page_by_page() -> None:
    watched = Watched()
    await watched.ledger.take(Batch([record(number) for number in range(1, 2 * PAGE + 10)]))
    async with watched.watch(after=Position(ledger_id="fake", seq=0)) as steps:
        found = await watched.told(steps, 2 * PAGE + 9)
    assert found == ids(*range(1, 2 * PAGE + 10))


async def test_watchers_from_different_positions_each_get_everything_once() -> None:
    watched = Watched(buffer=5)
    await watched.record(*range(1, 40))
    async with watched.watch(after=Position(ledger_id="fake", seq=30)) as late:
        assert await watched.told(late, 2) == ids(31, 32)
        async with aclosing(watched.feed.watch(DEFAULT, Position(ledger_id="fake", seq=3))) as early:
            await anext(early)
            await watched.record(40)
            assert await watched.told(early, 37) == ids(*range(4, 41))
            assert await watched.told(late, 8) == ids(*range(33, 41))


async def test_live_watches_outlast_a_ledger_that_cannot_be_read_for_a_while() -> None:
    watched = Watched()
    async with watched.watch() as steps:
        await watched.record(1)
        assert await watched.told(steps, 1) == ids(1)
        watched.ledger.read_faults = 3
        await watched.record(2)
        assert await watched.told(steps, 1) == ids(2)


async def test_nobody_looks_while_nobody_watches() -> None:
    watched = Watched()
    async with watched.watch() as steps:
        await watched.record(1)
        assert await watched.told(steps, 1) == ids(1)
    looks = watched.ledger.looks
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(watched.feed.run())
        await watched.clock.advance(timedelta(minutes=1))
        loop.cancel()
    assert watched.ledger.looks == looks
