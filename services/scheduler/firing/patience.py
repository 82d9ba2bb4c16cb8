"""Waits for history while it is away."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from libs.clock import Clock
from libs.faults import Unavailable
from libs.log import get_logger

T = TypeVar("T")


class Patience:
    """Asks history until it answers; says once that it is away."""

    def __init__(self, clock: Clock, *, pause: timedelta) -> None:
        self._clock = clock
        self._pause = pause
        self._is_away = False
        self._log = get_logger()

    async def answer(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer, however long that takes. Other errors than Unavailable are raised."""
        while True:
            try:
                answer = await ask()
            except Unavailable as error:
                if not self._is_away:
                    self._log.warning("history away, shards wait for it", error=error.message)
                self._is_away = True
                await self._clock.sleep(self._pause)
                continue
            self._is_away = False
            return answer
