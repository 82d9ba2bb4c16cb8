"""A second, slow and simple reading of cron: it looks at every minute, and shares no code with the product.

Only for zones and years whose clocks change on whole minutes (from 1975 on).
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
NAMES = {
    name: str(number)
    for names, first in (
        ("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", 1),
        ("SUN MON TUE WED THU FRI SAT", 0),
    )
    for number, name in enumerate(names.split(), first)
}


class Scanner:
    """What five or six fields mean, asked one wall time at a time."""

    def __init__(self, expression: str) -> None:
        fields = expression.upper().split()
        for name, number in NAMES.items():
            fields[-2:] = [field.replace(name, number) for field in fields[-2:]]
        self.fields = fields if len(fields) == 6 else ["0", *fields]
        self.is_elapsed = self.fields[1].startswith("*") or self.fields[2].startswith("*")
        second, minute, hour, _, month, _ = self.fields
        self.seconds = {n for n in range(60) if _listed(second, n, 0, 59)}
        self.minutes = {n for n in range(60) if _listed(minute, n, 0, 59)}
        self.hours = {n for n in range(24) if _listed(hour, n, 0, 23)}
        self.months = {n for n in range(1, 13) if _listed(month, n, 1, 12)}
        self.has_day = lru_cache(maxsize=None)(self._has_day)

    def has(self, wall: datetime) -> bool:
        if wall.minute not in self.minutes or wall.hour not in self.hours or wall.second not in self.seconds:
            return False
        return self.has_day(wall.date())

    def covers_a_day_field(self) -> bool:
        """Whether one of the day fields, without L, W or #, lists every number that there is."""
        days, weekdays = self.fields[3], self.fields[5]
        every_day = all(_listed(days, n, 1, 31) for n in range(1, 32))
        return every_day or all(_listed(weekdays, n, 0, 7) or (n == 0 and _listed(weekdays, 7, 0, 7)) for n in range(7))

    def _has_day(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_number = any(_month_part(part, day) for part in self.fields[3].split(","))
        by_weekday = any(_week_part(part, day) for part in self.fields[5].split(","))
        if self.fields[3][0] in "*?" or self.fields[5][0] in "*?":
            return by_number and by_weekday
        return by_number or by_weekday


def scan(
    expression: str, zone: ZoneInfo, start: datetime, end: datetime, *, skipped: str, repeated: str
) -> list[datetime]:
    """Every occurrence after `start` and not after `end` (UTC), for an expression whose second is 0."""
    scanner = Scanner(expression)
    if scanner.is_elapsed:
        first = start.replace(second=0, microsecond=0) + MINUTE
        return [at for at in _minutes(first, end) if scanner.has(at.astimezone(zone).replace(tzinfo=None))]
    found = set()
    for day in _days((start - 2 * DAY).date(), (end + 2 * DAY).date()):
        if not scanner.has_day(day):
            continue
        for hour in scanner.hours:
            for minute in scanner.minutes:
                found |= _instants(datetime(day.year, day.month, day.day, hour, minute), zone, skipped, repeated)
    return sorted(at for at in found if start < at <= end)


def _instants(wall: datetime, zone: ZoneInfo, skipped: str, repeated: str) -> set[datetime]:
    pair = [wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    real = [at for at in pair if at.astimezone(zone).replace(tzinfo=None, fold=0) == wall]
    if real:
        return {"first": {min(real)}, "last": {max(real)}, "both": set(real)}[repeated]
    after = min(pair)
    before = after.astimezone(zone).utcoffset()
    while after.astimezone(zone).utcoffset() == before:
        after += MINUTE
    return {"skip": set(), "next_valid": {after}, "before": {after - timedelta(seconds=1)}}[skipped]


def _minutes(start: datetime, end: datetime) -> Iterator[datetime]:
    while start <= end:
        yield start
        start += MINUTE


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += DAY


def _listed(field: str, number: int, low: int, high: int) -> bool:
    return any(_part(part, number, low, high) for part in field.split(","))


def _part(part: str, number: int, low: int, high: int) -> bool:
    span, _, step = part.partition("/")
    if span == "*":
        first, last = low, high
    elif "-" in span:
        first, last = (int(end) for end in span.split("-"))
    else:
        first, last = int(span), high if step else int(span)
    return first <= number <= last and (number - first) % int(step or 1) == 0


def _month_part(part: str, day: date) -> bool:
    if part == "?":
        return True
    if part == "LW":
        return day == _nearest_weekday((day.replace(day=28) + 4 * DAY).replace(day=1) - DAY)
    if part.startswith("L"):
        last = day + int(part[2:] or 0) * DAY
        return last.month == day.month and (last + DAY).month != day.month
    if part.endswith("W"):
        try:
            return day == _nearest_weekday(day.replace(day=int(part[:-1])))
        except ValueError:
            return False
    return _part(part, day.day, 1, 31)


def _nearest_weekday(day: date) -> date:
    month = [day + n * DAY for n in range(-31, 32) if (day + n * DAY).month == day.month]
    return min((each for each in month if each.weekday() < 5), key=lambda each: abs(each - day))


def _week_part(part: str, day: date) -> bool:
    weekday = day.isoweekday() % 7
    if part == "?":
        return True
    if part.endswith("L"):
        return int(part[:-1]) % 7 == weekday and (day + 7 * DAY).month != day.month
    if "#" in part:
        wanted, nth = part.split("#")
        return int(wanted) % 7 == weekday and (day.day - 1) // 7 + 1 == int(nth)
    return _part(part, weekday, 0, 7) or (weekday == 0 and _part(part, 7, 0, 7))
