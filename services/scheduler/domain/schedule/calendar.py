"""Sets of days: the calendars that jobs include or exclude."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.rrule import parse_rrule
from services.scheduler.domain.schedule.sequence import Schedule
from services.scheduler.domain.schedule.spec import DstPolicy
from services.scheduler.domain.schedule.weekdays import parse_weekdays

RULES_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LAST_YEAR = date.max.year
YEARLY = re.compile(r"\d\d-\d\d")
SINGLE = re.compile(r"\d{4}-\d\d-\d\d")
DATE_EXAMPLE = "2026-12-25, 12-25 for every year, or 2026-12-24/2027-01-01 for a period"
RULE_EXAMPLE = "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH"
WEEKENDS_ID = "weekends"


class DaySet:
    """Days, each of which is in or not. Immutable in what it answers; works out the days of rules year by year."""

    __slots__ = ("_begins", "_days", "_ends", "_rules", "_weekdays", "_yearly", "_years")

    def __init__(
        self,
        *,
        days: Iterable[date] = (),
        yearly: Iterable[tuple[int, int]] = (),
        periods: Iterable[tuple[date, date]] = (),
        weekdays: Iterable[int] = (),
        rules: Sequence[Schedule] = (),
    ) -> None:
        """`yearly` are (month, day); of `periods` both ends count; Monday is 0; rules give midnights in UTC."""
        self._days = frozenset(days)
        self._yearly = frozenset(yearly)
        self._weekdays = frozenset(weekdays)
        merged = _merged(periods)
        self._begins = [first for first, _ in merged]
        self._ends = [last for _, last in merged]
        self._rules = tuple(rules)
        self._years: dict[int, frozenset[date]] = {}

    def __contains__(self, day: date) -> bool:
        return (
            day in self._days
            or day.weekday() in self._weekdays
            or (day.month, day.day) in self._yearly
            or self._is_in_period(day)
            or (bool(self._rules) and day in self._by_rules(day.year))
        )

    def _is_in_period(self, day: date) -> bool:
        place = bisect_right(self._begins, day)
        return place > 0 and day <= self._ends[place - 1]

    def _by_rules(self, year: int) -> frozenset[date]:
        found = self._years.get(year)
        if found is None:
            found = self._years[year] = frozenset(day for rule in self._rules for day in _days_in(rule, year))
        return found


def day_set(dates: Sequence[str], weekdays: str, rules: Sequence[str]) -> DaySet:
    """The days that a calendar holds. Raises ScheduleError whose field is `dates[3]`, `weekdays` or `rules[0]`."""
    problems = problems_of(dates, weekdays, rules)
    if problems:
        raise problems[0]
    return _build(dates, weekdays, rules)


def problems_of(dates: Sequence[str], weekdays: str, rules: Sequence[str]) -> list[ScheduleError]:
    """Everything that is wrong with what a calendar says."""
    found: list[ScheduleError] = []

    def attempt(field: str, parse: Callable[[str], object], text: str) -> None:
        try:
            parse(text)
        except ScheduleError as error:
            found.append(error.within(field))

    for index, text in enumerate(dates):
        attempt(f"dates[{index}]", _parse_date_text, text)
    if weekdays.strip():
        attempt("weekdays", parse_weekdays, weekdays)
    for index, text in enumerate(rules):
        attempt(f"rules[{index}]", _parse_rule, text)
    return found


def _build(dates: Sequence[str], weekdays: str, rules: Sequence[str]) -> DaySet:
    days: list[date] = []
    yearly: list[tuple[int, int]] = []
    periods: list[tuple[date, date]] = []
    for text in dates:
        match _parse_date_text(text):
            case date() as day:
                days.append(day)
            case (int() as month, int() as number):
                yearly.append((month, number))
            case (date() as first, date() as last):
                periods.append((first, last))
    chosen = parse_weekdays(weekdays) if weekdays.strip() else frozenset()
    return DaySet(
        days=days, yearly=yearly, periods=periods, weekdays=chosen, rules=[_parse_rule(rule) for rule in rules]
    )


def _parse_date_text(text: str) -> date | tuple[int, int] | tuple[date, date]:
    if "/" in text:
        begin, _, end = text.partition("/")
        first, last = _parse_date(begin, 0), _parse_date(end, len(begin) + 1)
        if last < first:
            raise ScheduleError(
                f'"{text}" ends before it begins',
                part=end,
                position=len(begin) + 1,
                example=f"{last.isoformat()}/{first.isoformat()}",
            )
        return first, last
    if YEARLY.fullmatch(text):
        return _parse_yearly(text)
    return _parse_date(text, 0)


def _parse_yearly(text: str) -> tuple[int, int]:
    try:
        day = date.fromisoformat(f"2024-{text}")  # a leap year
    except ValueError as error:
        raise ScheduleError(
            f'"{text}" is a day of no year; write MM-DD', part=text, position=0, example=DATE_EXAMPLE
        ) from error
    return day.month, day.day


def _parse_date(text: str, position: int) -> date:
    try:
        if SINGLE.fullmatch(text) is None:
            raise ValueError("not YYYY-MM-DD")
        return date.fromisoformat(text)
    except ValueError as error:
        raise ScheduleError(
            f'"{text}" is no date; write YYYY-MM-DD', part=text, position=position, example=DATE_EXAMPLE
        ) from error


def _parse_rule(text: str) -> Schedule:
    try:
        return parse_rrule(text, ZoneInfo("UTC"), dst=DstPolicy(), anchor=RULES_BEGIN)
    except ScheduleError as error:
        if error.example:
            raise
        raise ScheduleError(
            error.problem, field=error.field, part=error.part, position=error.position, example=RULE_EXAMPLE
        ) from error


def _days_in(rule: Schedule, year: int) -> Iterable[date]:
    """The days of a year on which a rule happens; one look for each."""
    if year >= LAST_YEAR:
        return
    end = datetime(year + 1, 1, 1, tzinfo=UTC)
    moment = datetime(year, 1, 1, tzinfo=UTC) - timedelta(microseconds=1)
    while (found := rule.next_after(moment)) is not None and found < end:
        day = found.date()
        yield day
        moment = datetime.combine(day + DAY, datetime.min.time(), UTC) - timedelta(microseconds=1)


def _merged(periods: Iterable[tuple[date, date]]) -> list[tuple[date, date]]:
    """Disjoint periods in order."""
    merged: list[tuple[date, date]] = []
    for first, last in sorted(periods):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


WEEKENDS = DaySet(weekdays=(5, 6))
