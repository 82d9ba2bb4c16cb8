"""The job as a resource: defaults, checks, secrets, next run."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from chronos.scheduler.v1 import job_pb2, run_rules_pb2, stored_job_pb2, target_pb2, timing_pb2

from libs.faults import Violation
from libs.names import DEFAULT_NAMESPACE, is_id, slug
from libs.rpc.validation import violations_of
from services.scheduler.convert.firing import MANUAL, instant, job_schedule, missed_rules
from services.scheduler.convert.schedule import spec_of
from services.scheduler.domain import rules
from services.scheduler.domain.occurrence import MOST_QUEUED_RUNS, USUAL_PRIORITY
from services.scheduler.domain.schedule.calendar import DaySet
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.job_schedule import build_schedule, problems_of
from services.scheduler.jobs.secrets import masked_job
from services.scheduler.jobs.targets.references import checkable, reference_violations
from services.scheduler.jobs.targets.registry import fill_target, target_violations
from services.scheduler.ports.jobs import Versioned

MAX_ATTEMPTS = 3
INITIAL_INTERVAL = timedelta(seconds=1)
MAX_INTERVAL = timedelta(minutes=1)
MULTIPLIER = 2.0
TIMEOUT = timedelta(seconds=30)
DEPENDENCY_TIMEOUT = timedelta(hours=24)
LIMIT_PERIOD = timedelta(seconds=1)
Job = job_pb2.Job
TIME_FIELDS = (
    "schedule", "timezone", "dst_policy",
    "start_time", "end_time", "max_runs", "jitter", "active_windows", "blackout_windows", "calendars",
)  # fmt: skip
OUTPUT_ONLY = ("uid", "created_at", "updated_at", "updated_by", "version", "etag", "next_run")


def with_defaults(job: job_pb2.Job) -> job_pb2.Job:
    """A copy in which every field that was left out says what it means, and output-only fields are gone."""
    filled = job_pb2.Job()
    filled.CopyFrom(job)
    for name in OUTPUT_ONLY:
        filled.ClearField(name)  # type: ignore[arg-type]
    filled.namespace = job.namespace or DEFAULT_NAMESPACE
    filled.id = job.id or slug(job.name)
    filled.timezone = job.timezone or "UTC"
    if not job.HasField("enabled"):
        filled.enabled = True
    if not job.HasField("timeout"):
        filled.timeout.FromTimedelta(TIMEOUT)
    _fill_retries(filled.retry_policy)
    _fill_rules(filled)
    fill_target(filled)
    if filled.HasField("limits") and filled.limits.HasField("max_per_period") and not filled.limits.HasField("period"):
        filled.limits.period.FromTimedelta(LIMIT_PERIOD)
    return filled


def _fill_rules(job: Job) -> None:
    job.concurrency = job.concurrency or Job.FORBID
    job.missed_run_policy = job.missed_run_policy or Job.EXECUTE_ONE
    job.delivery_guarantee = job.delivery_guarantee or Job.AT_LEAST_ONCE
    if not job.HasField("priority"):
        job.priority = USUAL_PRIORITY
    if job.concurrency == Job.QUEUE and not job.HasField("max_queued_runs"):
        job.max_queued_runs = MOST_QUEUED_RUNS
    if job.HasField("dst_policy"):
        job.dst_policy.skipped_time = job.dst_policy.skipped_time or timing_pb2.DstPolicy.NEXT_VALID
        job.dst_policy.repeated_time = job.dst_policy.repeated_time or timing_pb2.DstPolicy.FIRST
    if job.HasField("calendars"):
        job.calendars.roll = job.calendars.roll or timing_pb2.CalendarRule.SKIP
    if job.HasField("dependencies"):
        _fill_dependencies(job.dependencies)
    if job.HasField("catch_up"):
        _fill_catch_up(job)


def _fill_dependencies(dependencies: run_rules_pb2.Dependencies) -> None:
    dependencies.condition = dependencies.condition or run_rules_pb2.Dependencies.ALL_SUCCESS
    if dependencies.depends_on and not dependencies.HasField("timeout"):
        dependencies.timeout.FromTimedelta(DEPENDENCY_TIMEOUT)


def _fill_catch_up(job: Job) -> None:
    rules = missed_rules(job)
    job.catch_up.window.FromTimedelta(rules.window)
    job.catch_up.max_runs = rules.max_runs
    job.catch_up.interval.FromTimedelta(rules.interval)


def _fill_retries(policy: target_pb2.RetryPolicy) -> None:
    if not policy.HasField("max_attempts"):
        policy.max_attempts = MAX_ATTEMPTS
    if not policy.HasField("multiplier"):
        policy.multiplier = MULTIPLIER
    if not policy.HasField("initial_interval"):
        longest = policy.max_interval.ToTimedelta() if policy.HasField("max_interval") else MAX_INTERVAL
        policy.initial_interval.FromTimedelta(min(INITIAL_INTERVAL, longest))
    if not policy.HasField("max_interval"):
        policy.max_interval.FromTimedelta(max(MAX_INTERVAL, policy.initial_interval.ToTimedelta()))


def violations(job: Job, calendars: Mapping[str, DaySet], *, now: datetime) -> list[Violation]:
    """Everything that is wrong with a job that has its defaults.

    Shape first: a job that an update put together has not been looked at by the RPC edge.
    """
    checked = checkable(job)
    return violations_of(checked) or [*_violations(checked, calendars, now), *reference_violations(job)]


def _violations(job: Job, calendars: Mapping[str, DaySet], now: datetime) -> Iterator[Violation]:
    if not is_id(job.id):
        yield Violation(field="id", description="cannot be made from this name; give an id of a-z, 0-9 and hyphens")
    yield from _time_violations(job, calendars, now)
    policy = job.retry_policy
    yield from rules.retry_violations(
        "retry_policy", policy.initial_interval.ToTimedelta(), policy.max_interval.ToTimedelta()
    )
    yield from target_violations(job)


def _time_violations(job: Job, calendars: Mapping[str, DaySet], now: datetime) -> Iterator[Violation]:
    if has_times(job):
        for error in problems_of(spec_of(job, counts_from=now), calendars):
            yield Violation(field=error.field, description=str(error))
        return
    if not job.schedule and not job.dependencies.depends_on:
        yield Violation(
            field="schedule",
            description='is missing; write for example "0 9 * * MON-FRI", name jobs in dependencies.depends_on, or '
            f'write "{MANUAL}" for a job that runs only when it is asked for',
        )
    for name in TIME_FIELDS[3:]:
        if is_given(job, name):
            yield Violation(field=name, description="has no meaning without a schedule; leave it out")


def time_is_over(job: Job, calendars: Mapping[str, DaySet], *, now: datetime) -> list[Violation]:
    """What is wrong with a job, otherwise right, that would be created with no run left to come."""
    if not has_times(job):
        return []
    schedule = build_schedule(spec_of(job, counts_from=now), calendars)
    if schedule.next_after(now) is not None:
        return []
    lost = schedule.lost_after(now)
    why = f"; {lost.note}" if lost is not None else ""
    field = "end_time" if job.HasField("end_time") and job.end_time.ToDatetime(tzinfo=UTC) <= now else "schedule"
    return [Violation(field=field, description=f"has no run after {now:%Y-%m-%dT%H:%M:%SZ}{why}; give a later time")]


def has_times(job: Job) -> bool:
    """Whether the job has times of its own."""
    return bool(job.schedule) and job.schedule.strip().lower() != MANUAL


def times_differ(old: Job, new: Job) -> bool:
    """Whether two versions of a job run at different times."""
    return any(getattr(old, name) != getattr(new, name) for name in TIME_FIELDS)


def is_given(job: Job, name: str) -> bool:
    """Whether a field says anything."""
    return any(field.name == name for field, _ in job.ListFields())


def public(versioned: Versioned, calendars: Mapping[str, DaySet], *, now: datetime) -> job_pb2.Job:
    """The job as callers see it: etag and next run filled in, secrets masked."""
    job = masked_job(versioned.stored.job)
    job.etag = str(versioned.revision) if versioned.revision else ""
    following = next_run(versioned.stored, calendars, now=now)
    if following is not None:
        job.next_run.FromDatetime(following)
    return job


def next_run(stored: stored_job_pb2.StoredJob, calendars: Mapping[str, DaySet], *, now: datetime) -> datetime | None:
    """When the job fires next.

    None when it is disabled, at its end, has no times of its own, or has a schedule that cannot be read any more.
    """
    if not stored.job.enabled:
        return None
    try:
        schedule = job_schedule(stored, calendars)
    except ScheduleError:
        return None
    return schedule.next_after(max(now, instant(stored.effective_at))) if schedule is not None else None
