"""The job as a resource: defaults, checks, secrets, next run."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from chronos.scheduler.v1 import job_pb2, stored_job_pb2, target_pb2

from libs.faults import InvalidArgument, Violation
from libs.names import DEFAULT_NAMESPACE, is_id, slug
from libs.rpc.validation import violations_of
from services.scheduler.convert import instant, schedule_of
from services.scheduler.domain import rules
from services.scheduler.domain.redaction import masked, unmasked
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.parse import parse_schedule, parse_timezone
from services.scheduler.ports import Versioned

MAX_ATTEMPTS = 3
INITIAL_INTERVAL = timedelta(seconds=1)
MAX_INTERVAL = timedelta(minutes=1)
MULTIPLIER = 2.0
TIMEOUT = timedelta(seconds=30)
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
    if filled.HasField("webhook"):
        filled.webhook.method = filled.webhook.method or "POST"
        auth = filled.webhook.auth
        if auth.WhichOneof("kind") == "api_key":
            auth.api_key.header = auth.api_key.header or "X-API-Key"
    return filled


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


def check(job: job_pb2.Job, *, now: datetime) -> None:
    """Raises InvalidArgument with everything that is wrong with a job that has its defaults.

    Shape first: a job that an update put together has not been looked at by the RPC edge.
    """
    violations = violations_of(job) or list(_violations(job, now))
    if violations:
        raise InvalidArgument(violations)


def _violations(job: job_pb2.Job, now: datetime) -> Iterator[Violation]:
    if not is_id(job.id):
        yield Violation(field="id", description="cannot be made from this name; give an id of a-z, 0-9 and hyphens")
    zone = job.timezone
    try:
        parse_timezone(zone)
    except ScheduleError as error:
        zone = ""
        yield Violation(field="timezone", description=str(error))
    try:
        parse_schedule(job.schedule, zone, anchor=now)
    except ScheduleError as error:
        yield Violation(field="schedule", description=str(error))
    policy = job.retry_policy
    yield from rules.retry_violations(
        "retry_policy", policy.initial_interval.ToTimedelta(), policy.max_interval.ToTimedelta()
    )
    if job.HasField("webhook"):
        yield from _webhook_violations(job.webhook)


def _webhook_violations(webhook: target_pb2.WebhookTarget) -> Iterator[Violation]:
    yield from rules.url_violations("webhook.url", webhook.url)
    yield from rules.header_violations("webhook.headers", dict(webhook.headers))
    yield from rules.template_violations("webhook.body", [webhook.body])
    if webhook.body and webhook.method in ("GET", "HEAD"):
        yield Violation(field="webhook.body", description=f"cannot go with {webhook.method}; use POST, or leave it out")
    if webhook.auth.WhichOneof("kind") == "api_key":
        header = {webhook.auth.api_key.header: ""}
        for violation in rules.header_violations("webhook.auth.api_key.header", header):
            yield Violation(field="webhook.auth.api_key.header", description=violation.description)


def keep_secrets(job: job_pb2.Job, stored: job_pb2.Job) -> None:
    """Puts the stored secrets where `job` gives back their masks. A mask with nothing behind it is refused."""
    new, old = job.webhook.auth, stored.webhook.auth
    match new.WhichOneof("kind"):
        case "basic":
            new.basic.password = unmasked(new.basic.password, old.basic.password)
        case "bearer":
            new.bearer.token = unmasked(new.bearer.token, old.bearer.token)
        case "api_key":
            new.api_key.key = unmasked(new.api_key.key, old.api_key.key)
        case _:
            return
    if (new.WhichOneof("kind") == "bearer" and not new.bearer.token) or (
        new.WhichOneof("kind") == "api_key" and not new.api_key.key
    ):
        raise InvalidArgument.of("webhook.auth", "gives back a mask, but no such secret is stored; give the secret")


def public(versioned: Versioned, *, now: datetime) -> job_pb2.Job:
    """The job as callers see it: etag and next run filled in, secrets masked."""
    job = job_pb2.Job()
    job.CopyFrom(versioned.stored.job)
    job.etag = str(versioned.revision) if versioned.revision else ""
    auth = job.webhook.auth if job.HasField("webhook") else target_pb2.WebhookAuth()
    match auth.WhichOneof("kind"):
        case "basic":
            auth.basic.password = masked(auth.basic.password)
        case "bearer":
            auth.bearer.token = masked(auth.bearer.token)
        case "api_key":
            auth.api_key.key = masked(auth.api_key.key)
    following = next_run(versioned.stored, now=now)
    if following is not None:
        job.next_run.FromDatetime(following)
    return job


def next_run(stored: stored_job_pb2.StoredJob, *, now: datetime) -> datetime | None:
    """When the job fires next; None when it is disabled, at its end, or has a schedule that cannot be read any more."""
    job = stored.job
    if not job.enabled:
        return None
    try:
        schedule = schedule_of(job)
    except ScheduleError:
        return None
    return schedule.next_after(max(now, instant(stored.effective_at)))
