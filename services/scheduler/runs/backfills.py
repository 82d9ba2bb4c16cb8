"""Runs that make up for times of a schedule which have passed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chronos.history.v1 import execution_pb2
from chronos.policy.v1 import policy_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2

from libs.clock import Clock
from libs.faults import InvalidArgument, WrongState
from services.scheduler.convert.firing import instant, missed_rules
from services.scheduler.domain.identity import (
    MICROSECOND,
    execution_id,
    manual_execution_id,
    microseconds,
    repeated_execution_id,
)
from services.scheduler.domain.occurrence import MissedPolicy
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.job_schedule import JobSchedule
from services.scheduler.domain.schedule.sequence import Schedule, last_of
from services.scheduler.policies.guard import Guard
from services.scheduler.policies.questions import Subject, one_job
from services.scheduler.ports.jobs import Schedules
from services.scheduler.ports.ledger import Ledger
from services.scheduler.runs.triggers import Triggers, new_trigger, pending_execution

MOST_RUNS = 1000
MOST_GENERATIONS = 32
MOST_LOOKED_UP = 500
Job = job_pb2.Job
Execution = execution_pb2.Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """What a backfill came to: its runs, oldest first, and how many times were left out since they have succeeded."""

    executions: Sequence[execution_pb2.Execution] = ()
    already_succeeded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What the runs have in common."""

    stored: stored_job_pb2.StoredJob
    concurrency: "Job.Concurrency.ValueType"
    actor: str


class Backfills:
    """Makes up for what a job missed."""

    def __init__(self, triggers: Triggers, schedules: Schedules, ledger: Ledger, guard: Guard, clock: Clock) -> None:
        self._triggers = triggers
        self._schedules = schedules
        self._ledger = ledger
        self._guard = guard
        self._clock = clock

    async def backfill(
        self,
        stored: stored_job_pb2.StoredJob,
        start: datetime,
        end: datetime,
        *,
        rerun: bool,
        concurrency: "Job.Concurrency.ValueType",
        validate_only: bool,
        actor: str,
    ) -> Backfill:
        """Promises a run for every time of the job's present schedule from `start` up to, not including, `end`.

        Times whose run has succeeded are left out, those whose run waits or runs are answered as they are; with
        `rerun` all get a new run. Raises InvalidArgument, WrongState when the job has no schedule,
        Refused, Unavailable.
        """
        _check_range(start, end, now=self._clock.now())
        schedule = await self._schedule_of(stored)
        if schedule is None:
            raise WrongState(
                f'the job "{stored.job.id}" has no schedule, so that there are no times to make up for; use trigger'
            )
        times = _times(schedule, start, end)
        wish = _Wish(stored=stored, concurrency=concurrency or _usual_concurrency(stored.job), actor=actor)
        if rerun:
            ids = [manual_execution_id(microseconds(time)) for time in times]
            return Backfill(executions=await self._promise(wish, times, ids, validate_only=validate_only))
        return await self._make_up(wish, times, validate_only=validate_only)

    async def catch_up(self, stored: stored_job_pb2.StoredJob, *, actor: str) -> Backfill:
        """Makes up for what a job missed between `disabled_at` and `effective_at`, as its missed-run policy says.

        Repeating it adds nothing. Raises Refused, Unavailable, and WrongState when the schedule cannot be read any
        more.
        """
        job, until = stored.job, instant(stored.effective_at)
        rules = missed_rules(job)
        if rules.policy is MissedPolicy.IGNORE or not stored.HasField("disabled_at"):
            return Backfill()
        schedule = await self._schedule_of(stored)
        if schedule is None:
            return Backfill()
        most = rules.max_runs if rules.policy is MissedPolicy.EXECUTE_ALL else 1
        floor = max(instant(stored.disabled_at), until - rules.window) - MICROSECOND
        times = last_of(schedule, until + MICROSECOND, floor=floor, most=most)
        wish = _Wish(stored=stored, concurrency=_usual_concurrency(job), actor=actor)
        return await self._make_up(wish, times, validate_only=False)

    async def _schedule_of(self, stored: stored_job_pb2.StoredJob) -> JobSchedule | None:
        try:
            return await self._schedules.of(stored)
        except ScheduleError as error:
            raise WrongState(f'the schedule of the job "{stored.job.id}" cannot be read any more: {error}') from error

    async def _make_up(self, wish: _Wish, times: Sequence[datetime], *, validate_only: bool) -> Backfill:
        """Promises a run for each time that has none which has succeeded, waits or runs.

        A time has the run that was due then, and any number of generations of runs that made up for it. The first
        generation that the ledger does not know is the one to promise: repeating a call gives the same ids.
        """
        known, ids, succeeded = await self._look_up(wish.stored.job, times)
        fresh = [time for time in times if time in ids]
        promised = await self._promise(wish, fresh, [ids[time] for time in fresh], validate_only=validate_only)
        runs = sorted([*promised, *known], key=lambda run: run.scheduled_time.ToMicroseconds())
        return Backfill(executions=runs, already_succeeded=succeeded)

    async def _look_up(
        self, job: job_pb2.Job, times: Sequence[datetime]
    ) -> tuple[list[execution_pb2.Execution], dict[datetime, str], int]:
        """Runs that wait or run; the id of the next run for each other time; how many times have succeeded."""
        under_way: list[execution_pb2.Execution] = []
        ids: dict[datetime, str] = {}
        succeeded, open_times = 0, list(times)
        scheduled = await self._find(job, [execution_id(job.uid, microseconds(time)) for time in open_times])
        for generation in range(MOST_GENERATIONS):
            made_up = [repeated_execution_id(job.uid, microseconds(time), generation) for time in open_times]
            found = await self._find(job, made_up)
            undecided: list[datetime] = []
            for time, identity in zip(open_times, made_up, strict=True):
                original = scheduled.get(execution_id(job.uid, microseconds(time)))
                run = found.get(identity)
                runs = [each for each in (original, run) if each is not None]
                if any(each.status == Execution.SUCCESS for each in runs):
                    succeeded += 1
                elif running := [each for each in runs if _is_under_way(each)]:
                    under_way.append(running[-1])
                elif run is None or run.status == Execution.PENDING:
                    ids[time] = identity
                else:
                    undecided.append(time)
            if not undecided:
                return under_way, ids, succeeded
            open_times = undecided
        ids |= {time: manual_execution_id(microseconds(time)) for time in open_times}
        return under_way, ids, succeeded

    async def _find(self, job: job_pb2.Job, ids: Sequence[str]) -> dict[str, execution_pb2.Execution]:
        found: dict[str, execution_pb2.Execution] = {}
        for start in range(0, len(ids), MOST_LOOKED_UP):
            chunk = ids[start : start + MOST_LOOKED_UP]
            page = await self._ledger.find(job.namespace, job_id=job.id, ids=chunk, limit=len(chunk))
            found |= {execution.id: execution for execution in page.executions}
        return found

    async def _promise(
        self, wish: _Wish, times: Sequence[datetime], ids: Sequence[str], *, validate_only: bool
    ) -> list[execution_pb2.Execution]:
        triggers = [_trigger(wish, identity, time) for identity, time in zip(ids, times, strict=True)]
        if triggers:
            await self._guard.ensure(_subject(wish.stored, len(triggers)), is_trial=validate_only)
        if validate_only:
            return [pending_execution(trigger, wish.stored.job) for trigger in triggers]
        return await self._triggers.promise_all(triggers, wish.stored.job) if triggers else []


