"""Deleting what is too old."""

from datetime import timedelta

from libs.clock import Clock
from libs.faults import Unavailable
from libs.log import get_logger
from services.history import metrics
from services.history.domain.moments import to_us
from services.history.ports import Ledger
from services.history.write_health import WriteHealth

ROWS_A_STEP = 500
PAUSE = timedelta(milliseconds=20)
DEFINITION_AGE = timedelta(days=1)
"""Shortest time that a definition stays after its last use: senders tell each again at least as often."""

logger = get_logger()


class Retention:
    """Deletes finished executions that were due longer ago than `age`, in small steps between which others write."""

    def __init__(
        self, ledger: Ledger, health: WriteHealth, clock: Clock, *, age: timedelta, interval: timedelta
    ) -> None:
        """An age of 0 keeps everything."""
        self._ledger = ledger
        self._health = health
        self._clock = clock
        self._age = age
        self._interval = interval

    async def run(self) -> None:
        """Looks every `interval`, until cancelled."""
        while True:
            await self._clock.sleep(self._interval)
            try:
                await self.expire()
            except Unavailable as fault:
                self._health.failed(fault)

    async def expire(self) -> int:
        """Deletes what is too old now, and definitions that nothing refers to; gives the number of executions."""
        if not self._age:
            return 0
        before_us = to_us(self._clock.now() - self._age)
        total = 0
        while deleted := await self._ledger.expire(before_us, ROWS_A_STEP):
            total += deleted
            await self._clock.sleep(PAUSE)
        unused_since_us = min(before_us, to_us(self._clock.now() - DEFINITION_AGE))
        while swept := await self._ledger.sweep(unused_since_us, ROWS_A_STEP):
            metrics.SWEPT.inc(swept)
            await self._clock.sleep(PAUSE)
        if total:
            metrics.EXPIRED.inc(total)
            logger.info("old executions deleted", executions=total)
        return total
