"""Waiting in tests for what other tasks do."""

import asyncio
from collections.abc import Callable

TURNS = 2_000


async def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Waits in real time, for what real servers do."""
    async with asyncio.timeout(within_s):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


async def soon(condition: Callable[[], bool]) -> None:
    """Lets other tasks take their turns, while no time passes, for what fakes do."""
    for _ in range(TURNS):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not happen without time passing")
