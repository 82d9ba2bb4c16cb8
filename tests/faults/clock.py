"""The clock of the harness: all that a history holds is on it."""

import asyncio
import time

SECOND_US = 1_000_000


def now_us() -> int:
    """Microseconds since the Unix epoch."""
    return time.time_ns() // 1000


async def sleep_until(moment_us: int) -> None:
    """Returns at the moment, at once when it is over."""
    await asyncio.sleep(max(0, moment_us - now_us()) / SECOND_US)
