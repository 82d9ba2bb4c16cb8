"""Occurrences that a rule takes away."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.scheduler.domain.schedule.sequence import Schedule, last_before

MOST_COUNTED = 1000


class RemovalCode(StrEnum):
    """What took an occurrence away."""

    CALENDAR = "calendar"
    WINDOW = "window"
    DST = "dst"


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """Consecutive occurrences that one cause removes, all on one local day.

    `count` stops at 1,000; `is_count_exact` tells whether it did not. `reason` is a sentence without a full stop that
    names the calendar, the window or the change of the clocks.
    """

    first: datetime
    last: datetime
    count: int
    is_count_exact: bool
    code: RemovalCode
    reason: str


def stretch(schedule: Schedule, first: datetime, before: datetime, code: RemovalCode, reason: str) -> Removed:
    """All occurrences of `schedule` from `first`, which is one, up to a later moment."""
    removed = Removed(first=first, last=first, count=1, is_count_exact=True, code=code, reason=reason)
    count, moment = 1, first
    while (following := schedule.next_after(moment)) is not None and following < before:
        if count == MOST_COUNTED:
            last = last_before(schedule, before, floor=moment) or moment
            return replace(removed, last=last, count=count, is_count_exact=False)
        count, moment = count + 1, following
    return replace(removed, last=moment, count=count)