def _subject(stored: stored_job_pb2.StoredJob, runs: int) -> Subject:
    return Subject(
        operation=policy_pb2.Policy.BACKFILL, namespace=stored.job.namespace, stored=stored, extent=one_job(runs)
    )


def _trigger(wish: _Wish, identity: str, time: datetime) -> stored_job_pb2.StoredTrigger:
    trigger = new_trigger(wish.stored.job, identity, time=time, cause=Execution.BACKFILL, actor=wish.actor)
    trigger.concurrency = wish.concurrency
    return trigger


def _is_under_way(run: execution_pb2.Execution) -> bool:
    """Whether it is in the firing path's hands. A promise that waits is promised again, which changes nothing."""
    return run.status == Execution.RUNNING or (run.status == Execution.PENDING and run.cause != Execution.BACKFILL)


def _usual_concurrency(job: job_pb2.Job) -> "Job.Concurrency.ValueType":
    return Job.ALLOW if job.concurrency == Job.ALLOW else Job.QUEUE


def _check_range(start: datetime, end: datetime, *, now: datetime) -> None:
    if end <= start:
        raise InvalidArgument.of("to", f"is not after from; give a later moment than {_text(start)}")
    if end > now:
        raise InvalidArgument.of("to", f"is in the future; give {_text(now)} at most")


def _times(schedule: Schedule, start: datetime, end: datetime) -> list[datetime]:
    """The occurrences from `start` up to `end`. Raises InvalidArgument when there are too many."""
    times: list[datetime] = []
    moment = schedule.next_after(start - MICROSECOND)
    while moment is not None and moment < end:
        if len(times) == MOST_RUNS:
            raise InvalidArgument.of(
                "to",
                f"makes it more than {MOST_RUNS:,} runs; the first {MOST_RUNS:,} are those before {_text(moment)}: "
                "end there, and go on from there with another call",
            )
        times.append(moment)
        moment = schedule.next_after(moment)
    return times


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
