"""Runs that the ledger has under way and that nobody holds."""

from collections.abc import Callable, Collection, Sequence

from chronos.history.v1 import execution_pb2

from libs.clock import Clock
from libs.faults import Fault
from services.scheduler import metrics
from services.scheduler.convert.firing import adopted_run
from services.scheduler.domain.invariants import Kind, Suspicion
from services.scheduler.firing.admission import Admission
from services.scheduler.firing.begun import BegunVersions
from services.scheduler.firing.completions import Completions
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.owned import OwnedShard, OwnedShards
from services.scheduler.ports.ledger import Ledger

Execution = execution_pb2.Execution
AUDIT_INTERVAL = 60.0
SHARDS_AT_A_LOOK = 8
MOST_TOLD = 20


class LedgerAudit:
    """Compares what history has unfinished for each owned shard with what is held here, once a minute.

    A run counts as held by nobody when two answers in a row have it and nothing here knew it at either time. Then it is
    adopted, as at a take-over: every dispatcher is asked, and only what none holds is handed out again. That waits
    until every live dispatcher is linked.
    """

    def __init__(
        self,
        owned: OwnedShards,
        outbox: Outbox,
        admission: Admission,
        completions: Completions,
        begun: BegunVersions,
        ledger: Ledger,
        dispatchers: Callable[[], Collection[str]],
        clock: Clock,
    ) -> None:
        """`dispatchers` gives the instances that are alive."""
        self._owned = owned
        self._outbox = outbox
        self._admission = admission
        self._completions = completions
        self._begun = begun
        self._ledger = ledger
        self._dispatchers = dispatchers
        self._clock = clock
        self._next: dict[OwnedShard, float] = {}
        self._unheld: dict[OwnedShard, dict[str, Execution]] = {}
        self._told: dict[OwnedShard, list[Suspicion]] = {}

    async def look(self) -> list[Suspicion]:
        """See scan.Check."""
        shards = list(self._owned.trusted().values())
        self._forget_others(shards)
        now = self._clock.monotonic()
        due = [shard for shard in shards if self._next.setdefault(shard, now + AUDIT_INTERVAL) <= now]
        for shard in sorted(due, key=lambda each: self._next[each])[:SHARDS_AT_A_LOOK]:
            try:
                await self._audit(shard)
            except Fault:
                break  # History is away, which others tell; or the shard is not ours any more.
        return [suspicion for told in self._told.values() for suspicion in told][:MOST_TOLD]

    async def _audit(self, shard: OwnedShard) -> None:
        sealed = await self._ledger.seal(shard.shard, shard.epoch, self._clock.now())
        if not (shard.is_open and self._owned.is_trusted(shard)):
            return
        before = self._unheld.get(shard, {})
        unheld = self._unheld_of(shard, sealed.unfinished)
        certain = [execution for identity, execution in unheld.items() if identity in before]
        self._unheld[shard] = unheld
        self._told[shard] = [_suspicion(execution) for execution in certain]
        # Once suspected, a shard is looked at again soon: a run that is lost is lost for those who wait for it, too.
        pause = 0.0 if len(certain) < len(unheld) else AUDIT_INTERVAL
        self._next[shard] = self._clock.monotonic() + pause
        await self._adopt(shard, certain)

    def _unheld_of(self, shard: OwnedShard, unfinished: Sequence[Execution]) -> dict[str, Execution]:
        """Those that were begun and are neither at a dispatcher or on the way to one, nor with their target, nor about
        to be ended here.
        """
        suspects = [
            each
            for each in unfinished
            if each.status == Execution.RUNNING
            and each.id not in shard.unrecorded
            and not self._completions.is_accepted(each.id)
            and not self._outbox.is_handed_out(each.id)
        ]
        queued = self._outbox.queued_ids() if suspects else frozenset()
        return {each.id: each for each in suspects if each.id not in queued}

    async def _adopt(self, shard: OwnedShard, executions: list[Execution]) -> None:
        """Takes the runs up again. A replay needs the recorded request, which only its promise has."""
        lost = [execution for execution in executions if execution.cause != Execution.REPLAY]
        if not lost or not self._is_everyone_linked():
            return
        jobs = await self._begun.of(shard, lost)
        if not (shard.is_open and self._owned.is_trusted(shard) and self._is_everyone_linked()):
            return
        still = self._unheld_of(shard, lost).values()  # Meanwhile one may have been taken up.
        runs = [adopted_run(each, jobs[each.id], shard=shard.shard, epoch=shard.epoch) for each in still]
        if runs:
            metrics.INVARIANT_REPAIRS.labels(kind=Kind.UNHELD.value).inc(len(runs))
            self._admission.adopt(shard, runs, [])

    def _is_everyone_linked(self) -> bool:
        return self._outbox.linked.issuperset(self._dispatchers())

    def _forget_others(self, shards: list[OwnedShard]) -> None:
        for known in (self._next, self._unheld, self._told):
            for shard in known.keys() - set(shards):
                del known[shard]


def _suspicion(execution: Execution) -> Suspicion:
    return Suspicion(
        kind=Kind.UNHELD,
        subject=f"execution {execution.id}",
        message=f"the ledger has a run of {execution.namespace}/{execution.job_id} under way, and nobody holds it",
        fix="it is adopted as at a take-over once every dispatcher is linked; a replay is not: cancel it, replay again",
    )
