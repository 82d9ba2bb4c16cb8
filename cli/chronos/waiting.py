"""Waiting for whichever comes first. `libs.process` brings tracing and metrics along, which no command needs."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first_of(*waits: Coroutine[Any, Any, object]) -> int:
    """Returns the index of the wait that is over first, and cancels the others. Raises what the first one raised."""
    tasks: list[asyncio.Task[object]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks.extend(group.create_task(wait) for wait in waits)
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            first = next(index for index, task in enumerate(tasks) if task in done)
            for task in tasks:
                task.cancel()
    except ExceptionGroup as errors:
        raise first_error(errors) from None
    return first


def first_error(group: ExceptionGroup) -> Exception:
    """What went wrong first in a task group, however deep it lies."""
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
