"""Takes a shard over, fires it while it is owned, and hands it on."""

from asyncio import TaskGroup
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import stored_job_pb2

from libs.clock import Clock
from libs.log import get_logger
from services.scheduler import metrics
from services.scheduler.convert.firing import adopted_run, is_replay, moment, with_request
from services.scheduler.domain.identity import EPOCH, microseconds, moment_of
from services.scheduler.domain.occurrence import FiringJob, Run
from services.scheduler.firing.admission import Admission
from services.scheduler.firing.begun import BegunVersions
from services.scheduler.firing.endings import Endings
from services.scheduler.firing.orders import Calendars, Orders
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.owned import OwnedShard, OwnedShards
from services.scheduler.firing.past import UNSEEN, JobName, Past, ShardPast
from services.scheduler.firing.patience import Patience
from services.scheduler.firing.shard_jobs import JobRounds, ShardJobs
from services.scheduler.firing.unforeseen import Unforeseen
from services.scheduler.firing.watermarks import Watermarks
from services.scheduler.ports.jobs import JobStore
from services.scheduler.ports.ledger import Dispatchers, Ledger, Sealed
from services.scheduler.ports.orders import ShardChange, ShardStore

Execution = execution_pb2.Execution
LINKS_DEADLINE = timedelta(seconds=2)
LEDGER_PAUSE = timedelta(milliseconds=200)
# Seconds after which jobs may have changed more than a change may be ignored.
LONGEST_READ = 1.0
HAND_OVER = timedelta(seconds=1)
STEP = timedelta(milliseconds=5)
IDS_PER_LOOK = 500
# Runs for times before that are looked up one by one, instead of everything since.
LONG_AGO = timedelta(minutes=10)


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


class Rounds(JobRounds, Protocol):
    """Who decides when a shard's jobs run that wait for others."""

    def open(self, shard: OwnedShard) -> None:
        """From now on they are decided here."""

    def forget(self, shard: OwnedShard) -> None:
        """The shard is owned no more."""


