"""Instants and wall times of a zone: where the clocks change, and what a wall time means there.

Everything inside is naive: an instant is UTC without a zone, a wall time is what a clock on the wall shows. Years 2 to
9998 only, so that no sum leaves what datetime can hold.
"""

import difflib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.spec import DstPolicy, RepeatedTime, SkippedTime

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
FIRST_YEAR = 2
LAST_YEAR = 9998
NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Instants of a zone from `start` up to `end` that share one offset from UTC.

    It ends where the clocks change, or with the UTC year; then `offset_before` or `offset_after`, the offsets on its
    other sides, equal its own.
    """

    start: datetime
    end: datetime
    offset: timedelta
    offset_before: timedelta
    offset_after: timedelta

    @property
    def skips_before(self) -> bool:
        """Whether wall times right before it do not exist."""
        return self.offset > self.offset_before

    @property
    def skips_after(self) -> bool:
        """Whether wall times right after it do not exist."""
        return self.offset_after > self.offset


@lru_cache(maxsize=1024)
def parse_timezone(name: str) -> ZoneInfo:
    """The zone of an IANA name; UTC for the empty name. Raises ScheduleError of the field `timezone`."""
    if name and name not in _names():
        close = _close_name(name)
        hint = f'did you mean "{close}"?' if close else "use a name such as Europe/Berlin or UTC"
        raise ScheduleError(
            f'"{name}" is no IANA time zone; {hint}',
            field="timezone",
            part=name,
            position=0,
            example=close or "Europe/Berlin",
        )
    return ZoneInfo(name or "UTC")


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(available_timezones())


def _close_name(name: str) -> str:
    folded = {known.lower(): known for known in sorted(_names())}
    wanted = name.strip().lower().replace(" ", "_")[:64]
    close = difflib.get_close_matches(wanted, folded, n=1, cutoff=0.8)
    return folded[close[0]] if close else ""


def year_start(year: int) -> datetime:
    """The first instant, or wall time, of a year."""
    return datetime(year, 1, 1)  # noqa: DTZ001 - naive on purpose


def naive(moment: datetime, *, to_second: bool = False) -> datetime:
    """The instant of an aware moment, as naive UTC; cut to its whole second on demand."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.replace(tzinfo=None, microsecond=0) if to_second else moment.replace(tzinfo=None)


def offset_at(zone: ZoneInfo, instant: datetime) -> timedelta:
    """The offset from UTC at an instant."""
    return instant.replace(tzinfo=UTC).astimezone(zone).utcoffset() or NOTHING


def stretch_at(zone: ZoneInfo, instant: datetime) -> Stretch:
    """The stretch that an instant lies in. The instant is naive UTC of a year that this module knows."""
    fixed = zone.utcoffset(None)
    if fixed is not None:
        return _endless(fixed)
    stretches = _year(zone, instant.year)
    for stretch in stretches:
        if instant < stretch.end:
            return stretch
    return stretches[-1]


def next_transition(zone: ZoneInfo, instant: datetime, *, years: int = 2) -> Stretch | None:
    """The first stretch that begins with a change of the clocks after `instant`; None within so many years."""
    limit = min(instant.year + years, LAST_YEAR)
    stretch = stretch_at(zone, instant)
    while stretch.end.year <= limit:
        stretch = stretch_at(zone, stretch.end)
        if stretch.offset != stretch.offset_before:
            return stretch
    return None


def resolve(zone: ZoneInfo, wall: datetime, dst: DstPolicy) -> tuple[datetime, ...]:
    """The instants (naive UTC, rising) at which something fixed at a wall time runs: none, one or two."""
    early, late = _offsets(zone, wall)
    if early == late:
        return (wall - early,)
    if early > late:
        both = (wall - early, wall - late)
        return {RepeatedTime.FIRST: both[:1], RepeatedTime.LAST: both[1:], RepeatedTime.BOTH: both}[dst.repeated]
    gap = gap_at(zone, wall)
    if gap is None or dst.skipped is SkippedTime.SKIP:
        return ()
    return (gap.start - SECOND,) if dst.skipped is SkippedTime.BEFORE else (gap.start,)


def gap_at(zone: ZoneInfo, wall: datetime) -> Stretch | None:
    """The stretch after the gap that a wall time falls into; None when the wall time exists."""
    early, late = _offsets(zone, wall)
    if early >= late:
        return None
    return next_transition(zone, wall - late - SECOND)


def gap_note(zone: ZoneInfo, wall: datetime, after: Stretch) -> str:
    """A sentence that says why a wall time does not exist; `after` is the stretch that the clocks jump to."""
    left, right = after.start + after.offset_before, after.start + after.offset
    return f"{wall} does not exist in {zone.key}: the clocks go from {left} to {right}"


def _offsets(zone: ZoneInfo, wall: datetime) -> tuple[timedelta, timedelta]:
    first, second = (zone.utcoffset(wall.replace(fold=fold)) or NOTHING for fold in (0, 1))
    return first, second


@lru_cache(maxsize=64)
def _endless(offset: timedelta) -> Stretch:
    return Stretch(year_start(FIRST_YEAR), year_start(LAST_YEAR + 1), offset, offset, offset)


@lru_cache(maxsize=8192)
def _year(zone: ZoneInfo, year: int) -> tuple[Stretch, ...]:
    """The stretches of a UTC year. Looks at every day: no zone has ever changed its clocks and back within one."""
    begin, limit = year_start(year), year_start(year + 1)
    offset_before = offset_at(zone, begin - SECOND)
    offset = offset_at(zone, begin)
    found, at = [], begin
    while at < limit:
        ahead = min(at + DAY, limit)
        offset_after = offset_at(zone, ahead)
        if offset_after != offset:
            ahead = _change(zone, at, ahead, offset)
            offset_after = offset_at(zone, ahead)
        if offset_after != offset or ahead == limit:
            found.append(Stretch(begin, ahead, offset, offset_before, offset_after))
            begin, offset_before, offset = ahead, offset, offset_after
        at = ahead
    return tuple(found)


def _change(zone: ZoneInfo, low: datetime, high: datetime, offset: timedelta) -> datetime:
    """The first second in (low, high] whose offset is not `offset`, which holds at `low` and not at `high`."""
    while high - low > SECOND:
        middle = low + (high - low) // SECOND // 2 * SECOND
        if offset_at(zone, middle) == offset:
            low = middle
        else:
            high = middle
    return high
