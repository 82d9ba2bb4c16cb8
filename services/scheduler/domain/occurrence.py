"""What fires: jobs as the firing path sees them, and the runs that come of them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.scheduler.domain.schedule.sequence import Schedule


class Cause(StrEnum):
    """What made a job run."""

    SCHEDULE = "schedule"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringJob:
    """One version of a job: when it fires, and what is handed on.

    `definition` is the job as the dispatcher wants it, a serialized message that nothing here looks into.
    Occurrences count only after `effective_at`.
    """

    namespace: str
    id: str
    uid: str
    name: str
    version: int
    is_enabled: bool
    schedule: Schedule
    effective_at: datetime
    definition: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution to be delivered. `scheduled_us` is Unix time in microseconds.

    `delivery` counts how often it was handed out; `attempts` are those of earlier deliveries, serialized.
    """

    execution_id: str
    job: FiringJob
    shard: int
    epoch: int
    scheduled_us: int
    cause: Cause
    traceparent: str
    delivery: int = 1
    attempts: tuple[bytes, ...] = ()
