"""What fires: jobs as the firing path sees them, and the runs that come of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from services.scheduler.domain.schedule.job_schedule import JobSchedule

MOST_QUEUED_RUNS = 10
USUAL_PRIORITY = 5
NO_TAGS: Mapping[str, str] = MappingProxyType({})


class Cause(StrEnum):
    """What made a job run."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    DEPENDENCY = "dependency"
    BACKFILL = "backfill"
    REPLAY = "replay"


class Concurrency(StrEnum):
    """What happens when a run is due while another one of the job is under way."""

    ALLOW = "allow"
    FORBID = "forbid"
    REPLACE = "replace"
    QUEUE = "queue"


class MissedPolicy(StrEnum):
    """What happens to runs that were noticed too late."""

    IGNORE = "ignore"
    EXECUTE_ONE = "execute_one"
    EXECUTE_ALL = "execute_all"


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedRules:
    """How missed runs are made up for: none older than `window`, with EXECUTE_ALL at most `max_runs`, paced."""

    policy: MissedPolicy = MissedPolicy.EXECUTE_ONE
    window: timedelta = timedelta(days=366)
    max_runs: int = 100
    interval: timedelta = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringJob:
    """One version of a job: when it fires, how its runs get along, and what is handed on.

    `schedule` is None for a job without times of its own. Occurrences count only after `effective_at`; the job was
    disabled from `disabled_at` until then, if that is set. `definition` is the job as the dispatcher wants it, a
    serialized message that nothing here looks into, `definition_id` its hash; both are empty for a job that is gone.
    Runs with the same `limit_key` go to one dispatcher, so that it can keep to limits; empty means to any. Of
    one that `is_asynchronous` the target tells later how a run ended. `tags` say which policies apply.
    """

    namespace: str
    id: str
    uid: str
    name: str
    version: int
    is_enabled: bool
    schedule: JobSchedule | None
    effective_at: datetime
    disabled_at: datetime | None = None
    definition: bytes
    definition_id: bytes = b""
    calendars: tuple[str, ...] = ()
    concurrency: Concurrency = Concurrency.FORBID
    max_queued_runs: int = MOST_QUEUED_RUNS
    priority: int = USUAL_PRIORITY
    missed: MissedRules = field(default_factory=MissedRules)
    is_at_most_once: bool = False
    is_asynchronous: bool = False
    limit_key: str = ""
    tags: Mapping[str, str] = field(default_factory=lambda: NO_TAGS)

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and id."""
        return self.namespace, self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a run comes from that no schedule asked for."""

    actor: str = ""
    replay_of: str = ""
    parent_execution_ids: tuple[str, ...] = ()


NO_ORIGIN = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution to be delivered. `scheduled_us` is Unix time in microseconds.

    `delivery` counts how often it was handed out; `attempts` are those of earlier deliveries, serialized. `is_patient`
    is set for runs that wait for their turn however many others do: catch-up and backfill. `is_late` is set for runs
    of the schedule that were noticed late, after a take-over. `complete_by_us` is set once the target has accepted it:
    until then it has time to tell how it ended.
    """

    execution_id: str
    job: FiringJob
    shard: int
    epoch: int
    scheduled_us: int
    cause: Cause
    concurrency: Concurrency
    traceparent: str
    delivery: int = 1
    attempts: tuple[bytes, ...] = ()
    origin: Origin = NO_ORIGIN
    is_patient: bool = False
    is_late: bool = False
    complete_by_us: int | None = None
