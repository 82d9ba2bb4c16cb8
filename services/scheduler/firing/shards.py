"""Takes a shard over, fires it while it is owned, and hands it on."""

from asyncio import TaskGroup
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import stored_job_pb2

from libs.clock import Clock
from libs.faults import Unavailable
from libs.log import get_logger
from services.scheduler import metrics
from services.scheduler.convert.firing import adopted_run, calendars_of, deleted_job, firing_job, moment, with_request
from services.scheduler.domain.identity import EPOCH, microseconds, moment_of
from services.scheduler.domain.occurrence import FiringJob, Run
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.timeline import Timeline
from services.scheduler.firing.absences import Absences
from services.scheduler.firing.admission import Admission
from services.scheduler.firing.orders import Calendars, Orders
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.owned import OwnedShard, OwnedShards
from services.scheduler.firing.watermarks import Watermarks
from services.scheduler.ports.jobs import JobStore
from services.scheduler.ports.ledger import Dispatchers, Ledger, Sealed
from services.scheduler.ports.orders import ShardChange, ShardStore

Execution = execution_pb2.Execution
T = TypeVar("T")
LINKS_DEADLINE = timedelta(seconds=2)
LEDGER_PAUSE = timedelta(milliseconds=200)
HAND_OVER = timedelta(seconds=1)
STEP = timedelta(milliseconds=5)
# Seconds for which loading jobs may keep everything else from its turn; a job takes some 50 µs, a rare one much more.
LONGEST_TURN = 0.01
IDS_PER_LOOK = 500
# Runs for times before that are looked up one by one, instead of everything since.
LONG_AGO = timedelta(minutes=10)
DELETED = "the job was deleted before the run's turn came"
DISABLED = "the job was disabled before the run's turn came"


class CalendarBook(Calendars, Protocol):
    """The calendars that are known now, and their changes."""

    async def changed(self, seen: int) -> tuple[int, frozenset[tuple[str, str]]]:
        """Waits for changes after a version; gives the new version and the changed calendars (namespace, id)."""


class FollowUps(Protocol):
    """Who tells the jobs that wait for runs of a shard's jobs."""

    def adopt(self, shard: OwnedShard, follow_ups: Iterable[stored_job_pb2.StoredFollowUp]) -> None:
        """Takes over what an earlier owner has not told."""

    def forget(self, shard: OwnedShard) -> None:
        """The shard is owned no more."""


class Rounds(Protocol):
    """Who decides when a shard's jobs run that wait for others."""

    def open(self, shard: OwnedShard) -> None:
        """From now on they are decided here."""

    def job_changed(self, shard: OwnedShard, namespace: str, job_id: str) -> None:
        """A job was changed or deleted."""

    def forget(self, shard: OwnedShard) -> None:
        """The shard is owned no more."""


