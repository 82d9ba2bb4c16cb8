"""One RRULE as text says it: `FREQ=MONTHLY;BYDAY=-1FR;COUNT=12` (RFC 5545, 3.3.10)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.words import Piece

LARGEST_COUNT = 100_000
LARGEST_INTERVAL = 1_000_000
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
EXAMPLE = "RRULE:FREQ=WEEKLY;BYDAY=MO,FR"
NUMBER = re.compile(r"[+-]?\d{1,9}")
DAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")


class Frequency(IntEnum):
    """How long a period of a rule is, the longest first."""

    YEARLY = 0
    MONTHLY = 1
    WEEKLY = 2
    DAILY = 3
    HOURLY = 4
    MINUTELY = 5
    SECONDLY = 6

    @property
    def is_sub_daily(self) -> bool:
        """Whether a day holds several periods."""
        return self >= Frequency.HOURLY


@dataclass(frozen=True, slots=True, kw_only=True)
class WallValue:
    """A DATE or DATE-TIME: a wall time, in `zone` if it says one, else in the rule's; midnight when it is a date."""

    wall: datetime
    is_date: bool
    zone: ZoneInfo | None


@dataclass(frozen=True, slots=True, order=True)
class NthDay:
    """A weekday (0 is Monday); `ordinal` is 0 for every one, 2 for the second, -1 for the last of the period."""

    ordinal: int
    weekday: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule, part by part. Empty tuples and 0 are parts that it does not have; lists rise and hold nothing twice."""

    piece: Piece
    freq: Frequency
    interval: int = 1
    count: int = 0
    until: WallValue | None = None
    by_second: tuple[int, ...] = ()
    by_minute: tuple[int, ...] = ()
    by_hour: tuple[int, ...] = ()
    by_day: tuple[NthDay, ...] = ()
    by_month_day: tuple[int, ...] = ()
    by_year_day: tuple[int, ...] = ()
    by_week_no: tuple[int, ...] = ()
    by_month: tuple[int, ...] = ()
    by_set_pos: tuple[int, ...] = ()
    week_start: int = 0


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a list of numbers may hold."""

    name: str
    low: int
    high: int
    is_signed: bool
    example: str

    def read(self, value: Piece) -> tuple[int, ...]:
        """The numbers of a list. Raises ScheduleError."""
        return tuple(sorted({self._read_one(piece) for piece in value.split(",")}))

    def _read_one(self, piece: Piece) -> int:
        number = int(piece.text) if NUMBER.fullmatch(piece.text) else None
        size = abs(number) if number is not None and self.is_signed else number
        if number is None or size is None or not self.low <= size <= self.high:
            sign = f" or -{self.high} to -{self.low}" if self.is_signed else ""
            raise refusal(
                piece, f'"{piece.text}" is not valid in {self.name}: use {self.low} to {self.high}{sign}', self.example
            )
        return number


LISTS = {
    "BYSECOND": ("by_second", Numbers("BYSECOND", 0, 60, False, "BYSECOND=0,30")),
    "BYMINUTE": ("by_minute", Numbers("BYMINUTE", 0, 59, False, "BYMINUTE=0,30")),
    "BYHOUR": ("by_hour", Numbers("BYHOUR", 0, 23, False, "BYHOUR=9,17")),
    "BYMONTHDAY": ("by_month_day", Numbers("BYMONTHDAY", 1, 31, True, "BYMONTHDAY=1,-1")),
    "BYYEARDAY": ("by_year_day", Numbers("BYYEARDAY", 1, 366, True, "BYYEARDAY=1,-1")),
    "BYWEEKNO": ("by_week_no", Numbers("BYWEEKNO", 1, 53, True, "BYWEEKNO=1,20")),
    "BYMONTH": ("by_month", Numbers("BYMONTH", 1, 12, False, "BYMONTH=1,7")),
    "BYSETPOS": ("by_set_pos", Numbers("BYSETPOS", 1, 366, True, "BYSETPOS=-1")),
}
PARTS = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", *LISTS)


def refusal(piece: Piece, problem: str, example: str) -> ScheduleError:
    """The error that a piece of the schedule's text is."""
    return ScheduleError(problem, part=piece.text, position=piece.at, example=example)


def halves(piece: Piece, separator: str) -> tuple[Piece, Piece]:
    """What is before the first separator, and what is after it (empty when there is none)."""
    before, found, _ = piece.text.partition(separator)
    return Piece(before, piece.at), piece.tail(len(before) + len(found))


def read_rule(value: Piece, read_until: Callable[[Piece], WallValue]) -> Rule:
    """The rule that stands after `RRULE:`. Raises ScheduleError with the place of what is wrong."""
    parts = _parts(value)
    if "FREQ" not in parts:
        raise refusal(value, "a rule needs FREQ", EXAMPLE)
    lists = {name: numbers.read(parts[key]) for key, (name, numbers) in LISTS.items() if key in parts}
    if "by_second" in lists:
        lists["by_second"] = tuple(sorted({min(second, 59) for second in lists["by_second"]}))
    rule = Rule(
        piece=value,
        freq=_frequency(parts["FREQ"]),
        interval=_positive(parts.get("INTERVAL"), "INTERVAL", LARGEST_INTERVAL) or 1,
        count=_positive(parts.get("COUNT"), "COUNT", LARGEST_COUNT),
        until=read_until(parts["UNTIL"]) if "UNTIL" in parts else None,
        by_day=_days(parts["BYDAY"]) if "BYDAY" in parts else (),
        week_start=_week_start(parts.get("WKST")),
        **lists,
    )
    check_combination(rule, parts)
    return rule


