"""The look that a replica takes, again and again, at whether everything that it answers for goes on."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from libs.clock import Clock
from libs.log import get_logger
from services.scheduler import metrics
from services.scheduler.domain.invariants import Finding, Kind, Suspicion, Suspicions, differences
from services.scheduler.ports.findings import FindingBoard

TURN = timedelta(0)


class Check(Protocol):
    """Holds some invariants against what is, and repairs what it can repair safely."""

    async def look(self) -> list[Suspicion]:
        """Everything that is not as it should be. Never keeps others from their turn for long."""


class Scan:
    """Turns what the checks suspect into findings: shown in etcd, counted, and a line in the log at begin and end."""

    def __init__(self, checks: Sequence[Check], board: FindingBoard, clock: Clock, *, interval: timedelta) -> None:
        self._checks = checks
        self._board = board
        self._clock = clock
        self._interval = interval
        self._suspicions = Suspicions()
        self._findings: list[Finding] = []
        self._log = get_logger()

    @property
    def findings(self) -> Sequence[Finding]:
        """What was wrong at the last look, the oldest first."""
        return self._findings

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await self._clock.sleep(self._interval)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - what watches over the firing must not end it
                self._log.error("invariants not looked at", exc_info=error)

    async def look(self) -> None:
        """Looks once."""
        suspicions = [suspicion for check in self._checks for suspicion in await check.look()]
        before, self._findings = (
            self._findings,
            self._suspicions.judge(suspicions, now=self._clock.now(), elapsed=self._clock.monotonic()),
        )
        self._board.show(self._findings)
        for kind in Kind:
            count = sum(1 for finding in self._findings if finding.kind is kind)
            metrics.INVARIANT_FINDINGS.labels(kind=kind.value).set(count)
        await self._tell(before)

    async def _tell(self, before: Sequence[Finding]) -> None:
        new, gone = differences(before, self._findings)
        for finding in new:
            self._log.warning(
                "invariant broken",
                kind=finding.kind.value,
                subject=finding.subject,
                since=finding.since.isoformat(timespec="seconds"),
                message=finding.message,
                fix=finding.fix,
            )
            await self._clock.sleep(TURN)
        for finding in gone:
            self._log.info("invariant holds again", kind=finding.kind.value, subject=finding.subject)
