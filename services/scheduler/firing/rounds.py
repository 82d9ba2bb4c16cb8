"""Deciding when jobs run that depend on others."""

from asyncio import Event, TaskGroup
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from chronos.scheduler.v1 import job_pb2, stored_job_pb2

from libs.clock import Clock
from libs.faults import Fault
from libs.log import get_logger
from services.scheduler.convert.rounds import end_of, rounds_of, rule_of, stored_rounds, trigger_of
from services.scheduler.domain import rounds as rules
from services.scheduler.domain.identity import microseconds
from services.scheduler.firing.owned import OwnedShard
from services.scheduler.ports.dependencies import RoundStore, VersionedRound
from services.scheduler.ports.jobs import JobStore

PAUSE = timedelta(milliseconds=10)
PAUSE_AFTER_FAILURE = timedelta(milliseconds=500)
CHECK_INTERVAL = 1.0
JOBS_AT_ONCE = 16
SIGNALS_PER_COMMIT = 50
# A round closes this much after its time, for the news of an end within it may still be on their way.
LEEWAY_US = 2_000_000

StoredSignal = stored_job_pb2.StoredSignal
JobKey = tuple[str, str]


@dataclass(slots=True)
class _Known:
    """What is stored for a job, and when its present round closes (Unix microseconds)."""

    rounds: VersionedRound
    deadline_us: int | None = None


@dataclass(slots=True)
class _Shard:
    """The jobs of one shard that wait for others; `touched` are to be looked at."""

    is_loaded: bool = False
    known: dict[JobKey, _Known] = field(default_factory=dict)
    signals: dict[JobKey, dict[str, StoredSignal]] = field(default_factory=dict)
    touched: dict[JobKey, None] = field(default_factory=dict)


