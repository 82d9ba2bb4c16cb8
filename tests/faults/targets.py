"""When a job is due, told by libraries that are not Chronos's: the oracle of schedules.

`cronsim` finds the days and reads the fields; wall times become moments through `zoneinfo`. Where Debian's cron and the
default DST policy of docs/schedules.md say more than cronsim does, it is spelled out here. Imports nothing of Chronos.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from tests.faults.history import SECOND_US, JobRules

DAY_US = 86_400 * SECOND_US
MOST_REMEMBERED = 256
NEVER_S = 1 << 40
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1)  # naive: a wall time, or UTC
MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
UNIT_US = {"ms": 1_000, "s": SECOND_US, "m": 60 * SECOND_US, "h": 3_600 * SECOND_US, "d": 86_400 * SECOND_US}
TERM = re.compile(r"(\d+)(ms|s|m|h|d)")


def due_times(rules: JobRules, start_us: int, end_us: int) -> list[int]:
    """The scheduled times of a job from `start_us` on and before `end_us`, rising, also of a disabled one.

    Raises ValueError for a schedule that the oracle cannot read, and for `@every` without `created_us`.
    """
    if start_us >= end_us:
        return []
    text = rules.schedule.strip()
    word = text.split(maxsplit=1)[0] if text else "@manual"
    match word:
        case "@manual":
            return []
        case "@every":
            return _every(_duration_us(text), rules.created_us, start_us, end_us)
        case "@at":
            return [at for at in _at(text.split()[1], rules.timezone) if start_us <= at < end_us]
        case _:
            return list(_cron(MACROS.get(text, text), rules.timezone).between(start_us, end_us))


def interval_us(rules: JobRules) -> int:
    """The interval of `@every`; 0 for another schedule."""
    return _duration_us(rules.schedule) if rules.schedule.strip().startswith("@every") else 0


def _every(interval_us: int, anchor_us: int, start_us: int, end_us: int) -> list[int]:
    if anchor_us <= 0:
        raise ValueError("@every counts from the job's creation: give its rules created_us")
    steps = max(1, -((anchor_us - start_us) // interval_us))
    return list(range(anchor_us + steps * interval_us, end_us, interval_us))


def _duration_us(text: str) -> int:
    words = text.split()
    terms = TERM.findall(words[1]) if len(words) == 2 else []
    if not terms or "".join(number + unit for number, unit in terms) != words[1]:
        raise ValueError(f"the oracle cannot read {text!r}; it knows @every 90s, 5m, 1h30m, 2d")
    return sum(int(number) * UNIT_US[unit] for number, unit in terms)


def _at(text: str, zone: str) -> list[int]:
    when = datetime.fromisoformat(text)
    if when.tzinfo is not None:
        return [_micros(when.astimezone(UTC).replace(tzinfo=None))]
    day = when.replace(hour=0, minute=0, second=0, microsecond=0)
    wanted = [(when - day) // SECOND]
    return [second * SECOND_US for second in _on_odd_day(day, wanted, ZoneInfo(zone), True, 0, NEVER_S)]


class Cron:
    """A cron expression in a zone."""

    def __init__(self, expression: str, zone: str) -> None:
        fields = expression.replace("?", "*").split()
        fields = fields if len(fields) == 6 else ["0", *fields]
        try:
            read = CronSim(" ".join(fields), EPOCH)
        except CronSimError as error:
            raise ValueError(f"the oracle cannot read {expression!r}: {error}") from error
        self._day_fields = " ".join(["0", "0", *fields[3:]])
        self._known_days: dict[tuple[int, int], list[datetime]] = {}
        self._follows_elapsed_time = fields[1].startswith("*") or fields[2].startswith("*")
        self._zone = ZoneInfo(zone)
        self._seconds = [
            hour * 3_600 + minute * 60 + second
            for hour in sorted(read.hours)
            for minute in sorted(read.minutes)
            for second in sorted(read.seconds)
        ]

    def between(self, start_us: int, end_us: int) -> Iterator[int]:
        """The moments from `start_us` on and before `end_us`, rising."""
        first, last = start_us // DAY_US - 1, end_us // DAY_US + 1  # a zone is less than a day from UTC
        held: list[int] = []  # of the day before: a run that the clocks moved may come after midnight, twice
        for day in self._days_between(first, last):
            found = self._of_day(day, start_us, end_us)
            if not found:
                continue
            if held and found[0] <= held[-1]:
                held = sorted({*held, *found})
                continue
            yield from held
            held = found
        yield from held

    def _days_between(self, first: int, last: int) -> list[datetime]:
        """The days that it may run on, between two that are counted since the epoch, both included; remembered."""
        if (days := self._known_days.get((first, last))) is None:
            end = EPOCH + last * DAY
            if len(self._known_days) >= MOST_REMEMBERED:
                self._known_days.clear()
            found = CronSim(self._day_fields, EPOCH + first * DAY - SECOND)
            days = self._known_days[first, last] = list(takewhile(lambda day: day <= end, found))
        return days

    def _of_day(self, day: datetime, start_us: int, end_us: int) -> list[int]:
        """Those of one day of the wall calendar, as far as they lie in the range."""
        offset = _offset(day, self._zone)
        if offset == _offset(day - DAY, self._zone) == _offset(day + 2 * DAY, self._zone):
            zero = _micros(day) // SECOND_US - offset
            begin = bisect_left(self._seconds, -(-start_us // SECOND_US) - zero)
            end = bisect_left(self._seconds, -(-end_us // SECOND_US) - zero)
            return [(zero + second) * SECOND_US for second in self._seconds[begin:end]]
        begin_s, end_s = -(-start_us // SECOND_US), -(-end_us // SECOND_US)
        found = _on_odd_day(day, self._seconds, self._zone, not self._follows_elapsed_time, begin_s, end_s)
        return [second * SECOND_US for second in found]


_cron = lru_cache(maxsize=4_096)(Cron)


def _on_odd_day(
    day: datetime, seconds: list[int], zone: ZoneInfo, is_fixed: bool, begin_s: int, end_s: int
) -> list[int]:
    """The moments (Unix seconds) of a day's wall times, given as seconds since midnight, whatever the clocks do.

    Fixed times: what the clocks skip runs once, at the end of the gap; what comes twice runs the first time. The others
    run whenever the clocks show them.
    """
    zero = _micros(day) // SECOND_US
    found: set[int] = set()
    reached = -NEVER_S
    for number, (from_s, until_s, offset) in enumerate(_stretches(day, zone)):
        low, high = from_s + offset - zero, until_s + offset - zero
        if is_fixed:
            is_gap = number > 0 and bisect_left(seconds, low) > bisect_left(seconds, reached)
            if is_gap and begin_s <= from_s < end_s:
                found.add(from_s)
            low = max(low, reached)
        low, high, reached = max(low, begin_s + offset - zero), min(high, end_s + offset - zero), max(reached, high)
        found.update(
            zero - offset + second for second in seconds[bisect_left(seconds, low) : bisect_left(seconds, high)]
        )
    return sorted(found)


@lru_cache(maxsize=4_096)
def _stretches(day: datetime, zone: ZoneInfo) -> list[tuple[int, int, int]]:
    """The times of one offset around a day: first Unix second, the one after the last, seconds east of UTC."""
    first, last = (_micros(day + days * DAY) // SECOND_US for days in (-2, 3))
    stretches: list[tuple[int, int, int]] = []
    begin, offset = first, _offset_at(first, zone)
    for hour in range(first, last, 3_600):
        if (following := _offset_at(hour + 3_600, zone)) != offset:
            change = bisect_left(range(hour, hour + 3_600), True, key=lambda at: _offset_at(at, zone) != offset) + hour
            stretches.append((begin, change, offset))
            begin, offset = change, following
    return [*stretches, (begin, last, offset)]


@lru_cache(maxsize=65_536)
def _offset(wall: datetime, zone: ZoneInfo) -> int:
    """Seconds east of UTC at a wall time; the first time that the clocks show it."""
    offset = wall.replace(tzinfo=zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def _offset_at(moment_s: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(moment_s, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def _micros(naive: datetime) -> int:
    return (naive - EPOCH) // timedelta(microseconds=1)
