"""All that is known about a job at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the ledger has about a run, or about a stretch of runs up to `skipped_until`.

    `status`, `cause` and `reason_code` are the names of the proto's enum values.
    """

    status: str
    cause: str
    scheduled_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    reason_code: str = ""
    reason: str = ""
    error: str = ""
    status_code: int = 0
    attempts: int = 0
    skipped_count: int = 0
    skipped_until: datetime | None = None
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The version of the job that was in force. `description` is its schedule in words, empty without a schedule.

    `is_certain` is False when versions next to it are not kept any more, so that another one may have been in force.
    """

    number: int
    made_at: datetime
    author: str
    is_enabled: bool
    schedule: str
    description: str
    is_certain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A stretch in which the job was disabled. `until` is None while it lasts."""

    since: datetime
    author: str
    version: int
    until: datetime | None = None
    until_author: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that is known about a job at the time `at`.

    `due_at` is the run of the schedule that `at` means, `notes` what moved it. `removed` says, in a sentence, what took
    a run away that the schedule would have there, `problem` why the schedule cannot be read any more. `account` is the
    record of that time, `others` are other runs of about that time. `runs_after` says what a job without a schedule
    runs after.
    """

    at: datetime
    now: datetime
    zone: ZoneInfo
    created_at: datetime
    in_force: InForce | None
    pause: Pause | None = None
    due_at: datetime | None = None
    notes: Sequence[str] = ()
    removed: str = ""
    problem: str = ""
    account: Account | None = None
    others: Sequence[Account] = ()
    previous: datetime | None = None
    following: datetime | None = None
    runs_after: str = ""
