"""Whether shards fire, runs go out, and records arrive: what can be told from the outside of each part."""

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta

from libs.clock import Clock
from services.scheduler.domain.identity import microseconds, moment_of
from services.scheduler.domain.invariants import Kind, Suspicion
from services.scheduler.domain.timeline import Timeline
from services.scheduler.firing.notes import Notes
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.owned import Backlog, OwnedShard, OwnedShards
from services.scheduler.firing.settler import Settler

SECOND_US = 1_000_000
OVERDUE_US = 5 * SECOND_US
# Something due in the very instant between waking and firing is no fault, nor is a clock that was set.
NEXT_LOOK = timedelta(seconds=1)
UNTAKEN = timedelta(seconds=10)
UNOWNED = timedelta(seconds=10)
UNWRITTEN = timedelta(seconds=30)
PLACES_AT_A_LOOK = 1_000
NO_DISPATCHER = "start a dispatcher, or see why this scheduler does not reach those that run"
NO_ROOM = "add dispatchers, or raise max_in_flight of the dispatcher"


class Firing:
    """Due jobs are fired, and fired runs are taken by dispatchers."""

    def __init__(self, timeline: Timeline, owned: OwnedShards, outbox: Outbox, clock: Clock) -> None:
        self._timeline = timeline
        self._owned = owned
        self._outbox = outbox
        self._clock = clock

    async def look(self) -> list[Suspicion]:
        """See scan.Check."""
        return [*self._overdue(microseconds(self._clock.now())), *self._undelivered()]

    def _overdue(self, now_us: int) -> Iterator[Suspicion]:
        told: set[int] = set()
        due = self._timeline.due_before(now_us - OVERDUE_US, limit=PLACES_AT_A_LOOK)
        for at_us, entry in sorted(due, key=lambda item: item[0]):
            if entry.shard in told or self._owned.find_trusted(entry.shard) is None:
                continue
            told.add(entry.shard)
            yield self._late(entry.shard, f"{entry.job.namespace}/{entry.job.id}", at_us)

    def _late(self, shard: int, job: str, at_us: int) -> Suspicion:
        message, fix = f"jobs are due and were not fired, {job} first", "restart this scheduler if that does not pass"
        if self._outbox.is_full:
            message += ": firing is paused, as many runs wait for dispatchers as may (most_queued)"
            fix = NO_ROOM if self._outbox.linked else NO_DISPATCHER
        return Suspicion(
            kind=Kind.OVERDUE,
            subject=f"shard {shard}",
            message=message,
            fix=fix,
            patience=NEXT_LOOK,
            since=moment_of(at_us),
        )

    def _undelivered(self) -> Iterator[Suspicion]:
        if self._outbox.queued:
            is_linked = bool(self._outbox.linked)
            yield Suspicion(
                kind=Kind.UNDELIVERED,
                subject="dispatchers",
                message="runs wait, and no dispatcher takes one: "
                + ("those that are linked have given no credit" if is_linked else "none is linked"),
                fix=NO_ROOM if is_linked else NO_DISPATCHER,
                patience=UNTAKEN,
                progress=self._outbox.sent,
            )


class Writing:
    """What the scheduler writes itself arrives: notes in the ledger, settled orders in etcd."""

    def __init__(self, notes: Notes, settler: Settler) -> None:
        self._notes = notes
        self._settler = settler

    async def look(self) -> list[Suspicion]:
        """See scan.Check."""
        fix = "see that history runs and can write (chronos_history_ledger_is_writable)"
        found = _standing("notes", "explanations of runs are not written to history", fix, self._notes.backlog)
        fix = "see that etcd answers; with followers of a run, that they can be told (see this log)"
        return found + _standing("orders", "met orders are not taken out of etcd", fix, self._settler.backlog)


class Ownership:
    """The shards that the hash gives to this replica fire here."""

    def __init__(
        self, owned: OwnedShards, wanted: Callable[[], Collection[int]], claimed: Callable[[], Collection[int]]
    ) -> None:
        """`wanted` gives the shards that should be ours, `claimed` those whose owner key is ours."""
        self._owned = owned
        self._wanted = wanted
        self._claimed = claimed

    async def look(self) -> list[Suspicion]:
        """See scan.Check."""
        open_here, claimed = self._owned.trusted(), self._claimed()
        return [_unowned(shard, shard in claimed) for shard in sorted(self._wanted()) if shard not in open_here]


def written_late(shard: OwnedShard, now_us: int) -> bool:
    """Whether a shard's progress does not reach etcd, though there is some."""
    late_us = UNWRITTEN // timedelta(microseconds=1)
    return now_us - shard.written_us > late_us and shard.watermark_us() - shard.written_us > late_us // 2


def _standing(subject: str, message: str, fix: str, backlog: Backlog) -> list[Suspicion]:
    if not backlog.waiting:
        return []
    return [
        Suspicion(
            kind=Kind.BACKLOG,
            subject=subject,
            message=message,
            fix=f"they are tried again all the time; {fix}",
            patience=UNWRITTEN,
            progress=backlog.written,
        )
    ]


def _unowned(shard: int, is_claimed: bool) -> Suspicion:
    if is_claimed:
        message = "the shard was won and does not fire: its take-over is not through, or the lease is in doubt"
        fix = "it is tried until it works; see that history and etcd answer"
    else:
        message = "the shard should be owned here and is not: its key is held by another process, or etcd is away"
        fix = "it is tried again every 5 s; if its owner hangs, stop that process: its lease ends after lease_ttl"
    return Suspicion(kind=Kind.UNOWNED, subject=f"shard {shard}", message=message, fix=fix, patience=UNOWNED)
