"""Connections: one for each key, opened once, closed when idle, too many or broken."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from services.dispatcher.adapters.pool import Pool, open_pool
from tests.fakes.clock import FakeClock

IDLE = timedelta(minutes=5)


class Wire:
    """A connection that can be told apart."""

    def __init__(self, key: str, number: int) -> None:
        self.key = key
        self.number = number
        self.is_closed = False


class Opener:
    """Opens wires; `gate` holds it up, `error` makes it fail, `stuck` makes closing fail."""

    def __init__(self) -> None:
        self.opened: list[Wire] = []
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.stuck: Wire | None = None

    async def open(self, key: str) -> Wire:
        self.asked += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.opened.append(Wire(key, len(self.opened)))
        return self.opened[-1]

    async def close(self, wire: Wire) -> None:
        if wire is self.stuck:
            raise OSError("cannot be closed")
        wire.is_closed = True


@asynccontextmanager
async def opened(opener: Opener, clock: FakeClock, *, limit: int = 8) -> AsyncIterator[Pool[str, Wire]]:
    async with open_pool(opener.open, opener.close, limit=limit, idle=IDLE, clock=clock) as pool:
        yield pool


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_connection_is_opened_once_and_kept() -> None:
    opener = Opener()
    async with opened(opener, FakeClock()) as pool:
        assert await pool.get("a") is await pool.get("a")
        assert (await pool.get("b")).key == "b"
    assert opener.asked == 2


async def test_all_who_ask_meanwhile_get_the_one_being_opened() -> None:
    opener = Opener()
    opener.gate.clear()
    async with opened(opener, FakeClock()) as pool, asyncio.TaskGroup() as group:
        asking = [group.create_task(pool.get("a")) for _ in range(5)]
        await settle()
        opener.gate.set()
    assert opener.asked == 1
    assert {task.result().number for task in asking} == {0}


async def test_a_failed_opening_is_told_to_all_who_wait_and_not_kept() -> None:
    opener = Opener()
    opener.gate.clear()
    opener.error = ConnectionRefusedError("nobody there")
    async with opened(opener, FakeClock()) as pool:
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(fails(pool)) for _ in range(3)]
            await settle()
            opener.gate.set()
        assert [task.result() for task in asking] == ["nobody there"] * 3
        assert (opener.asked, len(pool)) == (1, 0)
        opener.error = None
        assert (await pool.get("a")).key == "a"


async def fails(pool: Pool[str, Wire]) -> str:
    with pytest.raises(ConnectionRefusedError) as caught:
        await pool.get("a")
    return str(caught.value)


async def test_who_waits_takes_over_from_one_that_is_cancelled() -> None:
    opener = Opener()
    opener.gate.clear()
    async with opened(opener, FakeClock()) as pool, asyncio.TaskGroup() as group:
        first, second = group.create_task(pool.get("a")), group.create_task(pool.get("a"))
        await settle()
        first.cancel()
        await settle()
        opener.gate.set()
    assert (opener.asked, second.result().key) == (2, "a")


async def test_a_dropped_connection_is_closed_and_opened_anew() -> None:
    opener = Opener()
    async with opened(opener, FakeClock()) as pool:
        broken = await pool.get("a")
        await pool.drop("a", broken)
        await settle()
        assert broken.is_closed
        fresh = await pool.get("a")
        assert fresh is not broken
        await pool.drop("a", broken)
        assert await pool.get("a") is fresh
        assert not fresh.is_closed


async def test_the_least_recently_used_is_closed_beyond_the_limit() -> None:
    opener = Opener()
    async with opened(opener, FakeClock(), limit=2) as pool:
        for key in ("a", "b", "a", "c"):
            await pool.get(key)
        await settle()
        assert [(wire.key, wire.is_closed) for wire in opener.opened] == [("a", False), ("b", True), ("c", False)]


async def test_an_idle_connection_is_closed_and_a_used_one_stays() -> None:
    opener, clock = Opener(), FakeClock()
    async with opened(opener, clock) as pool:
        idle, used = await pool.get("idle"), await pool.get("used")
        await clock.advance(IDLE * 0.75)
        await pool.get("used")
        await clock.advance(IDLE * 0.5)
        assert (idle.is_closed, used.is_closed, len(pool)) == (True, False, 1)


async def test_all_are_closed_at_the_end_even_if_one_cannot_be() -> None:
    opener = Opener()
    async with opened(opener, FakeClock()) as pool:
        opener.stuck = await pool.get("stuck")
        await pool.get("a")
    assert [wire.is_closed for wire in opener.opened] == [False, True]


async def test_one_opened_while_all_are_closed_is_closed_too() -> None:
    opener = Opener()
    opener.gate.clear()
    async with opened(opener, FakeClock()) as pool, asyncio.TaskGroup() as group:
        asking = group.create_task(pool.get("late"))
        await settle()
        await pool.close()
        opener.gate.set()
        late = await asking
        await settle()
        assert late.is_closed


async def test_what_the_user_of_a_pool_raises_comes_out_as_it_is() -> None:
    opener = Opener()

    async def use() -> None:
        async with opened(opener, FakeClock()) as pool:
            await pool.get("a")
            raise LookupError

    with pytest.raises(LookupError):
        await use()
    assert opener.opened[0].is_closed
