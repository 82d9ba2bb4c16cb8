"""Which occurrences still run when the scheduler looks too late."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.scheduler.domain.schedule.sequence import Schedule

MOST_COUNTED = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """What is made of late occurrences: the latest runs, those before it are skipped.

    `skipped_count` stops at 100,000; `is_count_exact` tells whether it did not.
    """

    run_at: datetime
    skipped_count: int
    is_count_exact: bool


def resolve_missed(schedule: Schedule, first: datetime, *, cutoff: datetime) -> Missed:
    """Decides about the occurrences from `first`, which is one of them, up to `cutoff`, which is later."""
    run_at = _latest_before(schedule, first, cutoff)
    count, moment = 0, first
    while moment < run_at and count < MOST_COUNTED:
        count += 1
        moment = schedule.next_after(moment) or run_at
    return Missed(run_at=run_at, skipped_count=count, is_count_exact=moment >= run_at)


def _latest_before(schedule: Schedule, first: datetime, cutoff: datetime) -> datetime:
    """The last occurrence before `cutoff`, found by looking back twice as far each time."""
    span = timedelta(seconds=1)
    while cutoff - span > first:
        found = schedule.next_after(cutoff - span)
        if found is not None and found < cutoff:
            return _last_in(schedule, found, cutoff)
        span *= 2
    return _last_in(schedule, first, cutoff)


def _last_in(schedule: Schedule, start: datetime, cutoff: datetime) -> datetime:
    while (following := schedule.next_after(start)) is not None and following < cutoff:
        start = following
    return start
