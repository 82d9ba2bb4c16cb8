"""Telling a call that ended by itself from a task that is cancelled."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from libs.faults import Unavailable


@contextmanager
def unasked_is_unavailable() -> Iterator[None]:
    """Raises Unavailable for a CancelledError of which nobody has asked the current task.

    grpc.aio raises it in whoever awaits a call when the call is cancelled, also by the end of its channel. A TaskGroup
    would take that for the wish that the task ends, and say nothing.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Unavailable("the call was cancelled here, perhaps with its channel") from error
