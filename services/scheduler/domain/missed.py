"""Which occurrences still run when the scheduler looks too late."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.scheduler.domain.occurrence import MissedPolicy, MissedRules
from services.scheduler.domain.schedule.sequence import Schedule, last_before, last_of

MOST_COUNTED = 1_000
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Consecutive occurrences. `count` stops at 1,000; `is_count_exact` tells whether it did not."""

    first: datetime
    last: datetime
    count: int
    is_count_exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """What is made of late occurrences: those of `skipped` do not run; `run_at` is the first one that does.

    With `run_at` None none of them runs. `skipped` None means that all of them do.
    """

    skipped: Stretch | None
    run_at: datetime | None


def resolve_missed(
    schedule: Schedule, first: datetime, *, cutoff: datetime, now: datetime, rules: MissedRules
) -> Missed:
    """Decides about the occurrences from `first`, which is one of them, up to `cutoff`, which is later."""
    if rules.policy is MissedPolicy.IGNORE:
        return Missed(skipped=_stretch(schedule, first, cutoff), run_at=None)
    oldest = now - rules.window
    keep = 1 if rules.policy is MissedPolicy.EXECUTE_ONE else rules.max_runs
    run_at = _first_kept(schedule, max(first, oldest), cutoff, keep)
    if run_at is None:
        return Missed(skipped=_stretch(schedule, first, cutoff), run_at=None)
    skipped = None if run_at <= first else _stretch(schedule, first, run_at)
    return Missed(skipped=skipped, run_at=run_at)


def stretch_between(schedule: Schedule, after: datetime, before: datetime) -> Stretch | None:
    """The occurrences after one moment and before another; None when there are none."""
    first = schedule.next_after(after)
    return None if first is None or first >= before else _stretch(schedule, first, before)


def _first_kept(schedule: Schedule, start: datetime, cutoff: datetime, keep: int) -> datetime | None:
    """The first of the last `keep` occurrences from `start` on and before `cutoff`."""
    floor = start - MICROSECOND
    if keep == 1:
        return last_before(schedule, cutoff, floor=floor)
    kept = last_of(schedule, cutoff, floor=floor, most=keep)
    return kept[0] if kept else None


def _stretch(schedule: Schedule, first: datetime, before: datetime) -> Stretch:
    """The occurrences from `first` on, before a moment that is later."""
    last = last_before(schedule, before, floor=first - MICROSECOND) or first
    count, moment = 1, first
    while moment < last and count < MOST_COUNTED:
        count += 1
        moment = schedule.next_after(moment) or last
    return Stretch(first=first, last=last, count=count, is_count_exact=moment >= last)
