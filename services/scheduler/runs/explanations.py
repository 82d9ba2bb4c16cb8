"""Why a job ran or did not run at a time: gathers what is known, and has it judged."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, run_rules_pb2, run_service_pb2, stored_job_pb2

from libs.clock import Clock
from services.scheduler.convert.explanations import account_of, explanation_message
from services.scheduler.convert.firing import MANUAL, instant
from services.scheduler.convert.schedule import spec_of
from services.scheduler.domain.evidence import Case, InForce, Pause
from services.scheduler.domain.explaining import explain
from services.scheduler.domain.identity import execution_id, microseconds
from services.scheduler.domain.planned import Planned, meant, planned
from services.scheduler.domain.schedule.describe import describe
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.spec import ScheduleSpec
from services.scheduler.domain.schedule.zones import parse_timezone
from services.scheduler.jobs.version_history import VersionHistory, history_at, made_at
from services.scheduler.ports.jobs import JobFinder, Schedules, VersionStore
from services.scheduler.ports.ledger import Ledger

NEAR = timedelta(minutes=10)
SECOND = timedelta(seconds=1)
MOST_LOOKED_AT = 500
MOST_OTHERS = 5
SCHEDULE = execution_pb2.Execution.SCHEDULE


class Explanations:
    """Answers "why did it not run at T?"."""

    def __init__(
        self, jobs: JobFinder, versions: VersionStore, schedules: Schedules, ledger: Ledger, clock: Clock
    ) -> None:
        self._jobs = jobs
        self._versions = versions
        self._schedules = schedules
        self._ledger = ledger
        self._clock = clock

    async def explain(self, namespace: str, job_id: str, at: datetime | None) -> run_service_pb2.ExplainJobResponse:
        """What happened at a time; None means now. Raises NotFound, Unavailable."""
        current = (await self._jobs.find(namespace, job_id)).stored
        now = self._clock.now()
        at = at or now
        history = await history_at(self._versions, current, at)
        plan = await self._plan(history, at)
        found = await self._recorded(current.job, plan, at)
        execution = _execution_of(found, current.job.uid, plan, at)
        case = _case(current.job, history, plan, found, execution, at=at, now=now)
        return explanation_message(explain(case), case, execution)

    async def _plan(self, history: VersionHistory, at: datetime) -> Planned:
        """What the schedule of the version in force has at that time; nothing when it cannot be read any more."""
        stored = history.in_force
        if stored is None:
            return Planned()
        try:
            schedule = await self._schedules.of(stored)
            if schedule is None:
                return Planned()
            return planned(schedule, _spec(stored), at, floor=instant(stored.effective_at))
        except ScheduleError as error:
            return Planned(problem=str(error))

    async def _recorded(self, job: job_pb2.Job, plan: Planned, at: datetime) -> Sequence[execution_pb2.Execution]:
        """The job's runs of about that time, and what is recorded for the time that is meant."""
        begin, end = meant(at)
        ranges = [(begin - NEAR, end + NEAR)]
        if (due := plan.due_at or plan.removed_at) is not None:
            ranges.append((due, due + SECOND))
        executions: dict[str, execution_pb2.Execution] = {}
        for start, stop in reversed(ranges):
            found = await self._ledger.find(
                job.namespace, job_id=job.id, start=start, end=stop, limit=MOST_LOOKED_AT, with_stretches=True
            )
            executions |= {each.id: each for each in found.executions if each.job_uid in ("", job.uid)}
        return list(executions.values())


def _execution_of(
    found: Sequence[execution_pb2.Execution], uid: str, plan: Planned, at: datetime
) -> execution_pb2.Execution | None:
    """The record that tells about a time: that of the run that was due, of a stretch with it, or of any run then."""
    due = plan.due_at or plan.removed_at
    begin, end = (due, due + SECOND) if due is not None else meant(at)
    then = [each for each in found if begin <= instant(each.scheduled_time) < end]
    if due is not None:
        identity = execution_id(uid, microseconds(due))
        own = [each for each in found if each.id == identity]
        stretches = [each for each in found if each.HasField("skipped_until") and _covers(each, due)]
        then = [*own, *stretches, *then]
    then.sort(key=lambda each: each.cause != SCHEDULE)
    return then[0] if then else None


def _covers(stretch: execution_pb2.Execution, moment: datetime) -> bool:
    return instant(stretch.scheduled_time) <= moment <= instant(stretch.skipped_until)


def _case(
    job: job_pb2.Job,
    history: VersionHistory,
    plan: Planned,
    found: Sequence[execution_pb2.Execution],
    execution: execution_pb2.Execution | None,
    *,
    at: datetime,
    now: datetime,
) -> Case:
    stored = history.in_force
    others = [each for each in found if each is not execution and each.cause != SCHEDULE]
    return Case(
        at=at,
        now=now,
        zone=_zone((stored.job if stored is not None else job).timezone),
        created_at=instant(job.created_at),
        in_force=_in_force(stored, is_certain=history.is_certain) if stored is not None else None,
        pause=_pause(history),
        due_at=plan.due_at,
        notes=plan.notes,
        removed=plan.removed,
        problem=plan.problem,
        account=account_of(execution) if execution is not None else None,
        others=[account_of(each) for each in others[:MOST_OTHERS]],
        previous=plan.previous if stored is not None and stored.job.enabled else None,
        following=plan.following if stored is not None and stored.job.enabled else None,
        runs_after=_runs_after((stored.job if stored is not None else job).dependencies),
    )


def _in_force(stored: stored_job_pb2.StoredJob, *, is_certain: bool) -> InForce:
    job = stored.job
    return InForce(
        number=job.version,
        made_at=made_at(stored),
        author=job.updated_by,
        is_enabled=job.enabled,
        schedule=job.schedule if _has_times(job) else "",
        description=_description(stored),
        is_certain=is_certain,
    )


def _description(stored: stored_job_pb2.StoredJob) -> str:
    if not _has_times(stored.job):
        return ""
    try:
        return describe(_spec(stored))
    except ScheduleError as error:
        return f"cannot be read: {error}"


def _pause(history: VersionHistory) -> Pause | None:
    if history.disabled_by is None:
        return None
    enabled = next((version for version in history.newer if version.job.enabled), None)
    return Pause(
        since=made_at(history.disabled_by),
        author=history.disabled_by.job.updated_by,
        version=history.disabled_by.job.version,
        until=made_at(enabled) if enabled is not None else None,
        until_author=enabled.job.updated_by if enabled is not None else "",
    )


def _spec(stored: stored_job_pb2.StoredJob) -> ScheduleSpec:
    counts_from = stored.counts_from if stored.HasField("counts_from") else stored.job.created_at
    return spec_of(stored.job, counts_from=instant(counts_from))


def _has_times(job: job_pb2.Job) -> bool:
    return job.schedule.strip().lower() not in ("", MANUAL)


def _zone(name: str) -> ZoneInfo:
    try:
        return parse_timezone(name or "UTC")
    except ScheduleError:
        return ZoneInfo("UTC")


def _runs_after(dependencies: run_rules_pb2.Dependencies) -> str:
    return f"and runs after {', '.join(dependencies.depends_on)}" if dependencies.depends_on else ""
