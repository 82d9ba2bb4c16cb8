"""Telling the jobs that depend on others how runs have ended."""

from asyncio import Event, TaskGroup
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, timedelta

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import stored_job_pb2

from libs.clock import Clock
from libs.faults import Fault, Unavailable
from libs.log import get_logger
from services.scheduler.domain.identity import microseconds, moment_of
from services.scheduler.domain.occurrence import Run
from services.scheduler.firing.notes import held_from
from services.scheduler.firing.owned import OwnedShard, marker_of
from services.scheduler.ports.dependencies import DependantsBook, FollowUpStore
from services.scheduler.ports.jobs import JobStore
from services.scheduler.ports.ledger import Ledger, Reason, Status

Execution = execution_pb2.Execution
StoredFollowUp = stored_job_pb2.StoredFollowUp

PAUSE = timedelta(milliseconds=10)
PAUSE_AFTER_FAILURE = timedelta(milliseconds=500)
BATCH = 16
IDS_PER_LOOK = 500
FIRST_LOOK = 1.0
LONGEST_LOOK = 30.0
# A run that history does not know this long after it was taken over may have no record, if its job is gone.
PATIENCE = 3600.0
TOLD = frozenset({Execution.SUCCESS, Execution.FAILED, Execution.TIMED_OUT, Execution.CANCELLED, Execution.LOST})


@dataclass(frozen=True, slots=True)
class _Begun:
    """A follow-up that is to become durable."""

    shard: OwnedShard
    follow_up: StoredFollowUp


@dataclass(frozen=True, slots=True)
class _Ended:
    """A run whose end is to be told."""

    shard: OwnedShard
    follow_up: StoredFollowUp
    status: Status
    is_told: bool
    time_us: int
    is_durable: bool


@dataclass(slots=True)
class _Look:
    """A follow-up of an earlier owner: history is asked for its end, from time to time. Monotonic seconds."""

    shard: OwnedShard
    follow_up: StoredFollowUp
    since: float
    next: float
    pause: float = FIRST_LOOK


@dataclass(slots=True)
class _Shard:
    """The follow-ups of one shard that have not been told, by execution."""

    follow_ups: dict[str, StoredFollowUp] = field(default_factory=dict)
    looks: dict[str, _Look] = field(default_factory=dict)


