"""Days and wall times of a zone as instants (aware, in UTC)."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule import zones
from services.scheduler.domain.schedule.spec import DstPolicy, RepeatedTime, SkippedTime

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
FIRST = DstPolicy(skipped=SkippedTime.NEXT_VALID, repeated=RepeatedTime.FIRST)
LAST = DstPolicy(skipped=SkippedTime.NEXT_VALID, repeated=RepeatedTime.LAST)


def day_of(instant: datetime, zone: ZoneInfo) -> date:
    """The date that a calendar on the wall shows."""
    return instant.astimezone(zone).date()


@lru_cache(maxsize=8192)
def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a day; that of the next one when the zone has no such day."""
    return instant_of(day, time(), zone)


@lru_cache(maxsize=32768)
def instant_of(day: date, wall: time, zone: ZoneInfo, *, is_last: bool = False) -> datetime:
    """When the clock shows a wall time.

    A time that the clock skips means the instant at which it jumps; of one that it shows twice, the first one, or the
    last one with `is_last`.
    """
    found = zones.resolve(zone, datetime.combine(day, wall.replace(fold=0)), LAST if is_last else FIRST)
    return found[0].replace(tzinfo=UTC)


@lru_cache(maxsize=1024)
def pieces(day: date, zone: ZoneInfo) -> tuple[tuple[datetime, datetime], ...]:
    """The stretches of a day, as [begin, end), in each of which the clock runs without a jump."""
    begin, end = day_start(day, zone), day_start(day + DAY, zone)
    found: list[tuple[datetime, datetime]] = []
    while begin < end:
        cut = min(zones.stretch_at(zone, zones.naive(begin)).end.replace(tzinfo=UTC), end)
        found.append((begin, cut))
        begin = cut
    return tuple(found)