class ShardRunner:
    """What owning a shard means, from the first moment to the last.

    The order of a take-over matters (docs/architecture.md, "Taking over a shard"): seal the epoch at history, adopt
    or repeat what is unfinished, load jobs and promised runs, recompute occurrences past the watermark, fire.
    """

    def __init__(
        self,
        *,
        shards: ShardStore,
        jobs: JobStore,
        calendars: CalendarBook,
        ledger: Ledger,
        dispatchers: Dispatchers,
        owned: OwnedShards,
        timeline: Timeline,
        absences: Absences,
        admission: Admission,
        orders: Orders,
        follow_ups: FollowUps,
        rounds: Rounds,
        outbox: Outbox,
        watermarks: Watermarks,
        clock: Clock,
    ) -> None:
        self._store = shards
        self._jobs = jobs
        self._calendars = calendars
        self._ledger = ledger
        self._dispatchers = dispatchers
        self._owned = owned
        self._timeline = timeline
        self._absences = absences
        self._admission = admission
        self._orders = orders
        self._follow_ups = follow_ups
        self._rounds = rounds
        self._outbox = outbox
        self._watermarks = watermarks
        self._clock = clock
        self._is_ledger_away = False
        self._log = get_logger()

    async def run(self, number: int, epoch: int) -> None:
        """Owns a shard until cancelled. Raises WrongState when a newer epoch is sealed."""
        began = self._clock.monotonic()
        mark = await self._store.watermark(number) or EPOCH
        async with aclosing(self._store.jobs(number)) as jobs, aclosing(self._store.triggers(number)) as triggers:
            first_triggers = await anext(triggers)
            recent, old = _by_age(first_triggers.triggers, mark - LONG_AGO)
            floor = min([mark, *(moment(trigger) - timedelta(seconds=1) for trigger in recent)])
            sealed = await self._seal(number, epoch, floor)
            known = await self._recorded(old)
            shard = OwnedShard(number, epoch, microseconds(mark))
            first_jobs = await anext(jobs)
            try:
                await self._begin(shard, replace(sealed, recorded=sealed.recorded | known), first_jobs, first_triggers)
                metrics.TAKEOVER.observe(self._clock.monotonic() - began)
                async with TaskGroup() as group:
                    group.create_task(self._follow_jobs(shard, jobs))
                    group.create_task(self._follow_orders(shard, triggers))
                    group.create_task(self._follow_calendars(shard))
            finally:
                await self._end(shard)

    async def _seal(self, number: int, epoch: int, floor: datetime) -> Sealed:
        return await self._patiently(lambda: self._ledger.seal(number, epoch, floor))

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer of history, however long it is away."""
        while True:
            try:
                answer = await ask()
            except Unavailable as error:
                if not self._is_ledger_away:
                    self._log.warning("history away, shards wait for it", error=error.message)
                self._is_ledger_away = True
                await self._clock.sleep(LEDGER_PAUSE)
                continue
            self._is_ledger_away = False
            return answer

    async def _recorded(self, triggers: Sequence[stored_job_pb2.StoredTrigger]) -> frozenset[str]:
        """Which of these promised runs of long ago have begun."""
        known: set[str] = set()
        for namespace in {trigger.namespace for trigger in triggers}:
            ids = [trigger.execution_id for trigger in triggers if trigger.namespace == namespace]
            for start in range(0, len(ids), IDS_PER_LOOK):
                some = ids[start : start + IDS_PER_LOOK]
                found = await self._patiently(partial(self._ledger.find, namespace, ids=some, limit=IDS_PER_LOOK))
                known |= {execution.id for execution in found.executions if execution.status != Execution.PENDING}
        return frozenset(known)

    async def _begin(self, shard: OwnedShard, sealed: Sealed, jobs: ShardChange, orders: ShardChange) -> None:
        promised = {execution.id for execution in sealed.unfinished if _is_promised(execution)}
        shard.recorded = set(sealed.recorded - promised)
        await self._apply_jobs(shard, jobs)
        await self._dispatchers.settled(deadline=LINKS_DEADLINE)
        self._owned.add(shard)
        self._adopt(shard, sealed.unfinished, orders.triggers)
        self._follow_ups.adopt(shard, orders.follow_ups)
        self._rounds.open(shard)
        await self._orders.take(shard, orders)
        self._log.info(
            "shard taken over",
            shard=shard.shard,
            epoch=shard.epoch,
            jobs=len(shard.jobs),
            unfinished=len(sealed.unfinished),
            watermark=moment_of(shard.horizon_us).isoformat(),
        )

    async def _end(self, shard: OwnedShard) -> None:
        """Stops firing at once; then, if the shard is still ours, waits a moment for what is on its way."""
        is_ours = self._owned.is_trusted(shard) and shard.is_open
        shard.is_open = False
        for namespace, job_id in shard.jobs:
            self._timeline.remove(shard.shard, namespace, job_id)
            self._absences.remove(shard.shard, namespace, job_id)
        deadline = self._clock.monotonic() + HAND_OVER.total_seconds()
        while is_ours and self._outbox.awaits(shard.unrecorded) and self._clock.monotonic() < deadline:
            await self._clock.sleep(STEP)
        self._owned.remove(shard)
        self._outbox.forget(shard.shard)
        self._admission.forget(shard.shard)
        self._follow_ups.forget(shard)
        self._rounds.forget(shard)
        if is_ours:
            await self._watermarks.write([shard])
        self._log.info("shard given up", shard=shard.shard, epoch=shard.epoch, is_hand_over=is_ours)

    async def _follow_jobs(self, shard: OwnedShard, changes: AsyncIterator[ShardChange]) -> None:
        async for change in changes:
            await self._apply_jobs(shard, change)

    async def _follow_orders(self, shard: OwnedShard, changes: AsyncIterator[ShardChange]) -> None:
        async for change in changes:
            await self._orders.take(shard, change)

    async def _follow_calendars(self, shard: OwnedShard) -> None:
        """Gives jobs new schedules when calendars that they name have changed."""
        seen = 0
        while True:
            seen, changed = await self._calendars.changed(seen)
            named = {job.key: job.calendars for job in shard.jobs.values() if job.calendars} | shard.broken
            for (namespace, job_id), calendars in named.items():
                if any((namespace, name) in changed for name in calendars):
                    found = await self._jobs.get(namespace, job_id)
                    if found is not None:
                        self._put(shard, found.stored)

    async def _apply_jobs(self, shard: OwnedShard, change: ShardChange) -> None:
        named = {(stored.job.namespace, stored.job.id) for stored in change.jobs}
        gone = [key for key in shard.jobs if key not in named] if change.is_complete else change.removed
        for key in gone:
            self._drop(shard, key)
        turn = self._clock.monotonic()
        for stored in change.jobs:
            known = shard.jobs.get((stored.job.namespace, stored.job.id))
            if known is None or (known.uid, known.version) != (stored.job.uid, stored.job.version):
                self._put(shard, stored)
            if self._clock.monotonic() - turn > LONGEST_TURN:
                await self._clock.sleep(timedelta(0))
                turn = self._clock.monotonic()

    def _put(self, shard: OwnedShard, stored: stored_job_pb2.StoredJob) -> None:
        key = (stored.job.namespace, stored.job.id)
        try:
            job = firing_job(stored, self._calendars.sets(key[0]))
        except ScheduleError as error:
            self._log.error("job cannot fire, change its schedule", namespace=key[0], job=key[1], error=str(error))
            self._drop(shard, key)
            shard.broken[key] = calendars_of(stored.job)
            return
        shard.broken.pop(key, None)
        known = shard.jobs.get(key)
        if known is not None and known.uid != job.uid:
            self._drop(shard, key)
        shard.jobs[key] = job
        self._timeline.put(shard.shard, job, after_us=shard.horizon_us)
        self._absences.put(shard, job)
        self._rounds.job_changed(shard, *key)
        if not self._timeline.is_behind(shard.shard, job):
            shard.unrecorded.pop(job.uid, None)
        if not job.is_enabled:
            self._admission.withdraw(shard, job.uid, Execution.PAUSED, DISABLED, also_asked_for=False)

    def _drop(self, shard: OwnedShard, key: tuple[str, str]) -> None:
        shard.broken.pop(key, None)
        job = shard.jobs.pop(key, None)
        self._rounds.job_changed(shard, *key)
        self._timeline.remove(shard.shard, *key)
        self._absences.remove(shard.shard, *key)
        if job is not None:
            shard.unrecorded.pop(job.uid, None)
            self._admission.withdraw(shard, job.uid, Execution.DELETED, DELETED, also_asked_for=True)

    def _adopt(
        self, shard: OwnedShard, unfinished: Sequence[Execution], triggers: Sequence[stored_job_pb2.StoredTrigger]
    ) -> None:
        """Runs that were handed out go on where they are, those that waited wait again; promised ones are orders."""
        requests = {trigger.execution_id: trigger for trigger in triggers if trigger.HasField("webhook")}
        running: list[Run] = []
        waiting: list[Run] = []
        for execution in unfinished:
            if _is_promised(execution):
                continue
            job = self._job_of(shard, execution)
            if (trigger := requests.get(execution.id)) is not None:
                shard.triggers.add(execution.id)
                job = with_request(job, trigger)
            run = adopted_run(execution, job, shard=shard.shard, epoch=shard.epoch)
            if execution.status == Execution.PENDING:
                waiting.append(run)
            else:
                running.append(run)
                shard.recorded.add(execution.id)
        self._admission.adopt(shard, running, waiting)

    def _job_of(self, shard: OwnedShard, execution: Execution) -> FiringJob:
        job = shard.jobs.get((execution.namespace, execution.job_id))
        if job is not None and job.uid == execution.job_uid:
            return job
        return deleted_job(
            execution.namespace,
            execution.job_id,
            execution.job_uid,
            name=execution.job_name,
            version=execution.job_version,
        )


def _by_age(
    triggers: Sequence[stored_job_pb2.StoredTrigger], limit: datetime
) -> tuple[list[stored_job_pb2.StoredTrigger], list[stored_job_pb2.StoredTrigger]]:
    """The triggers for times from `limit` on, and those for times before."""
    recent = [trigger for trigger in triggers if moment(trigger) >= limit]
    return recent, [trigger for trigger in triggers if moment(trigger) < limit]


def _is_promised(execution: Execution) -> bool:
    """Whether its trigger is still in etcd, and fires it."""
    return execution.status == Execution.PENDING and execution.cause != Execution.SCHEDULE