class ShardRunner:
    """What owning a shard means, from the first moment to the last.

    The order of a take-over matters (docs/architecture.md, "Taking over a shard"): read jobs, what they were, and
    promised runs; seal the epoch at history; adopt or repeat what is unfinished; recompute occurrences past the
    watermark, each with the version in force then; fire.
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
        shard_jobs: ShardJobs,
        past: Past,
        begun: BegunVersions,
        endings: Endings,
        admission: Admission,
        orders: Orders,
        follow_ups: FollowUps,
        rounds: Rounds,
        unforeseen: Unforeseen,
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
        self._shard_jobs = shard_jobs
        self._past = past
        self._begun = begun
        self._endings = endings
        self._admission = admission
        self._orders = orders
        self._follow_ups = follow_ups
        self._rounds = rounds
        self._unforeseen = unforeseen
        self._outbox = outbox
        self._watermarks = watermarks
        self._clock = clock
        self._patience = Patience(clock, pause=LEDGER_PAUSE)
        self._log = get_logger()

    async def run(self, number: int, epoch: int) -> None:
        """Owns a shard until cancelled. Raises WrongState when a newer epoch is sealed."""
        began = self._clock.monotonic()
        await self._dispatchers.settled(deadline=LINKS_DEADLINE)
        while not await self._try_to_own(number, epoch, began):
            self._log.info("shard is read again, history took its time", shard=number, epoch=epoch)

    async def _try_to_own(self, number: int, epoch: int, began: float) -> bool:
        """Owns a shard until cancelled; False when history took so long that what was read of the jobs is old."""
        mark = await self._store.watermark(number) or EPOCH
        async with aclosing(self._store.jobs(number)) as jobs, aclosing(self._store.triggers(number)) as triggers:
            read_at = self._clock.monotonic()
            first_triggers = await anext(triggers)
            first_jobs = await anext(jobs)
            past = await self._past.of_shard(number, first_jobs.jobs, watermark=mark)
            recent, old = _by_age(first_triggers.triggers, mark - LONG_AGO)
            floor = min([past.floor, *(moment(trigger) - timedelta(seconds=1) for trigger in recent)])
            sealed = await self._patience.answer(partial(self._ledger.seal, number, epoch, floor))
            known = await self._recorded(old)
            if self._clock.monotonic() - read_at > LONGEST_READ:
                return False
            shard = OwnedShard(number, epoch, microseconds(mark), unseen_us=microseconds(mark - UNSEEN))
            try:
                sealed = replace(sealed, recorded=sealed.recorded | known)
                names = await self._begin(shard, sealed, first_jobs, past, first_triggers)
                metrics.TAKEOVER.observe(self._clock.monotonic() - began)
                async with TaskGroup() as group:
                    group.create_task(self._follow_jobs(shard, jobs))
                    group.create_task(self._follow_orders(shard, triggers))
                    group.create_task(self._follow_calendars(shard))
                    group.create_task(self._unforeseen.resume(shard, names, sealed.recorded))
                    group.create_task(self._endings.sweep(shard))
            finally:
                await self._end(shard)
        return True

    async def _recorded(self, triggers: Sequence[stored_job_pb2.StoredTrigger]) -> frozenset[str]:
        """Which of these promised runs of long ago have begun."""
        known: set[str] = set()
        for namespace in {trigger.namespace for trigger in triggers}:
            ids = [trigger.execution_id for trigger in triggers if trigger.namespace == namespace]
            for start in range(0, len(ids), IDS_PER_LOOK):
                some = ids[start : start + IDS_PER_LOOK]
                look = partial(self._ledger.find, namespace, ids=some, limit=IDS_PER_LOOK)
                found = await self._patience.answer(look)
                known |= {execution.id for execution in found.executions if execution.status != Execution.PENDING}
        return frozenset(known)

    async def _begin(
        self, shard: OwnedShard, sealed: Sealed, jobs: ShardChange, past: ShardPast, orders: ShardChange
    ) -> Sequence[JobName]:
        """Begins to fire; gives the jobs of which an earlier owner may have begun runs that nobody comes upon here."""
        promised = {execution.id for execution in sealed.unfinished if _is_promised(execution)}
        shard.recorded = set(sealed.recorded - promised)
        await self._shard_jobs.load(shard, jobs, past)
        unfinished = [execution for execution in sealed.unfinished if execution.id not in promised]
        begun = await self._begun.of(shard, unfinished)
        names = self._unforeseen.hold(shard, past.changed)
        self._owned.add(shard)
        self._follow_ups.adopt(shard, orders.follow_ups)  # first, so that what is durable is not put again
        self._adopt(shard, [(execution, begun[execution.id]) for execution in unfinished], orders.triggers)
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
        return names

    async def _end(self, shard: OwnedShard) -> None:
        """Stops firing at once; then, if the shard is still ours, waits a moment for what is on its way."""
        is_ours = self._owned.is_trusted(shard) and shard.is_open
        shard.is_open = False
        fired_us = shard.horizon_us
        self._shard_jobs.forget(shard)
        deadline = self._clock.monotonic() + HAND_OVER.total_seconds()
        while is_ours and self._outbox.awaits(shard.unrecorded) and self._clock.monotonic() < deadline:
            await self._clock.sleep(STEP)
        self._owned.remove(shard)
        self._outbox.forget(shard.shard)
        self._admission.forget(shard.shard)
        self._follow_ups.forget(shard)
        self._rounds.forget(shard)
        # Whoever looked at the timeline meanwhile did not find the jobs of this shard.
        shard.horizon_us = min(shard.horizon_us, fired_us)
        if is_ours:
            await self._watermarks.write([shard])
        self._log.info("shard given up", shard=shard.shard, epoch=shard.epoch, is_hand_over=is_ours)

    async def _follow_jobs(self, shard: OwnedShard, changes: AsyncIterator[ShardChange]) -> None:
        async for change in changes:
            await self._shard_jobs.apply(shard, change)

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
                        self._shard_jobs.refresh(shard, found.stored)

    def _adopt(
        self,
        shard: OwnedShard,
        unfinished: Sequence[tuple[Execution, FiringJob]],
        triggers: Sequence[stored_job_pb2.StoredTrigger],
    ) -> None:
        """Runs that were handed out go on where they are, those that waited wait again."""
        requests = {trigger.execution_id: trigger for trigger in triggers if is_replay(trigger)}
        running: list[Run] = []
        waiting: list[Run] = []
        for execution, job in unfinished:
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


def _by_age(
    triggers: Sequence[stored_job_pb2.StoredTrigger], limit: datetime
) -> tuple[list[stored_job_pb2.StoredTrigger], list[stored_job_pb2.StoredTrigger]]:
    """The triggers for times from `limit` on, and those for times before."""
    recent = [trigger for trigger in triggers if moment(trigger) >= limit]
    return recent, [trigger for trigger in triggers if moment(trigger) < limit]


def _is_promised(execution: Execution) -> bool:
    """Whether its trigger is still in etcd, and fires it."""
    return execution.status == Execution.PENDING and execution.cause != Execution.SCHEDULE
