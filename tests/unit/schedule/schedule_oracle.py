"""What a job's rules mean, taken literally: every occurrence of months enumerated, every rule applied to each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule.calendar import DaySet
from services.scheduler.domain.schedule.jitter import delay
from services.scheduler.domain.schedule.sequence import Schedule
from services.scheduler.domain.schedule.spec import Roll, ScheduleSpec, WindowSpec

NAMES = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
HOUR, DAY, QUARTER = timedelta(hours=1), timedelta(days=1), timedelta(minutes=15)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Expected:
    """Runs by time, and (time, cause) of what does not run."""

    fires: list[datetime] = field(default_factory=list)
    removed: list[tuple[datetime, str]] = field(default_factory=list)


def expect(spec: ScheduleSpec, own: Schedule, calendars: dict[str, DaySet], begin: datetime, end: datetime) -> Expected:
    """All of [begin, end). `own` is the schedule without any rule."""
    zone = ZoneInfo(spec.timezone)
    found = Expected()
    kept: set[datetime] = set()
    moment = begin - 40 * DAY
    while (occurrence := own.next_after(moment)) is not None and (moment := occurrence) < end + 40 * DAY:
        if (spec.start and occurrence < spec.start) or (spec.end and occurrence >= spec.end):
            continue
        day = occurrence.astimezone(zone).date()
        if allowed(spec, calendars, day):
            kept.add(occurrence)
            continue
        moved = rolled(spec, calendars, occurrence, zone)
        if moved is None or (spec.start and moved < spec.start) or (spec.end and moved >= spec.end):
            found.removed.append((occurrence, "calendar"))
        else:
            kept.add(moved)
    open_ones: list[datetime] = []
    for occurrence in sorted(kept):
        cause = blocked(spec, occurrence)
        if cause:
            found.removed.append((occurrence, cause))
        else:
            open_ones.append(occurrence)
    found.fires = [late(spec, calendars, zone, open_ones, index) for index in range(len(open_ones))]
    if spec.max_runs:
        counts_from = spec.counts_from or spec.anchor
        counted = [fires for fires in found.fires if fires > counts_from][: spec.max_runs]
        last = counted[-1] if len(counted) == spec.max_runs else end + 100 * DAY
        found.fires = [fires for fires in found.fires if fires <= last]
        found.removed = [(at, cause) for at, cause in found.removed if at < last]
    found.fires = [fires for fires in found.fires if begin <= fires < end]
    found.removed = sorted((at, cause) for at, cause in found.removed if begin <= at < end)
    return found


def allowed(spec: ScheduleSpec, calendars: dict[str, DaySet], day: date) -> bool:
    rule = spec.calendars
    if any(day in calendars[name] for name in rule.exclude):
        return False
    return not rule.include or any(day in calendars[name] for name in rule.include)


def rolled(spec: ScheduleSpec, calendars: dict[str, DaySet], occurrence: datetime, zone: ZoneInfo) -> datetime | None:
    if spec.calendars.roll is Roll.SKIP:
        return None
    sign = 1 if spec.calendars.roll is Roll.NEXT_BUSINESS_DAY else -1
    local = occurrence.astimezone(zone)
    for count in range(1, 32):
        day = local.date() + sign * count * DAY
        if allowed(spec, calendars, day):
            return shown(day, local.time(), zone)
    return None


def shown(day: date, wall: time, zone: ZoneInfo) -> datetime:
    """The first instant at which the clock shows this wall time or a later one of the same day; found by looking."""
    wanted = datetime.combine(day, wall.replace(fold=0))
    for fold in (0, 1):
        instant = wanted.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None, fold=0) == wanted:
            return instant
    instant = wanted.replace(tzinfo=UTC) - 26 * HOUR
    step = timedelta(minutes=15)  # every zone of the tests jumps at such a minute
    instant = instant.replace(minute=0, second=0, microsecond=0)
    while instant.astimezone(zone).replace(tzinfo=None, fold=0) < wanted:
        instant += step
    return instant


def blocked(spec: ScheduleSpec, instant: datetime) -> str:
    for number, window in enumerate(spec.blackout_windows):
        if inside(window, spec.timezone, instant):
            return f"inside blackout window {number} "
    if spec.active_windows and not any(inside(window, spec.timezone, instant) for window in spec.active_windows):
        return "outside"
    return ""


def inside(window: WindowSpec, timezone: str, instant: datetime) -> bool:
    zone = ZoneInfo(window.timezone or timezone)
    today = instant.astimezone(zone).date()
    for day in (today - 2 * DAY, today - DAY, today):
        first, last = opening(window, zone, day)
        if first <= instant < last:
            return True
    return False


@lru_cache(maxsize=100_000)
def opening(window: WindowSpec, zone: ZoneInfo, day: date) -> tuple[datetime, datetime]:
    start = time.fromisoformat(window.start or "00:00")
    if (
        (window.days and NAMES[day.weekday()] not in window.days.split(","))
        or (window.first_date and day.isoformat() < window.first_date)
        or (window.last_date and day.isoformat() > window.last_date)
    ):
        return NEVER, NEVER
    end = time() if window.end in ("", "24:00") else time.fromisoformat(window.end)
    last_day = day + DAY if window.end in ("", "24:00") or end <= start else day
    return shown(day, start, zone), shown_last(last_day, end, zone)


def shown_last(day: date, wall: time, zone: ZoneInfo) -> datetime:
    first = shown(day, wall, zone)
    for minutes in range(150, 0, -15):
        later = first + timedelta(minutes=minutes)
        if later.astimezone(zone).replace(tzinfo=None, fold=0) == datetime.combine(day, wall):
            return later
    return first


def late(
    spec: ScheduleSpec, calendars: dict[str, DaySet], zone: ZoneInfo, occurrences: list[datetime], index: int
) -> datetime:
    occurrence = occurrences[index]
    latest = occurrence + spec.jitter
    if index + 1 < len(occurrences):
        latest = min(latest, occurrences[index + 1])
    if spec.end:
        latest = min(latest, max(spec.end, occurrence))
    is_free: Callable[[datetime], bool] = lambda at: (  # noqa: E731
        allowed(spec, calendars, at.astimezone(zone).date()) and not blocked(spec, at)
    )
    at = occurrence
    while at < latest and is_free(at):  # whatever bounds a delay lies on a quarter of an hour
        at += QUARTER - (at - datetime(2020, 1, 1, tzinfo=UTC)) % QUARTER
    latest = min(latest, at)
    return occurrence + delay(spec.seed, occurrence, latest - occurrence)
