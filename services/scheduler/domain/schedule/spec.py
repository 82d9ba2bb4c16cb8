"""A schedule as a job says it, field by field."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class SkippedTime(StrEnum):
    """What a fixed wall time that does not exist that day does."""

    SKIP = "skip"
    NEXT_VALID = "next_valid"
    BEFORE = "before"


class RepeatedTime(StrEnum):
    """What a fixed wall time that exists twice that day does."""

    FIRST = "first"
    LAST = "last"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class DstPolicy:
    """What changes of the clocks do to fixed times."""

    skipped: SkippedTime = SkippedTime.NEXT_VALID
    repeated: RepeatedTime = RepeatedTime.FIRST


class Roll(StrEnum):
    """Where a run goes whose day the calendars do not allow."""

    SKIP = "skip"
    NEXT_BUSINESS_DAY = "next_business_day"
    PREVIOUS_BUSINESS_DAY = "previous_business_day"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSpec:
    """A stretch of the day on some days, as text; see the proto's Window."""

    days: str = ""
    start: str = ""
    end: str = ""
    first_date: str = ""
    last_date: str = ""
    timezone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarSpec:
    """On which days a job may run: ids of calendars."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    roll: Roll = Roll.SKIP

    @property
    def names(self) -> tuple[str, ...]:
        """Every calendar that it speaks of."""
        return (*self.include, *self.exclude)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec:
    """Everything that decides when a job runs.

    `expression` is the schedule's text. `seed` is what `H` and jitter are worked out from: `namespace/id` of the job.
    `anchor` is where `@every`, and a rule without DTSTART, count from: the job's creation. `max_runs` counts
    occurrences after `counts_from`; 0 means no limit.
    """

    expression: str
    timezone: str = "UTC"
    dst: DstPolicy = field(default_factory=DstPolicy)
    start: datetime | None = None
    end: datetime | None = None
    max_runs: int = 0
    counts_from: datetime | None = None
    jitter: timedelta = timedelta(0)
    active_windows: tuple[WindowSpec, ...] = ()
    blackout_windows: tuple[WindowSpec, ...] = ()
    calendars: CalendarSpec = field(default_factory=CalendarSpec)
    seed: str = ""
    anchor: datetime
