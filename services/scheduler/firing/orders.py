"""What others ask the owner of a shard to do, through etcd: run something, stop something, hear of an end."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import stored_job_pb2

from libs.clock import Clock
from services.scheduler.convert.firing import deleted_job, firing_job, promised_run
from services.scheduler.domain.occurrence import FiringJob, Run
from services.scheduler.domain.schedule.calendar import DaySet
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.firing.admission import Admission
from services.scheduler.firing.gates import Followers
from services.scheduler.firing.notes import Notes
from services.scheduler.firing.owned import OwnedShard
from services.scheduler.firing.settler import Settler
from services.scheduler.ports.jobs import JobStore
from services.scheduler.ports.ledger import Reason
from services.scheduler.ports.orders import ShardChange

Execution = execution_pb2.Execution


class Calendars(Protocol):
    """The calendars that are known now."""

    def sets(self, namespace: str) -> Mapping[str, DaySet]:
        """Those of a namespace, by id."""


class Signals(Protocol):
    """Who hears of the ends that jobs of this shard wait for."""

    def take(self, shard: OwnedShard, signal: stored_job_pb2.StoredSignal) -> None:
        """Takes one in. Repeating it changes nothing."""


class Completions(Protocol):
    """Who ends runs as their targets tell."""

    def take(self, shard: OwnedShard, completion: stored_job_pb2.StoredCompletion) -> None:
        """Takes an end in. Repeating it changes nothing."""


class Orders:
    """Carries orders out. An order that comes twice is carried out once."""

    def __init__(
        self,
        *,
        jobs: JobStore,
        calendars: Calendars,
        admission: Admission,
        notes: Notes,
        settler: Settler,
        followers: Followers,
        completions: Completions,
        signals: Signals,
        clock: Clock,
    ) -> None:
        self._jobs = jobs
        self._calendars = calendars
        self._admission = admission
        self._notes = notes
        self._settler = settler
        self._followers = followers
        self._completions = completions
        self._signals = signals
        self._clock = clock

    async def take(self, shard: OwnedShard, change: ShardChange) -> None:
        """Carries out what is new: runs first, since a wish to stop one, or its end, may come with it."""
        await self._fire(shard, change.triggers)
        for completion in change.completions:
            self._completions.take(shard, completion)
        for cancel in change.cancels:
            self._cancel(shard, cancel)
        for signal in change.signals:
            self._signals.take(shard, signal)
        for follow_up in change.follow_ups:
            self._followers.noticed(shard, follow_up)

    async def _fire(self, shard: OwnedShard, triggers: Sequence[stored_job_pb2.StoredTrigger]) -> None:
        runs = []
        for trigger in triggers:
            if trigger.execution_id in shard.triggers:
                continue
            shard.triggers.add(trigger.execution_id)
            if trigger.execution_id in shard.recorded:
                self._resume(shard, trigger)
                self._settler.settle(shard, trigger.execution_id)
            elif (job := await self._job_of(shard, trigger)) is not None:
                run = promised_run(trigger, job, shard=shard.shard, epoch=shard.epoch)
                if trigger.skip_reason:
                    self._skip(shard, run, trigger)
                else:
                    runs.append(run)
        self._admission.submit(runs)

    def _resume(self, shard: OwnedShard, trigger: stored_job_pb2.StoredTrigger) -> None:
        """A promised run that an earlier owner began: those who wait for its end may not have been told."""
        job = shard.jobs.get((trigger.namespace, trigger.job_id))
        if job is not None and job.uid == trigger.job_uid:
            self._admission.resume(shard, promised_run(trigger, job, shard=shard.shard, epoch=shard.epoch))

    def _skip(self, shard: OwnedShard, run: Run, trigger: stored_job_pb2.StoredTrigger) -> None:
        """Explains a run that is not to take place; jobs that wait for it hear of that."""
        self._followers.begin(shard, run)

        def settle() -> None:
            self._settler.settle(shard, run.execution_id)
            self._followers.end(shard, run, Execution.SKIPPED, trigger.skip_code)

        self._notes.add_run(
            shard, run, status=Execution.SKIPPED, code=trigger.skip_code, reason=trigger.skip_reason, on_recorded=settle
        )

    def _cancel(self, shard: OwnedShard, cancel: stored_job_pb2.StoredCancel) -> None:
        identity = cancel.execution_id
        if identity in shard.cancels:
            return
        shard.cancels.add(identity)
        reason = f"cancelled by {cancel.actor}" + (f": {cancel.reason}" if cancel.reason else "")
        if not self._admission.cancel(shard, identity, reason=reason, code=Execution.CANCELLED_BY_USER):
            self._settler.settle_cancel(shard, identity)

    async def _job_of(self, shard: OwnedShard, trigger: stored_job_pb2.StoredTrigger) -> FiringJob | None:
        """The job that a trigger asks for; looks into etcd when the watch is behind. Explains why there is none."""
        job = shard.jobs.get((trigger.namespace, trigger.job_id))
        if job is not None and job.uid == trigger.job_uid:
            return job
        found = await self._jobs.get(trigger.namespace, trigger.job_id)
        if found is None or found.stored.job.uid != trigger.job_uid:
            self._explain(shard, trigger, Execution.DELETED, "the job was deleted before the run began")
            return None
        try:
            return firing_job(found.stored, self._calendars.sets(trigger.namespace))
        except ScheduleError as error:
            reason = f"the job's schedule cannot be read any more: {error}"
            self._explain(shard, trigger, Execution.REASON_UNSPECIFIED, reason)
            return None

    def _explain(self, shard: OwnedShard, trigger: stored_job_pb2.StoredTrigger, code: Reason, reason: str) -> None:
        job = deleted_job(trigger.namespace, trigger.job_id, trigger.job_uid)
        run = promised_run(trigger, job, shard=shard.shard, epoch=shard.epoch)

        def settle() -> None:
            self._settler.settle(shard, run.execution_id)

        self._notes.add_run(shard, run, status=Execution.SKIPPED, code=code, reason=reason, on_recorded=settle)
