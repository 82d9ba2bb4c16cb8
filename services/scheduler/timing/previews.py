"""When things will run: a schedule that is asked about, and the next runs of a job."""

import asyncio
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from chronos.scheduler.v1 import job_pb2, schedule_service_pb2

from libs.clock import Clock
from libs.faults import NotFound
from libs.names import DEFAULT_NAMESPACE
from services.scheduler.convert.firing import MANUAL, calendars_of, instant, job_schedule
from services.scheduler.convert.schedule import spec_of_question
from services.scheduler.domain.schedule.describe import describe
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.job_schedule import JobSchedule, build_schedule, problems_of
from services.scheduler.domain.schedule.preview import Preview, entries
from services.scheduler.ports.calendars import CalendarStore
from services.scheduler.ports.jobs import JobStore, Versioned

DEFAULT_ANSWERED, DEFAULT_LISTED = 5, 10
RUNS_PER_TURN = 20
Question = schedule_service_pb2.ValidateScheduleRequest
Answer = schedule_service_pb2.ValidateScheduleResponse
NextRun = schedule_service_pb2.NextRun
Problem = schedule_service_pb2.ScheduleProblem


class Previews:
    """Looks at what is to come, and changes nothing."""

    def __init__(self, jobs: JobStore, calendars: CalendarStore, clock: Clock) -> None:
        self._jobs = jobs
        self._calendars = calendars
        self._clock = clock

    async def validate(self, question: Question) -> Answer:
        """Whether a job could have such a schedule, what it means, and when it would run."""
        now = self._clock.now()
        spec = spec_of_question(question, now=now)
        namespace = question.namespace or DEFAULT_NAMESPACE
        calendars = await self._calendars.day_sets(namespace, spec.calendars.names)
        if question.schedule.strip().lower() == MANUAL:
            return Answer(valid=True, description="Only when it is asked for")
        # In a thread, for a schedule that hardly ever fires takes a while to see through.
        problems = [_problem(error) for error in await asyncio.to_thread(problems_of, spec, calendars)]
        if problems:
            error = "; ".join(f"{problem.field}: {problem.description}" for problem in problems)
            return Answer(valid=False, error=error, problems=problems)
        schedule = await asyncio.to_thread(build_schedule, spec, calendars)
        after = instant(getattr(question, "from")) if question.HasField("from") else now
        runs = await self._runs(schedule, after, question.count or DEFAULT_ANSWERED)
        return Answer(valid=True, description=describe(spec), next_runs=runs)

    async def next_runs(
        self, namespace: str, job_id: str, *, count: int, after: datetime | None
    ) -> tuple[list[NextRun], str]:
        """The next runs of a job, and why there are fewer than asked for. Raises NotFound."""
        found = await self._find(namespace or DEFAULT_NAMESPACE, job_id)
        job = found.stored.job
        wanted = count or DEFAULT_LISTED
        calendars = await self._calendars.day_sets(job.namespace, calendars_of(job))
        after = self._clock.now() if after is None else after
        if not job.enabled:
            return [], "the job is disabled; enable it to let it run"
        try:
            schedule = job_schedule(found.stored, calendars)
        except ScheduleError as error:
            return [], f"the job cannot run any more: {error.field}: {error}"
        if schedule is None:
            return [], _waits_for(job)
        runs = await self._runs(schedule, max(after, instant(found.stored.effective_at)), wanted)
        count = sum(1 for run in runs if not run.is_removed)
        return runs, "" if count >= wanted else _end_note(job, count)

    async def _runs(self, schedule: JobSchedule, after: datetime, count: int) -> list[NextRun]:
        """The runs to come. Other tasks take their turns meanwhile."""
        runs: list[NextRun] = []
        for entry in entries(schedule, after, count):
            runs.append(_next_run(entry, schedule.zone))
            if len(runs) % RUNS_PER_TURN == 0:
                await self._clock.sleep(timedelta(0))
        return runs

    async def _find(self, namespace: str, job_id: str) -> Versioned:
        found = await self._jobs.get(namespace, job_id)
        if found is None:
            raise NotFound(f'there is no job "{job_id}" in namespace "{namespace}"', metadata={"job": job_id})
        return found


def _waits_for(job: job_pb2.Job) -> str:
    if job.dependencies.depends_on:
        return f"the job runs after other jobs: {', '.join(job.dependencies.depends_on)}"
    return "the job has no schedule; it runs only when it is asked for"


def _end_note(job: job_pb2.Job, runs: int) -> str:
    because = "its schedule has no further times"
    if job.max_runs and job.HasField("end_time"):
        because = "of max_runs or end_time"
    elif job.max_runs:
        because = f"of max_runs, which is {job.max_runs}, or the end of its schedule"
    elif job.HasField("end_time"):
        because = f"of end_time, {instant(job.end_time).isoformat()}, or the end of its schedule"
    after = "the job will not run any more" if not runs else "the job will not run after that"
    return f"{after}, because {because}"


def _next_run(entry: Preview, zone: ZoneInfo) -> NextRun:
    message = NextRun(notes=entry.notes, is_removed=entry.is_removed, count=entry.count)
    if entry.time is not None:
        message.time.FromDatetime(entry.time)
    message.nominal_time.FromDatetime(entry.nominal)
    message.local_time = (entry.time or entry.nominal).astimezone(zone).isoformat()
    return message


def _problem(error: ScheduleError) -> Problem:
    return Problem(
        field=error.field,
        description=str(error),
        part=error.part,
        position=error.position,
        example=error.example,
    )