class Rounds:
    """Takes in how runs have ended, and promises the runs that follow from it.

    A decision is one transaction: what was heard is forgotten, what is left is stored, and the run is promised. So
    each end counts once, whatever dies. What is promised goes the way of every promised run.
    """

    def __init__(self, store: RoundStore, jobs: JobStore, clock: Clock) -> None:
        self._store = store
        self._jobs = jobs
        self._clock = clock
        self._shards: dict[OwnedShard, _Shard] = {}
        self._next_check = 0.0
        self._wake = Event()
        self._log = get_logger()

    def open(self, shard: OwnedShard) -> None:
        """From now on rounds of the shard are decided and closed here."""
        self._shards.setdefault(shard, _Shard())
        self._wake.set()

    def forget(self, shard: OwnedShard) -> None:
        """Drops everything of a shard that is not owned any more; its next owner takes over."""
        self._shards.pop(shard, None)

    def take(self, shard: OwnedShard, signal: StoredSignal) -> None:
        """Takes news for a job of the shard; it stays in the store until it is decided upon. May come twice."""
        self.open(shard)
        known, key = self._shards[shard], (signal.namespace, signal.job_id)
        known.signals.setdefault(key, {})[signal.execution_id] = signal
        known.touched[key] = None

    def job_changed(self, shard: OwnedShard, namespace: str, job_id: str) -> None:
        """A job was changed or deleted, perhaps what it depends on."""
        known, key = self._shards.get(shard), (namespace, job_id)
        if known is not None and key in known.known:
            known.touched[key] = None
            self._wake.set()

    async def run(self) -> None:
        """Works until cancelled. What could not be done is tried again."""
        while True:
            pause = PAUSE
            try:
                for shard, known in list(self._shards.items()):
                    if not known.is_loaded:
                        await self._load(shard, known)
                self._touch_overdue()
                if not await self._work():
                    pause = PAUSE_AFTER_FAILURE
            except Fault as error:
                self._log.warning("rounds not read", error=error.message)
                pause = PAUSE_AFTER_FAILURE
            await self._clock.sleep(pause)
            await self._something_to_do(is_failed=pause is not PAUSE)

    async def _something_to_do(self, *, is_failed: bool) -> None:
        """Waits until jobs are to be looked at, or until it is time to look which rounds are overdue."""
        if is_failed or any(known.touched for known in self._shards.values()):
            self._wake.set()
        if any(job.deadline_us is not None for known in self._shards.values() for job in known.known.values()):
            await self._clock.wait(self._wake, timedelta(seconds=CHECK_INTERVAL))
        else:
            await self._wake.wait()
        self._wake.clear()

    async def _load(self, shard: OwnedShard, known: _Shard) -> None:
        for rounds in await self._store.rounds(shard.shard):
            key = (rounds.namespace, rounds.job_id)
            known.known.setdefault(key, _Known(rounds))
            known.touched[key] = None
        known.is_loaded = True

    def _touch_overdue(self) -> None:
        if self._clock.monotonic() < self._next_check:
            return
        self._next_check = self._clock.monotonic() + CHECK_INTERVAL
        now_us = microseconds(self._clock.now()) - LEEWAY_US
        for known in self._shards.values():
            for key, job in known.known.items():
                if job.deadline_us is not None and job.deadline_us <= now_us:
                    known.touched[key] = None

    async def _work(self) -> bool:
        """Looks at some jobs; False when one of them has to be looked at again later."""
        batch: list[tuple[OwnedShard, _Shard, JobKey]] = []
        for shard, known in self._shards.items():
            while known.touched and len(batch) < JOBS_AT_ONCE:
                key = next(iter(known.touched))
                del known.touched[key]
                batch.append((shard, known, key))
        async with TaskGroup() as group:
            tasks = [group.create_task(self._look_at(*entry)) for entry in batch]
        return all(task.result() for task in tasks)

    async def _look_at(self, shard: OwnedShard, known: _Shard, key: JobKey) -> bool:
        try:
            is_done = await self._decide(shard, known, key)
        except Fault as error:
            self._log.warning("dependent job waits to be decided", namespace=key[0], job=key[1], error=error.message)
            is_done = False
        if not is_done:
            known.known.pop(key, None)  # What is stored may have changed.
            known.touched[key] = None
        return is_done

    async def _decide(self, shard: OwnedShard, known: _Shard, key: JobKey) -> bool:
        """Decides what can be decided about a job, and makes it durable; False when the store had changed."""
        waiting = known.signals.get(key, {})
        news = list(waiting.values())[:SIGNALS_PER_COMMIT]
        before = known.known[key].rounds if key in known.known else await self._store.find(shard.shard, *key)
        found = await self._jobs.get(*key)
        job = found.stored.job if found is not None else job_pb2.Job()
        rule, old = rule_of(job), rounds_of(before.stored, job.uid)
        now_us = microseconds(self._clock.now()) - LEEWAY_US
        after, decisions = rules.advance(old, rule, list(map(end_of, news)), now_us=now_us)
        if not rule.parents:
            after = rules.Rounds()
        stored = stored_rounds(after, job.uid)
        if news or stored != before.stored:
            written = VersionedRound(namespace=key[0], job_id=key[1], stored=stored, revision=before.revision)
            triggers = [trigger_of(job, decision) for decision in decisions]
            committed = await self._store.commit(shard.shard, shard.epoch, written, taken=news, triggers=triggers)
            if committed is None:
                return False
            before = committed
        self._learn(known, key, before, rules.deadline_us(after, rule), news)
        if len(decisions) >= rules.MOST_DECISIONS:
            known.touched[key] = None
        return True

    def _learn(
        self, known: _Shard, key: JobKey, rounds: VersionedRound, deadline_us: int | None, taken: Sequence[StoredSignal]
    ) -> None:
        if rounds.revision:
            known.known[key] = _Known(rounds, deadline_us)
        else:
            known.known.pop(key, None)
        waiting = known.signals.get(key, {})
        for signal in taken:
            waiting.pop(signal.execution_id, None)
        if waiting:
            known.touched[key] = None
        else:
            known.signals.pop(key, None)
