"""A scheduler replica with one shard whose invariants are looked at."""

from collections.abc import Sequence
from datetime import timedelta

from services.scheduler.domain.invariants import Finding, Kind
from services.scheduler.firing.audit import LedgerAudit
from services.scheduler.firing.progress import Firing, Ownership, Writing
from services.scheduler.firing.scan import Scan
from services.scheduler.firing.standing import Standstills
from services.scheduler.firing.stuck import StuckRuns
from tests.fakes.firing import SECOND, SHARD, Bench

INTERVAL = 5 * SECOND


class FakeBoard:
    """Remembers what was shown last."""

    def __init__(self) -> None:
        self.findings: Sequence[Finding] = ()

    def show(self, findings: Sequence[Finding]) -> None:
        self.findings = findings


class ScannedBench(Bench):
    """With every check. Looks happen when a test calls `pass_time`."""

    def __init__(self) -> None:
        super().__init__()
        self.board = FakeBoard()
        self.wanted: set[int] = set()
        self.claimed: set[int] = {SHARD}
        self.live: set[str] = set()
        self.checks = (
            Firing(self.timeline, self.owned, self.outbox, self.clock),
            Writing(self.notes, self.settler),
            Ownership(self.owned, lambda: self.wanted, lambda: self.claimed),
            Standstills(self.owned, self.outbox, self.clock),
            StuckRuns(self.owned, self.outbox, self.ledger, self.clock),
            LedgerAudit(
                self.owned,
                self.outbox,
                self.admission,
                self.completions,
                self.begun,
                self.ledger,
                lambda: self.live,
                self.clock,
            ),
        )
        self.scan = Scan(self.checks, self.board, self.clock, interval=INTERVAL)

    async def pass_time(self, span: timedelta) -> None:
        """Lets time pass, with a look every 5 s."""
        end = self.clock.now() + span
        while self.clock.now() < end:
            await self.clock.advance(min(INTERVAL, end - self.clock.now()))
            await self.scan.look()

    def found(self, kind: Kind) -> list[Finding]:
        """The findings of a kind."""
        return [finding for finding in self.board.findings if finding.kind is kind]

    def kinds(self) -> set[Kind]:
        """The kinds of all findings."""
        return {finding.kind for finding in self.board.findings}
