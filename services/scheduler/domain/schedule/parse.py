"""When a job runs: a pure function from a moment to the next one.

Cron follows Debian's cron (5 fields, or 6 with seconds first) through the cronsim library: day-of-month and
day-of-week combine with OR when both are restricted; a fixed time that daylight saving skips runs right after the
gap, one that it repeats runs once.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from libs.durations import parse_duration
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.sequence import Schedule

SHORTEST_INTERVAL = timedelta(seconds=1)
LONGEST_INTERVAL = timedelta(days=366)
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FIELDS = ["second", "minute", "hour", "day-of-month", "month", "day-of-week"]
ALLOWED = {
    "second": "0-59",
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L (last day) or LW (last weekday)",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT, 5L (last Friday), MON#1 (first Monday)",
}


class CronSchedule(Schedule):
    """Cron in a zone. Remembers the last answer, which jobs with the same schedule share."""

    def __init__(self, expression: str, zone: ZoneInfo) -> None:
        self._expression = expression
        self._zone = zone
        self._iterator: CronSim | None = None
        self._asked: datetime | None = None
        self._answer: datetime | None = None

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule. Searches at most 50 years."""
        if moment == self._asked:
            return self._answer
        if self._iterator is None or moment != self._answer:
            self._iterator = CronSim(self._expression, moment.astimezone(self._zone))
        found = next(self._iterator, None)
        self._asked = moment
        self._answer = None if found is None else found.astimezone(UTC)
        return self._answer


class IntervalSchedule(Schedule):
    """Every so often, counted from an anchor, so that restarts and failovers do not move it."""

    def __init__(self, interval: timedelta, anchor: datetime) -> None:
        self._interval = interval
        self._anchor = anchor

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule. The first occurrence is one interval after the anchor."""
        steps = max(0, (moment - self._anchor) // self._interval) + 1
        return self._anchor + steps * self._interval


def parse_schedule(expression: str, timezone: str, *, anchor: datetime) -> Schedule:
    """The schedule that an expression means.

    Raises ScheduleError, naming the part that is wrong. `anchor` is where `@every` counts from. Equal cron
    expressions of a zone give one shared object.
    """
    text = " ".join(expression.split())
    zone = parse_timezone(timezone)
    if text.lower().startswith("@every"):
        return IntervalSchedule(_parse_interval(text), anchor)
    if text.startswith("@"):
        macro = MACROS.get(text.lower())
        if macro is None:
            raise ScheduleError(f'"{text}" is no known macro; use {", ".join(sorted(MACROS))} or @every 90s')
        text = macro
    return _cron(text.upper(), zone)


@lru_cache(maxsize=1024)
def parse_timezone(name: str) -> ZoneInfo:
    """The zone of an IANA name; UTC for the empty name. Raises ScheduleError."""
    if name and name not in _zones():
        raise ScheduleError(f'"{name}" is no IANA time zone; use a name such as Europe/Berlin or UTC')
    return ZoneInfo(name or "UTC")


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(maxsize=65536)
def _cron(expression: str, zone: ZoneInfo) -> CronSchedule:
    fields = expression.split(" ")
    if len(fields) not in (5, 6):
        raise ScheduleError(
            f"has {len(fields)} fields; cron has 5 (minute hour day-of-month month day-of-week) or 6 (seconds first), "
            'for example "30 9 * * MON-FRI"'
        )
    try:
        first = next(CronSim(expression, datetime(2024, 1, 1, tzinfo=zone)), None)
    except CronSimError as error:
        raise ScheduleError(_explain(str(error), fields)) from error
    if first is None:
        raise ScheduleError(f'"{expression}" never happens: no such date exists within 50 years')
    return CronSchedule(expression, zone)


def _explain(error: str, fields: list[str]) -> str:
    named = [field for field in FIELDS if error.endswith(field)]
    if not named:
        return f'"{" ".join(fields)}" is not a cron expression, for example "30 9 * * MON-FRI"'
    name = max(named, key=len)
    text = (["0", *fields] if len(fields) == 5 else fields)[FIELDS.index(name)]
    if (
        name == "day-of-month"
        and text.replace(",", "").isdigit()
        and all(1 <= int(day) <= 31 for day in text.split(","))
    ):
        return f'"{" ".join(fields)}" never happens: no such month has a day {text}'
    return f'{name} "{text}" is not valid; use {ALLOWED[name]}, lists (1,2), ascending ranges (1-5) and steps (*/5)'


def _parse_interval(text: str) -> timedelta:
    words = text.split(" ")
    if len(words) != 2:
        raise ScheduleError(f'"{text}" is not complete; write for example @every 90s')
    try:
        interval = parse_duration(words[1])
    except ValueError as error:
        raise ScheduleError(f"@every: {error}") from error
    if not SHORTEST_INTERVAL <= interval <= LONGEST_INTERVAL:
        raise ScheduleError(f'"{text}" is out of range; an interval is 1s to 366 days')
    return interval
