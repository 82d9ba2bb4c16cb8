"""Which days of a month a cron expression means.

A month matters by its shape only: the weekday of its first day and its length. There are 28 shapes, and each month
takes every shape that its length allows within the Gregorian calendar's cycle of 400 years; so whether an expression
ever happens is decided exactly, without a search.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache

LENGTHS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
FEBRUARY = 2
SUNDAY, SATURDAY = 0, 6


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of month. `first` is the weekday of its first day, Sunday = 0; `length` is 28 to 31 days."""

    first: int
    length: int

    def weekday(self, day: int) -> int:
        """The weekday of one of its days, Sunday = 0."""
        return (self.first + day - 1) % 7


@lru_cache(maxsize=65536)
def shape_of(year: int, month: int) -> Shape:
    """The shape of a month."""
    following = date(year + month // 12, month % 12 + 1, 1)
    first = date(year, month, 1)
    return Shape(first.isoweekday() % 7, (following - first).days)


def shapes_of(month: int) -> Iterable[Shape]:
    """Every shape that a month of the year takes."""
    lengths = (28, 29) if month == FEBRUARY else (LENGTHS[month],)
    return (Shape(first, length) for length in lengths for first in range(7))


class DayKind(StrEnum):
    """How a term counts days."""

    FROM_END = "from_end"
    NEAREST_WEEKDAY = "nearest_weekday"
    LAST_WEEKDAY = "last_weekday"
    NTH = "nth"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class DayTerm:
    """A day that depends on the shape of the month.

    `value` is for FROM_END the days before the last one (`L-3` has 3), for NEAREST_WEEKDAY the day of the month
    (`15W`), for NTH and LAST the weekday, Sunday = 0 (`MON#2`, `5L`). `nth` is 1 to 5.
    """

    kind: DayKind
    value: int = 0
    nth: int = 0

    def day(self, shape: Shape) -> int:
        """The day of the month; 0 when such a month has none."""
        match self.kind:
            case DayKind.FROM_END:
                return max(0, shape.length - self.value)
            case DayKind.NEAREST_WEEKDAY:
                return _nearest_weekday(shape, self.value) if self.value <= shape.length else 0
            case DayKind.LAST_WEEKDAY:
                return _nearest_weekday(shape, shape.length)
            case DayKind.NTH:
                day = 1 + (self.value - shape.first) % 7 + 7 * (self.nth - 1)
                return day if day <= shape.length else 0
            case DayKind.LAST:
                return shape.length - (shape.weekday(shape.length) - self.value) % 7


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRule:
    """The two day fields. Bit n of a mask is day n of the month, or weekday n with Sunday = 0.

    `needs_both` says that a day must be in both fields: one of them begins with `*`, or is `?`. Else one is enough.
    """

    month_days: int
    month_terms: tuple[DayTerm, ...]
    weekdays: int
    week_terms: tuple[DayTerm, ...]
    needs_both: bool

    def in_month(self, shape: Shape) -> int:
        """The days of a month of that shape, as a mask."""
        whole = (1 << shape.length + 1) - 2
        by_number = self.month_days & whole | _mask(self.month_terms, shape)
        by_weekday = _mask(self.week_terms, shape)
        for day in range(1, 8):
            if self.weekdays >> shape.weekday(day) & 1:
                by_weekday |= (0x10204081 << day) & whole
        return by_number & by_weekday if self.needs_both else by_number | by_weekday

    def happens_in(self, month: int) -> bool:
        """Whether a month of the year ever has such a day."""
        return any(self.in_month(shape) for shape in shapes_of(month))


def _mask(terms: tuple[DayTerm, ...], shape: Shape) -> int:
    mask = 0
    for term in terms:
        mask |= 1 << term.day(shape)
    return mask & ~1


def _nearest_weekday(shape: Shape, day: int) -> int:
    """The weekday nearest to a day, without leaving its month."""
    weekday = shape.weekday(day)
    if weekday == SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == SUNDAY:
        return day + 1 if day < shape.length else day - 2
    return day
