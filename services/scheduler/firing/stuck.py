"""Runs that were handed out and of which nothing is heard any more."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chronos.history.v1 import execution_pb2

from libs.clock import Clock
from libs.faults import Fault
from libs.log import get_logger
from services.scheduler import metrics
from services.scheduler.convert.findings import retry_rules
from services.scheduler.domain.identity import moment_of
from services.scheduler.domain.invariants import SLACK, Kind, Suspicion, longest_run
from services.scheduler.domain.occurrence import Run
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.owned import OwnedShards
from services.scheduler.ports.ledger import Ledger

Execution = execution_pb2.Execution
LIVE = (Execution.STATUS_UNSPECIFIED, Execution.PENDING, Execution.RUNNING)
IN_DOUBT = 30.0
ASK_AGAIN = 60.0
MOST_ASKED = 500
MOST_TOLD = 20
RUNS_PER_TURN = 2_000
MOST_LIMITS = 10_000
TURN = timedelta(0)


@dataclass(slots=True)
class _Seen:
    """A run that is handed out: since when (monotonic seconds, and a date), and when it was asked about last."""

    run: Run
    since: float
    date: datetime
    asked: float | None = None


class StuckRuns:
    """Each run that was handed out ends in time, or somebody says that it is still under way.

    The repair: when the ledger has the end, that counts. Else its dispatcher is asked whether it holds the run; one
    that it does not hold is handed out again, by the rules of the outbox. No run is taken from a dispatcher that says
    that it holds it.
    """

    def __init__(self, owned: OwnedShards, outbox: Outbox, ledger: Ledger, clock: Clock) -> None:
        self._owned = owned
        self._outbox = outbox
        self._ledger = ledger
        self._clock = clock
        self._held: dict[str, _Seen] = {}
        self._doubtful: dict[str, _Seen] = {}
        self._limits: dict[bytes, float] = {}
        self._log = get_logger()

    async def look(self) -> list[Suspicion]:
        """See scan.Check."""
        found: list[Suspicion] = []
        for kind, runs in ((Kind.STUCK, await self._stuck()), (Kind.IN_DOUBT, self._in_doubt())):
            found += [_suspicion(kind, seen, dispatchers) for seen, dispatchers in runs[:MOST_TOLD]]
            await self._repair(kind, [seen for seen, _ in runs])
        return found

    async def _stuck(self) -> list[tuple[_Seen, str]]:
        """Runs that take too long, and who holds them."""
        now = self._clock.monotonic()
        found: list[tuple[_Seen, str]] = []
        after: dict[str, _Seen] = {}
        for holder, runs in self._outbox.held().items():
            for start in range(0, len(runs), RUNS_PER_TURN):
                for run in runs[start : start + RUNS_PER_TURN]:
                    seen = after[run.execution_id] = self._again(self._held, run)
                    if now - seen.since > SLACK.total_seconds() and now - seen.since > self._limit(run):
                        found.append((seen, holder))
                await self._clock.sleep(TURN)
        self._held = after
        return found

    def _in_doubt(self) -> list[tuple[_Seen, str]]:
        """Runs that nobody has answered for, and the dispatchers that should."""
        now = self._clock.monotonic()
        found: list[tuple[_Seen, str]] = []
        after: dict[str, _Seen] = {}
        for run, dispatchers in self._outbox.in_doubt():
            seen = after[run.execution_id] = self._again(self._doubtful, run)
            if now - seen.since > IN_DOUBT:
                found.append((seen, ", ".join(dispatchers)))
        self._doubtful = after
        return found

    def _limit(self, run: Run) -> float:
        """Seconds that a run may take from when it was handed out."""
        limit = self._limits.get(run.job.definition_id)
        if limit is None:
            if len(self._limits) >= MOST_LIMITS:
                self._limits.clear()
            limit = (longest_run(retry_rules(run.job.definition)) + SLACK).total_seconds()
            self._limits[run.job.definition_id] = limit
        return limit

    def _again(self, before: dict[str, _Seen], run: Run) -> _Seen:
        """What was seen of a run at the last look; anew for a run that was handed out again."""
        seen = before.get(run.execution_id)
        if seen is not None and seen.run is run:
            return seen
        return _Seen(run, self._clock.monotonic(), self._clock.now())

    async def _repair(self, kind: Kind, runs: Sequence[_Seen]) -> None:
        now = self._clock.monotonic()
        due = [seen for seen in runs if seen.asked is None or now - seen.asked >= ASK_AGAIN][:MOST_ASKED]
        due = [seen for seen in due if self._is_ours(seen.run)]
        spaces: dict[str, list[_Seen]] = {}
        for seen in due:
            spaces.setdefault(seen.run.job.namespace, []).append(seen)
        for namespace, some in spaces.items():
            try:
                await self._ask(kind, namespace, some)
            except Fault as error:
                self._log.info("stuck runs not looked up, history away", runs=len(some), error=error.message)
                return
            for seen in some:
                seen.asked = now

    async def _ask(self, kind: Kind, namespace: str, runs: Iterable[_Seen]) -> None:
        """Believes the ledger if it has the end; asks the dispatchers otherwise."""
        ids = [seen.run.execution_id for seen in runs]
        found = await self._ledger.find(namespace, ids=ids, limit=len(ids))
        ended = {execution.id: execution.status for execution in found.executions if execution.status not in LIVE}
        open_runs = [seen.run for seen in runs if seen.run.execution_id not in ended and self._is_ours(seen.run)]
        concluded = sum(self._outbox.conclude(identity, status) for identity, status in ended.items())
        asked = self._outbox.ask_again([run.execution_id for run in open_runs])
        metrics.INVARIANT_REPAIRS.labels(kind=kind.value).inc(concluded + asked)

    def _is_ours(self, run: Run) -> bool:
        shard = self._owned.get(run.shard, run.epoch)
        return shard is not None and shard.is_open and self._owned.is_trusted(shard)


def _suspicion(kind: Kind, seen: _Seen, dispatchers: str) -> Suspicion:
    run = seen.run
    name = f"the run of {run.job.namespace}/{run.job.id} for {moment_of(run.scheduled_us).isoformat()}"
    if kind is Kind.STUCK:
        message = f"{name} is at {dispatchers}, and has not ended for longer than its timeout and retries allow"
        fix = (
            "its dispatcher is asked every minute, and it is handed out again if it is not there; look at the "
            "endpoint, at the circuit breakers, and whether history can write; cancel the run to give it up"
        )
    else:
        message = f"{name} was handed out, and {dispatchers} does not say whether it is still there"
        fix = "it is asked again every minute; if that dispatcher hangs, stop it: its runs go to another one then"
    return Suspicion(kind=kind, subject=f"execution {run.execution_id}", message=message, fix=fix, since=seen.date)
