"""The bound on what is under way."""

import asyncio

from services.history.room import Room


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_does_not_fit_waits_until_something_leaves() -> None:
    room = Room(10)
    await room.enter(6)
    async with asyncio.TaskGroup() as group:
        late = group.create_task(room.enter(5))
        await settle()
        assert not late.done()
        room.leave(6)
    assert room.used == 5


async def test_those_who_wait_are_let_in_in_their_order() -> None:
    room, order = Room(10), []

    async def enter(name: str, size: int) -> None:
        await room.enter(size)
        order.append(name)

    await room.enter(10)
    async with asyncio.TaskGroup() as group:
        for name, size in (("large", 9), ("small", 1), ("next", 5)):
            group.create_task(enter(name, size))
            await settle()
        room.leave(10)
        await settle()
        assert order == ["large", "small"]
        room.leave(9)
    assert order == ["large", "small", "next"]


async def test_what_is_larger_than_the_room_goes_in_alone() -> None:
    room = Room(10)
    await room.enter(50)
    async with asyncio.TaskGroup() as group:
        late = group.create_task(room.enter(1))
        await settle()
        assert not late.done()
        room.leave(50)


async def test_one_who_gives_up_waiting_takes_no_room() -> None:
    room = Room(10)
    await room.enter(8)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(room.enter(9))
        behind = group.create_task(room.enter(2))
        await settle()
        assert not behind.done()
        waiting.cancel()
        await settle()
        assert behind.done()
    assert room.used == 10