def check_combination(rule: Rule, parts: dict[str, Piece]) -> None:
    """Refuse what RFC 5545 forbids to say together."""
    for key, is_wrong, problem, example in _forbidden(rule):
        if key in parts and is_wrong:
            raise refusal(parts[key], f"{key} {problem}", example)


def _forbidden(rule: Rule) -> list[tuple[str, bool, str, str]]:
    freq, has_ordinal = rule.freq, any(day.ordinal for day in rule.by_day)
    monthly_at_most = freq in (Frequency.DAILY, Frequency.WEEKLY, Frequency.MONTHLY)
    lists = (rule.by_second, rule.by_minute, rule.by_hour, rule.by_day, rule.by_month_day)
    has_list = any((*lists, rule.by_year_day, rule.by_week_no, rule.by_month))
    return [
        ("UNTIL", rule.count > 0, "cannot stand together with COUNT: keep one of them", "FREQ=DAILY;COUNT=10"),
        (
            "BYDAY",
            has_ordinal and freq not in (Frequency.MONTHLY, Frequency.YEARLY),
            "may count weekdays (2MO, -1FR) only with FREQ=MONTHLY or FREQ=YEARLY",
            "FREQ=MONTHLY;BYDAY=2MO",
        ),
        (
            "BYDAY",
            has_ordinal and bool(rule.by_week_no),
            "cannot count weekdays (2MO, -1FR) together with BYWEEKNO",
            "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
        ),
        (
            "BYMONTHDAY",
            freq is Frequency.WEEKLY,
            "cannot stand in a weekly rule: use BYDAY, or FREQ=MONTHLY",
            "FREQ=MONTHLY;BYMONTHDAY=15",
        ),
        (
            "BYYEARDAY",
            monthly_at_most,
            f"cannot stand with FREQ={freq.name}: use FREQ=YEARLY",
            "FREQ=YEARLY;BYYEARDAY=100",
        ),
        (
            "BYWEEKNO",
            freq is not Frequency.YEARLY,
            f"cannot stand with FREQ={freq.name}: it needs FREQ=YEARLY",
            "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
        ),
        (
            "BYSETPOS",
            not has_list,
            "needs another BY part to choose from",
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        ),
    ]


def _parts(value: Piece) -> dict[str, Piece]:
    parts: dict[str, Piece] = {}
    for piece in value.split(";"):
        name, content = halves(piece, "=")
        key = name.text
        if key in ("RSCALE", "SKIP"):
            raise refusal(piece, f"{key} is not supported: rules follow the Gregorian calendar", EXAMPLE)
        if key not in PARTS:
            said = f'"{piece.text}" is no part of a rule' if piece.text else "a part of the rule is empty"
            raise refusal(piece, f"{said}: use {', '.join(PARTS)}", EXAMPLE)
        if key in parts:
            raise refusal(piece, f"{key} stands twice: write one list", "BYMONTH=1,7")
        if not content.text:
            raise refusal(piece, f"{key} has no value", EXAMPLE)
        parts[key] = content
    return parts


def _frequency(value: Piece) -> Frequency:
    try:
        return Frequency[value.text]
    except KeyError:
        names = ", ".join(frequency.name for frequency in Frequency)
        raise refusal(value, f'"{value.text}" is no frequency: use {names}', EXAMPLE) from None


def _positive(value: Piece | None, name: str, most: int) -> int:
    if value is None:
        return 0
    if not value.text.isascii() or not value.text.isdigit() or not 1 <= int(value.text[:12]) <= most:
        raise refusal(value, f'"{value.text}" is not valid in {name}: use 1 to {most:,}', f"{name}=10")
    return int(value.text)


def _week_start(value: Piece | None) -> int:
    if value is None:
        return 0
    if value.text not in WEEKDAYS:
        raise refusal(value, f'"{value.text}" is no weekday: use {", ".join(WEEKDAYS)}', "WKST=SU")
    return WEEKDAYS.index(value.text)


def _days(value: Piece) -> tuple[NthDay, ...]:
    found = set()
    for piece in value.split(","):
        match = DAY.fullmatch(piece.text)
        ordinal = int(match.group(1) or 0) if match else 0
        if match is None or abs(ordinal) > 53 or (match.group(1) and ordinal == 0):
            problem = (
                f'"{piece.text}" is not valid in BYDAY: use {", ".join(WEEKDAYS)}, with 1 to 53 or -1 to -53 before'
            )
            raise refusal(piece, problem, "BYDAY=MO,-1FR")
        found.add(NthDay(ordinal, WEEKDAYS.index(match.group(2))))
    return tuple(sorted(found))
