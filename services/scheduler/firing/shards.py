"""Takes a shard over, fires it while it is owned, and hands it on."""

from asyncio import TaskGroup
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import stored_job_pb2

from libs.clock import Clock
from libs.faults import Unavailable
from libs.log import get_logger
from services.scheduler import convert, metrics
from services.scheduler.domain.identity import EPOCH, microseconds, moment_of
from services.scheduler.domain.occurrence import FiringJob
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.timeline import Timeline
from services.scheduler.firing.notes import Notes, describe
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.owned import OwnedShard, OwnedShards
from services.scheduler.firing.settler import Settler
from services.scheduler.firing.watermarks import Watermarks
from services.scheduler.ports import Dispatchers, JobStore, Ledger, Sealed, ShardChange, ShardStore

Execution = execution_pb2.Execution
LINKS_DEADLINE = timedelta(seconds=2)
LEDGER_PAUSE = timedelta(milliseconds=200)
HAND_OVER = timedelta(seconds=1)
STEP = timedelta(milliseconds=5)
JOBS_PER_SLICE = 500


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
        ledger: Ledger,
        dispatchers: Dispatchers,
        owned: OwnedShards,
        timeline: Timeline,
        outbox: Outbox,
        notes: Notes,
        settler: Settler,
        watermarks: Watermarks,
        clock: Clock,
    ) -> None:
        self._store = shards
        self._jobs = jobs
        self._ledger = ledger
        self._dispatchers = dispatchers
        self._owned = owned
        self._timeline = timeline
        self._outbox = outbox
        self._notes = notes
        self._settler = settler
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
            floor = min(
                [mark, *(convert.moment(trigger) - timedelta(seconds=1) for trigger in first_triggers.triggers)]
            )
            sealed = await self._seal(number, epoch, floor)
            shard = OwnedShard(number, epoch, microseconds(mark))
            first_jobs = await anext(jobs)
            try:
                await self._begin(shard, sealed, first_jobs, first_triggers)
                metrics.TAKEOVER.observe(self._clock.monotonic() - began)
                async with TaskGroup() as group:
                    group.create_task(self._follow_jobs(shard, jobs))
                    group.create_task(self._follow_triggers(shard, triggers))
            finally:
                await self._end(shard)

    async def _seal(self, number: int, epoch: int, floor: datetime) -> Sealed:
        while True:
            try:
                sealed = await self._ledger.seal(number, epoch, floor)
            except Unavailable as error:
                if not self._is_ledger_away:
                    self._log.warning("history away, shards wait for it", error=error.message)
                self._is_ledger_away = True
                await self._clock.sleep(LEDGER_PAUSE)
                continue
            self._is_ledger_away = False
            return sealed

    async def _begin(self, shard: OwnedShard, sealed: Sealed, jobs: ShardChange, triggers: ShardChange) -> None:
        pending = {execution.id for execution in sealed.unfinished if execution.status == Execution.PENDING}
        shard.recorded = set(sealed.recorded - pending)
        await self._apply_jobs(shard, jobs)
        await self._dispatchers.settled(deadline=LINKS_DEADLINE)
        self._owned.add(shard)
        self._adopt(shard, sealed.unfinished)
        await self._fire_promised(shard, triggers.triggers)
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
        deadline = self._clock.monotonic() + HAND_OVER.total_seconds()
        while is_ours and self._outbox.awaits(shard.unrecorded) and self._clock.monotonic() < deadline:
            await self._clock.sleep(STEP)
        self._owned.remove(shard)
        self._outbox.forget(shard.shard)
        if is_ours:
            await self._watermarks.write([shard])
        self._log.info("shard given up", shard=shard.shard, epoch=shard.epoch, is_hand_over=is_ours)

    async def _follow_jobs(self, shard: OwnedShard, changes: AsyncIterator[ShardChange]) -> None:
        async for change in changes:
            await self._apply_jobs(shard, change)

    async def _follow_triggers(self, shard: OwnedShard, changes: AsyncIterator[ShardChange]) -> None:
        async for change in changes:
            await self._fire_promised(shard, change.triggers)

    async def _apply_jobs(self, shard: OwnedShard, change: ShardChange) -> None:
        named = {(stored.job.namespace, stored.job.id) for stored in change.jobs}
        gone = [key for key in shard.jobs if key not in named] if change.is_complete else change.removed
        for key in gone:
            shard.jobs.pop(key, None)
            self._timeline.remove(shard.shard, *key)
        for index, stored in enumerate(change.jobs):
            self._apply_job(shard, stored)
            if index % JOBS_PER_SLICE == JOBS_PER_SLICE - 1:
                await self._clock.sleep(timedelta(0))

    def _apply_job(self, shard: OwnedShard, stored: stored_job_pb2.StoredJob) -> None:
        key = (stored.job.namespace, stored.job.id)
        known = shard.jobs.get(key)
        if known is not None and (known.uid, known.version) == (stored.job.uid, stored.job.version):
            return
        try:
            job = convert.firing_job(stored)
        except ScheduleError as error:
            self._log.error("job cannot fire, change its schedule", namespace=key[0], job=key[1], error=str(error))
            shard.jobs.pop(key, None)
            self._timeline.remove(shard.shard, *key)
            return
        shard.jobs[key] = job
        self._timeline.put(shard.shard, job, after_us=shard.horizon_us)

    def _adopt(self, shard: OwnedShard, unfinished: Sequence[Execution]) -> None:
        runs = []
        for execution in unfinished:
            if execution.status == Execution.PENDING:
                continue  # its trigger is still in etcd and fires
            job = shard.jobs.get((execution.namespace, execution.job_id))
            if job is None or job.uid != execution.job_uid:
                job = convert.deleted_job(
                    execution.namespace,
                    execution.job_id,
                    execution.job_uid,
                    name=execution.job_name,
                    version=execution.job_version,
                )
            runs.append(convert.adopted_run(execution, job, shard=shard.shard, epoch=shard.epoch))
        self._outbox.adopt(runs)

    async def _fire_promised(self, shard: OwnedShard, triggers: Sequence[stored_job_pb2.StoredTrigger]) -> None:
        runs = []
        for trigger in triggers:
            if trigger.execution_id in shard.triggers:
                continue
            shard.triggers.add(trigger.execution_id)
            if trigger.execution_id in shard.recorded:
                self._settler.settle(shard, trigger.execution_id)
            elif (job := await self._job_of(shard, trigger)) is not None:
                runs.append(convert.manual_run(trigger, job, shard=shard.shard, epoch=shard.epoch))
        self._outbox.submit(runs)

    async def _job_of(self, shard: OwnedShard, trigger: stored_job_pb2.StoredTrigger) -> FiringJob | None:
        """The job that a trigger asks for; looks into etcd when the watch is behind. Explains why there is none."""
        job = shard.jobs.get((trigger.namespace, trigger.job_id))
        if job is not None and job.uid == trigger.job_uid:
            return job
        found = await self._jobs.get(trigger.namespace, trigger.job_id)
        if found is None or found.stored.job.uid != trigger.job_uid:
            self._explain(shard, trigger, "the job was deleted before the run began")
            return None
        try:
            return convert.firing_job(found.stored)
        except ScheduleError as error:
            self._explain(shard, trigger, f"the job's schedule cannot be read any more: {error}")
            return None

    def _explain(self, shard: OwnedShard, trigger: stored_job_pb2.StoredTrigger, reason: str) -> None:
        execution = describe(
            convert.deleted_job(trigger.namespace, trigger.job_id, trigger.job_uid),
            trigger.execution_id,
            microseconds(convert.moment(trigger)),
            now=self._clock.now(),
            reason=reason,
            cause=Execution.MANUAL,
        )
        self._notes.add(
            shard, execution, shard.horizon_us + 1, on_recorded=lambda: self._settler.settle(shard, execution.id)
        )
