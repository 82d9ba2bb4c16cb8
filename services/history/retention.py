"""Deleting what is too old, or too much."""

from dataclasses import dataclass
from datetime import timedelta

from libs.clock import Clock
from libs.faults import Unavailable
from libs.log import get_logger
from services.history import metrics
from services.history.domain.moments import to_us
from services.history.ports import Archive, Ledger
from services.history.write_health import WriteHealth

ROWS_A_STEP = 500
PAUSE = timedelta(milliseconds=20)
DEFINITION_AGE = timedelta(days=1)
"""Shortest time that a definition stays after its last use: senders tell each again at least as often."""

logger = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """How long things are kept; 0 keeps them for ever."""

    executions: timedelta = timedelta(0)
    """Since they were due, once they have ended."""
    dead_letters: timedelta = timedelta(0)
    """Since they died."""
    most_dead_letters: int = 100_000
    """In a namespace, whatever their age."""
    decisions: timedelta = timedelta(0)
    """Of policies, since they were taken."""


class Retention:
    """Deletes what is older than its age, in small steps between which others write."""

    def __init__(
        self, ledger: Ledger, archive: Archive, health: WriteHealth, clock: Clock, *, ages: Ages, interval: timedelta
    ) -> None:
        self._ledger = ledger
        self._archive = archive
        self._health = health
        self._clock = clock
        self._ages = ages
        self._interval = interval

    async def run(self) -> None:
        """Looks every `interval`, until cancelled."""
        while True:
            await self._clock.sleep(self._interval)
            try:
                await self.expire_dead_letters()
                await self.expire_decisions()
                await self.expire()
            except Unavailable as fault:
                self._health.failed(fault)

    async def expire(self) -> int:
        """Deletes what is too old now, and definitions that nothing refers to; gives the number of executions."""
        if not self._ages.executions:
            return 0
        before_us = to_us(self._clock.now() - self._ages.executions)
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

    async def expire_dead_letters(self) -> int:
        """Deletes dead letters that are too old now, or too many; gives their number. Shows how many are open."""
        ages, total = self._ages, 0
        before_us = to_us(self._clock.now() - ages.dead_letters) if ages.dead_letters else 0
        while deleted := await self._ledger.expire_dead_letters(before_us, ages.most_dead_letters, ROWS_A_STEP):
            total += deleted
            await self._clock.sleep(PAUSE)
        if total:
            metrics.EXPIRED_LETTERS.inc(total)
            logger.info("old dead letters deleted", dead_letters=total)
        metrics.show_open_letters(await self._archive.count_dead_letters())
        return total

    async def expire_decisions(self) -> int:
        """Deletes decisions of policies that are too old now; gives their number."""
        if not self._ages.decisions:
            return 0
        before_us, total = to_us(self._clock.now() - self._ages.decisions), 0
        while deleted := await self._ledger.expire_decisions(before_us, ROWS_A_STEP):
            total += deleted
            await self._clock.sleep(PAUSE)
        if total:
            metrics.EXPIRED_DECISIONS.inc(total)
            logger.info("old decisions of policies deleted", decisions=total)
        return total