class FollowUps:
    """From the begin of a run until the jobs that depend on it have been told of its end.

    The follow-up is durable before the shard's watermark passes the run, and is replaced by the news in one
    transaction: whatever dies, the news is put at least once, and those who get it know it when it comes again.
    """

    def __init__(
        self, store: FollowUpStore, dependants: DependantsBook, ledger: Ledger, jobs: JobStore, clock: Clock
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._dependants = dependants
        self._ledger = ledger
        self._clock = clock
        self._shards: dict[OwnedShard, _Shard] = {}
        self._under_way: dict[tuple[str, str], dict[str, tuple[OwnedShard, Run]]] = {}
        self._begun: deque[_Begun] = deque()
        self._ended: deque[_Ended] = deque()
        self._strays: dict[OwnedShard, list[str]] = {}
        self._wake = Event()
        dependants.on_change(self._dependants_changed)
        self._log = get_logger()

    def begin(self, shard: OwnedShard, run: Run) -> None:
        """A run begins or waits, perhaps once more. Is kept in mind, for a job on which none depends yet."""
        self._under_way.setdefault((run.job.namespace, run.job.id), {})[run.execution_id] = (shard, run)
        if not self._dependants.children_of(run.job.namespace, run.job.id):
            return
        follow_up = _follow_up(run)
        known = self._shards.setdefault(shard, _Shard()).follow_ups
        if run.execution_id not in known:
            known[run.execution_id] = follow_up
            shard.unrecorded[marker_of(run.execution_id)] = held_from(shard, run)
            self._begun.append(_Begun(shard, follow_up))
            self._wake.set()

    def resume(self, shard: OwnedShard, run: Run) -> None:
        """A run past the watermark is recorded already: its follow-up may have been lost, its end may be recorded."""
        self.begin(shard, run)
        self._no_longer_under_way(run)  # Nobody may report its end any more.
        known = self._shards.get(shard)
        if known is not None and run.execution_id in known.follow_ups:
            self.adopt(shard, [known.follow_ups[run.execution_id]])

    def end(self, shard: OwnedShard, run: Run, status: Status, reason: Reason = Execution.REASON_UNSPECIFIED) -> None:
        """A run has ended, or will not begin, and the ledger knows it.

        Also tells jobs that came to depend on it while it ran.
        """
        self._no_longer_under_way(run)
        known = self._shards.get(shard)
        if known is None and marker_of(run.execution_id) in shard.unrecorded:
            return  # The shard was given up before the follow-up was durable: its next owner begins and tells.
        follow_up = known.follow_ups.get(run.execution_id) if known is not None else None
        if follow_up is None and not self._dependants.children_of(run.job.namespace, run.job.id):
            return
        is_told, now_us = _is_told(status, reason), microseconds(self._clock.now())
        self._add(_Ended(shard, follow_up or _follow_up(run), status, is_told, now_us, follow_up is not None))

    def adopt(self, shard: OwnedShard, follow_ups: Iterable[StoredFollowUp]) -> None:
        """Takes over what an earlier owner has not told. Ends that nobody reports any more are looked up in history."""
        known = self._shards.setdefault(shard, _Shard())
        now = self._clock.monotonic()
        for follow_up in follow_ups:
            known.follow_ups.setdefault(follow_up.execution_id, follow_up)
            known.looks.setdefault(follow_up.execution_id, _Look(shard, follow_up, since=now, next=now))
        self._wake.set()

    def noticed(self, shard: OwnedShard, follow_up: StoredFollowUp) -> None:
        """The store has a follow-up. One that nobody waits for was held up on its way, and put after it was told."""
        known = self._shards.get(shard)
        if known is None or follow_up.execution_id not in known.follow_ups:
            self._strays.setdefault(shard, []).append(follow_up.execution_id)
            self._wake.set()

    def forget(self, shard: OwnedShard) -> None:
        """Drops everything of a shard that is not owned any more; its next owner takes over."""
        self._shards.pop(shard, None)
        self._strays.pop(shard, None)
        lost = [run for runs in self._under_way.values() for owner, run in runs.values() if owner is shard]
        for run in lost:
            self._no_longer_under_way(run)

    def _dependants_changed(self, namespace: str, job_id: str) -> None:
        """Makes durable that the end of runs under way is to be told, now that somebody waits for it."""
        for shard, run in list(self._under_way.get((namespace, job_id), {}).values()):
            self.begin(shard, run)

    def _no_longer_under_way(self, run: Run) -> None:
        key = (run.job.namespace, run.job.id)
        runs = self._under_way.get(key, {})
        runs.pop(run.execution_id, None)
        if not runs:
            self._under_way.pop(key, None)

    async def run(self) -> None:
        """Works until cancelled. What could not be done is tried again."""
        while True:
            pause = PAUSE
            try:
                await self._begin_batch()
                await self._end_batch()
                await self._drop_strays()
                await self._look()
            except Fault as error:
                self._log.warning("follow-ups not yet durable", waiting=len(self._begun), error=error.message)
                pause = PAUSE_AFTER_FAILURE
            await self._clock.sleep(pause)
            await self._something_to_do()

    async def _something_to_do(self) -> None:
        """Waits until something begins or ends, or until it is time to look for an end."""
        if self._begun or self._ended or self._strays:
            self._wake.set()
        looks = [look.next for known in self._shards.values() for look in known.looks.values()]
        if looks:
            await self._clock.wait(self._wake, timedelta(seconds=min(looks) - self._clock.monotonic()))
        else:
            await self._wake.wait()
        self._wake.clear()

    async def _begin_batch(self) -> None:
        by_shard: dict[OwnedShard, list[_Begun]] = {}
        for begun in self._begun:
            by_shard.setdefault(begun.shard, []).append(begun)
        for shard, batch in by_shard.items():
            if shard not in self._shards:
                continue
            if not await self._store.begin(shard.shard, shard.epoch, [begun.follow_up for begun in batch]):
                self.forget(shard)
                continue
            for begun in batch:
                shard.unrecorded.pop(marker_of(begun.follow_up.execution_id), None)
        done = {id(begun) for batch in by_shard.values() for begun in batch}
        self._begun = deque(begun for begun in self._begun if id(begun) not in done)

    async def _end_batch(self) -> None:
        batch = [self._ended.popleft() for _ in range(min(BATCH, len(self._ended)))]
        async with TaskGroup() as group:
            tasks = [(ended, group.create_task(self._tell(ended))) for ended in batch if ended.shard in self._shards]
        self._ended.extendleft(ended for ended, task in reversed(tasks) if not task.result())

    async def _tell(self, ended: _Ended) -> bool:
        """Whether it was told, or need not be."""
        if marker_of(ended.follow_up.execution_id) in ended.shard.unrecorded:
            return False
        try:
            await self._put_news(ended)
        except Fault as error:
            self._log.warning("dependants wait to be told", waiting=len(self._ended), error=error.message)
            return False
        return True

    async def _put_news(self, ended: _Ended) -> None:
        follow_up = ended.follow_up
        children = self._dependants.children_of(follow_up.namespace, follow_up.job_id) if ended.is_told else ()
        signals = [_signal(ended, child) for child in children]
        if ended.is_durable:
            await self._store.end(ended.shard.shard, follow_up, signals)
        else:
            await self._store.tell(signals)
        if (known := self._shards.get(ended.shard)) is not None:
            known.follow_ups.pop(follow_up.execution_id, None)

    async def _drop_strays(self) -> None:
        """Or the next owner would tell them once more, perhaps when nobody remembers that they were told."""
        for shard in list(self._strays):
            strays = self._strays.pop(shard, [])  # it may be given up meanwhile
            try:
                await self._store.forget(shard.shard, shard.epoch, strays)
            except Fault:
                self._strays.setdefault(shard, []).extend(strays)
                raise

    async def _look(self) -> None:
        now = self._clock.monotonic()
        due: dict[str, list[_Look]] = {}
        for known in self._shards.values():
            for look in known.looks.values():
                if look.next <= now:
                    due.setdefault(look.follow_up.namespace, []).append(look)
        for namespace, looks in due.items():
            for start in range(0, len(looks), IDS_PER_LOOK):
                await self._look_at(namespace, looks[start : start + IDS_PER_LOOK])

    async def _look_at(self, namespace: str, looks: Sequence[_Look]) -> None:
        try:
            found = await self._ledger.find(namespace, ids=[look.follow_up.execution_id for look in looks])
        except Unavailable as error:
            self._log.info("ends of runs not yet looked up", waiting=len(looks), error=error.message)
            found = None
        executions = {execution.id: execution for execution in found.executions} if found is not None else {}
        now = self._clock.monotonic()
        for look in looks:
            execution = executions.get(look.follow_up.execution_id)
            look.next, look.pause = now + look.pause, min(look.pause * 2, LONGEST_LOOK)
            if look.shard not in self._shards:
                continue
            if execution is not None and execution.HasField("completed_at"):
                self._end_recorded(look, execution)
            elif execution is None and found is not None and now - look.since > PATIENCE and await self._is_gone(look):
                self._add(_Ended(look.shard, look.follow_up, Execution.SKIPPED, False, 0, True))

    async def _is_gone(self, look: _Look) -> bool:
        """Whether the job of a run that history does not know is gone: only then there will be no record of it."""
        follow_up = look.follow_up
        found = await self._jobs.get(follow_up.namespace, follow_up.job_id)
        return found is None or follow_up.job_uid not in ("", found.stored.job.uid)

    def _end_recorded(self, look: _Look, execution: execution_pb2.Execution) -> None:
        is_told = _is_told(execution.status, execution.reason_code)
        time_us = microseconds(execution.completed_at.ToDatetime(tzinfo=UTC))
        self._add(_Ended(look.shard, look.follow_up, execution.status, is_told, time_us, True))

    def _add(self, ended: _Ended) -> None:
        self._shards.setdefault(ended.shard, _Shard()).looks.pop(ended.follow_up.execution_id, None)
        self._ended.append(ended)
        self._wake.set()


def _is_told(status: Status, reason: Reason) -> bool:
    return status in TOLD or (status == Execution.SKIPPED and reason == Execution.DEPENDENCY_FAILED)


def _follow_up(run: Run) -> StoredFollowUp:
    follow_up = StoredFollowUp(
        execution_id=run.execution_id, namespace=run.job.namespace, job_id=run.job.id, job_uid=run.job.uid
    )
    follow_up.scheduled_time.FromDatetime(moment_of(run.scheduled_us))
    return follow_up


def _signal(ended: _Ended, child: str) -> stored_job_pb2.StoredSignal:
    follow_up = ended.follow_up
    signal = stored_job_pb2.StoredSignal(
        namespace=follow_up.namespace,
        job_id=child,
        parent_id=follow_up.job_id,
        execution_id=follow_up.execution_id,
        status=ended.status,
        scheduled_time=follow_up.scheduled_time,
    )
    signal.time.FromDatetime(moment_of(ended.time_us))
    return signal
