"""The next runs of a schedule, with what moved or removed some on the way."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from services.scheduler.domain.schedule.job_schedule import JobSchedule
from services.scheduler.domain.schedule.removed import Removed

MOST_REMOVED = 1000
MOST_REMOVED_AT_THE_END = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A run, or consecutive ones that will not be: then `time` is None, and `count` stops at 1,000."""

    time: datetime | None
    nominal: datetime
    notes: tuple[str, ...] = ()
    is_removed: bool = False
    count: int = 1


def preview(schedule: JobSchedule, after: datetime, count: int) -> list[Preview]:
    """The first `count` runs after a moment and what is removed between them, in order of time.

    At most 1,000 removed entries; of those after the last run of all, the first ten.
    """
    return list(entries(schedule, after, count))


def entries(schedule: JobSchedule, after: datetime, count: int) -> Iterator[Preview]:
    """The same, one by one."""
    removals = 0
    cursor = looked = after
    for _ in range(count):
        fires = schedule.next_after(cursor)
        most = MOST_REMOVED if fires is not None else min(MOST_REMOVED, removals + MOST_REMOVED_AT_THE_END)
        while removals < most and (removed := schedule.removed_after(looked, before=fires)) is not None:
            yield _removed(removed)
            looked = removed.first
            removals += 1
        if fires is None:
            return
        yield _run(schedule, fires)
        cursor = looked = fires


def _run(schedule: JobSchedule, fires: datetime) -> Preview:
    origin = schedule.origin(fires)
    return Preview(time=fires, nominal=origin.nominal, notes=origin.notes)


def _removed(removed: Removed) -> Preview:
    notes = [removed.reason]
    if removed.count > 1:
        more = "" if removed.is_count_exact else "more than "
        notes.append(f"{more}{removed.count} runs up to {removed.last.isoformat()}")
    return Preview(time=None, nominal=removed.first, notes=tuple(notes), is_removed=True, count=removed.count)
