"""Whether the ledger can be written, and what is done while it cannot."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from libs.clock import Clock
from libs.faults import Unavailable
from libs.log import get_logger
from services.history import metrics
from services.history.ports import Ledger

PAUSE = timedelta(seconds=1)

logger = get_logger()


class WriteHealth:
    """Knows from each write whether writing works."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fault: Unavailable | None = None
        self._has_failed = asyncio.Event()
        metrics.IS_WRITABLE.set(1)

    @property
    def is_good(self) -> bool:
        """Whether the last write worked."""
        return self._fault is None

    def failed(self, fault: Unavailable) -> None:
        """A write failed."""
        if self._fault is None or self._fault.reason != fault.reason:
            logger.error("ledger refuses writes", reason=fault.reason, advice=fault.message, **fault.metadata)
        self._fault = fault
        self._has_failed.set()
        metrics.IS_WRITABLE.set(0)

    def worked(self) -> None:
        """A write worked."""
        if self._fault is None:
            return
        logger.info("ledger takes writes again", after=self._fault.reason)
        self._fault = None
        metrics.IS_WRITABLE.set(1)

    async def run(self, ledger: Ledger, tell: Callable[[bool], Awaitable[None]]) -> None:
        """Tells `is_good` when it changes, and probes the ledger while it is not; until cancelled."""
        while True:
            await self._has_failed.wait()
            await tell(False)
            while not self.is_good:
                await self._clock.sleep(PAUSE)
                await self._probe(ledger)
            self._has_failed.clear()
            await tell(True)

    async def _probe(self, ledger: Ledger) -> None:
        if self.is_good:
            return
        try:
            await ledger.probe()
        except Unavailable as fault:
            self.failed(fault)
        else:
            self.worked()
