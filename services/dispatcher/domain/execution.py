"""An execution on its way: what was asked for, and how far it has come."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.dispatcher.domain.outcome import Verdict
from services.dispatcher.domain.plan import Plan

LONGEST_ERROR = 1024


class Status(StrEnum):
    """Where an execution is in its life."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"


class Cause(StrEnum):
    """What made a job run."""

    UNSPECIFIED = "unspecified"
    SCHEDULE = "schedule"
    MANUAL = "manual"
    DEPENDENCY = "dependency"
    BACKFILL = "backfill"
    REPLAY = "replay"


class Reason(StrEnum):
    """Why an execution did not run to its end, for programs. Schedulers may give others, which are handed on."""

    NONE = "none"
    OVERLAP = "overlap"
    QUEUE_FULL = "queue_full"
    REPLACED = "replaced"
    MISSED = "missed"
    PAUSED = "paused"
    CALENDAR = "calendar"
    WINDOW = "window"
    DST = "dst"
    QUOTA = "quota"
    DEPENDENCY_FAILED = "dependency_failed"
    BREAKER_OPEN = "breaker_open"
    INTERRUPTED = "interrupted"
    DELETED = "deleted"
    CANCELLED_BY_USER = "cancelled_by_user"
    POLICY = "policy"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why an execution goes no further here: a sentence, and the same for programs."""

    reason: str
    code: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Facts of an execution that are recorded and otherwise of no matter here."""

    actor: str = ""
    replay_of: str = ""
    parent_execution_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to deliver, ended. `retry_at` is when the next one is due."""

    number: int
    started_at: datetime
    duration: timedelta
    status_code: int = 0
    error: str = ""
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An execution as a scheduler handed it over. `delivery` counts the times that this happened."""

    execution_id: str
    plan: Plan
    scheduled_time: datetime
    cause: Cause
    delivery: int
    shard: int
    epoch: int
    traceparent: str
    trace_id: str
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an execution has come.

    `begun_count` counts attempts begun, the last one at `begun_at`; `attempts` holds those that ended. `ending` says
    why it went no further, where that was not up to its attempts. `complete_by` is until when its target, which has
    accepted it, may tell how it ended.
    """

    status: Status = Status.RUNNING
    attempts: tuple[Attempt, ...] = ()
    begun_count: int = 0
    begun_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    verdict: Verdict | None = None
    ending: Ending | None = None
    complete_by: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self.status is not Status.RUNNING


NOT_SENT = Ending(reason="", code=Reason.BREAKER_OPEN)
AT_TARGET = Ending(reason="the target has accepted it, and is to tell how it ends", code=Reason.ACCEPTED)


def resume(attempts: tuple[Attempt, ...]) -> Progress:
    """The progress of an execution of which earlier deliveries made these attempts."""
    started_at = attempts[0].started_at if attempts else None
    return Progress(attempts=attempts, begun_count=len(attempts), started_at=started_at)


def begin_attempt(progress: Progress, *, now: datetime) -> Progress:
    """One more attempt begins."""
    return Progress(
        attempts=progress.attempts,
        begun_count=len(progress.attempts) + 1,
        begun_at=now,
        started_at=progress.started_at or now,
        verdict=progress.verdict,
    )


def end_attempt(progress: Progress, verdict: Verdict, *, duration: timedelta, wait: timedelta | None) -> Progress:
    """The attempt that was under way has ended: for good, or with a next one due after `wait`."""
    if progress.begun_at is None:
        raise ValueError("no attempt has begun")
    ended_at = progress.begun_at + duration
    attempt = Attempt(
        number=progress.begun_count,
        started_at=progress.begun_at,
        duration=duration,
        status_code=verdict.status_code,
        error=verdict.error[:LONGEST_ERROR],
        retry_at=None if wait is None else ended_at + wait,
    )
    return Progress(
        status=_final_status(verdict) if wait is None else Status.RUNNING,
        attempts=(*progress.attempts, attempt),
        begun_count=progress.begun_count,
        begun_at=progress.begun_at,
        started_at=progress.started_at,
        completed_at=ended_at if wait is None else None,
        verdict=verdict,
        ending=NOT_SENT if wait is None and verdict.is_breaker_open else None,
    )


def accept(progress: Progress, verdict: Verdict, *, duration: timedelta, deadline: timedelta) -> Progress:
    """The target has accepted, with which the attempt ended. It has until `deadline` after that to tell the end."""
    ended = end_attempt(progress, verdict, duration=duration, wait=None)
    assert ended.completed_at is not None
    return replace(
        ended,
        status=Status.RUNNING,
        completed_at=None,
        ending=AT_TARGET,
        complete_by=ended.completed_at + deadline,
    )


def end_early(progress: Progress, status: Status, ending: Ending, *, now: datetime) -> Progress:
    """The execution ends here and now; an attempt that is under way ends with it."""
    attempts = progress.attempts
    if progress.begun_at is not None and progress.begun_count > len(attempts):
        cut_off = Attempt(
            number=progress.begun_count,
            started_at=progress.begun_at,
            duration=max(now - progress.begun_at, timedelta(0)),
            error=ending.reason[:LONGEST_ERROR],
        )
        attempts = (*attempts, cut_off)
    return replace(progress, status=status, attempts=attempts, completed_at=now, ending=ending)


def _final_status(verdict: Verdict) -> Status:
    if verdict.is_success:
        return Status.SUCCESS
    return Status.TIMED_OUT if verdict.is_timeout else Status.FAILED
