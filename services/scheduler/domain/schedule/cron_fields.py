"""One field of a cron expression: what it may say, and the numbers that it means."""

import re
from dataclasses import dataclass
from typing import NoReturn

from services.scheduler.domain.schedule.cron_days import DayKind, DayTerm
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.hashing import hashed
from services.scheduler.domain.schedule.words import Piece

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
HASH = re.compile(r"H(?:\(([^()]*)\))?")
FROM_END = re.compile(r"L-(\d+)")
NEAREST = re.compile(r"([^W]+)W")
NTH = re.compile(r"([^#]*)#([^#]*)")
LAST = re.compile(r"([^L]+)L")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldKind:
    """A field: its place, its bounds, the names that stand for its numbers, and a correct expression as example."""

    name: str
    index: int
    low: int
    high: int
    allowed: str
    example: str
    names: tuple[str, ...] = ()
    hash_high: int = 0

    @property
    def full(self) -> int:
        """The mask of all its numbers."""
        return (1 << self.high + 1) - (1 << self.low)


SECOND = FieldKind(name="second", index=0, low=0, high=59, allowed="0-59", example="*/10 * * * * *")
MINUTE = FieldKind(name="minute", index=1, low=0, high=59, allowed="0-59", example="*/15 * * * *")
HOUR = FieldKind(name="hour", index=2, low=0, high=23, allowed="0-23", example="30 9-17 * * *")
DAY = FieldKind(name="day-of-month", index=3, low=1, high=31, hash_high=28, allowed="1-31, L, L-3, LW or 15W",
                example="0 9 1,15,L * *")  # fmt: skip
MONTH = FieldKind(name="month", index=4, low=1, high=12, allowed="1-12 or JAN-DEC", example="0 9 1 JAN,JUL *",
                  names=MONTHS)  # fmt: skip
WEEKDAY = FieldKind(name="day-of-week", index=5, low=0, high=7, hash_high=6, allowed="0-7, SUN-SAT, 5L or MON#1",
                    example="30 9 * * MON-FRI", names=WEEKDAYS)  # fmt: skip
FIELDS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)


@dataclass(frozen=True, slots=True)
class FieldValue:
    """What a field means: a mask of numbers (Sunday is 0), and days that depend on the month."""

    mask: int
    terms: tuple[DayTerm, ...] = ()


class FieldReader:
    """Reads one field. `seed` is what `H` is worked out from. Each method raises ScheduleError."""

    def __init__(self, kind: FieldKind, seed: str) -> None:
        self._kind = kind
        self._seed = seed

    def read(self, field: Piece) -> FieldValue:
        """What a whole field means."""
        if field.text == "?" and self._kind in (DAY, WEEKDAY):
            field = Piece("*", field.at)
        mask, terms = 0, []
        for part in field.split(","):
            if not part.text:
                comma = Piece(",", part.at - (part.at == field.at + len(field.text)))
                self._refuse(field, "has a comma with nothing beside it", comma)
            term = self._term(part)
            if term is not None:
                terms.append(term)
            else:
                mask |= self._numbers(part)
        if self._kind is WEEKDAY and mask >> 7:
            mask = mask & 0x7F | 1
        return FieldValue(mask, tuple(terms))

    def _numbers(self, part: Piece) -> int:
        base, *steps = part.split("/")
        if len(steps) > 1:
            self._refuse(part, "has more than one step")
        step = self._step(steps[0], part) if steps else 1
        first, last = self._range(base, part, step, is_stepped=bool(steps))
        return sum(1 << number for number in range(first, last + 1, step))

    def _range(self, base: Piece, part: Piece, step: int, *, is_stepped: bool) -> tuple[int, int]:
        kind = self._kind
        if base.text == "*":
            return kind.low, kind.high
        found = HASH.fullmatch(base.folded)
        if found is not None:
            return self._hash(base, found, step, is_stepped=is_stepped)
        if "-" not in base.text:
            number = self._number(base, part)
            return number, kind.high if is_stepped else number
        ends = base.split("-")
        if len(ends) > 2:
            self._refuse(base, "is no range; a range has two ends")
        return self._ends(ends[0], ends[1], base)

    def _ends(self, left: Piece, right: Piece, whole: Piece) -> tuple[int, int]:
        first, last = self._number(left, whole), self._number(right, whole)
        if self._kind is WEEKDAY and last == 0 < first:
            self._refuse(whole, f"goes backwards; Sunday ends a week as 7: write {first}-7")
        if first > last:
            kind = self._kind
            wrapped = f"{_span(first, 6 if kind is WEEKDAY else kind.high)},{_span(kind.low, last)}"
            self._refuse(whole, f"goes backwards; write {wrapped}")
        return first, last

    def _hash(self, base: Piece, found: re.Match[str], step: int, *, is_stepped: bool) -> tuple[int, int]:
        first, last = self._kind.low, self._kind.hash_high or self._kind.high
        if found.group(1) is not None:
            inside = Piece(base.text[2:-1], base.at + 2)
            ends = inside.split("-")
            if len(ends) != 2:
                self._refuse(base, "is no H with a range; write for example H(0-29)")
            first, last = self._ends(ends[0], ends[1], inside)
        count = last - first + 1
        if not is_stepped:
            first += hashed(self._seed, self._kind.index, count)
            return first, first
        if step > count:
            self._refuse(base, f"has {count} numbers, fewer than its step of {step}")
        return first + hashed(self._seed, self._kind.index, step), last

    def _step(self, step: Piece, part: Piece) -> int:
        longest = self._kind.high
        if not _is_number(step.text):
            self._refuse(part, f'has a step "{step.text}" that is no number', step)
        if len(step.text.lstrip("0")) > 2 or not 1 <= int(step.text) <= longest:
            hint = "; for longer spans use @every, such as @every 90m" if self._kind.index <= HOUR.index else ""
            self._refuse(part, f"has a step {step.text[:20]} out of range; a step is 1 to {longest}{hint}", step)
        return int(step.text)

    def _number(self, piece: Piece, whole: Piece) -> int:
        kind, text = self._kind, piece.folded
        if text in kind.names:
            return kind.names.index(text) + (kind is MONTH)
        if not _is_number(text):
            self._refuse(whole, _stranger(kind, text), piece)
        if len(text.lstrip("0")) > 2 or not kind.low <= int(text) <= kind.high:
            self._refuse(whole, f"is out of range; allowed are {kind.allowed}", piece)
        return int(text)

    def _term(self, part: Piece) -> DayTerm | None:
        if self._kind is DAY:
            return self._month_term(part)
        if self._kind is WEEKDAY:
            return self._week_term(part)
        return None

    def _month_term(self, part: Piece) -> DayTerm | None:
        text = part.folded
        if text == "L":
            return DayTerm(DayKind.FROM_END)
        if text == "LW":
            return DayTerm(DayKind.LAST_WEEKDAY)
        if found := FROM_END.fullmatch(text):
            if len(found.group(1)) > 2 or not 1 <= int(found.group(1)) <= 30:
                self._refuse(part, "is out of range; L-1 to L-30 count back from the last day", part.tail(2))
            return DayTerm(DayKind.FROM_END, int(found.group(1)))
        if found := NEAREST.fullmatch(text):
            return DayTerm(DayKind.NEAREST_WEEKDAY, self._number(Piece(part.text[:-1], part.at), part))
        return None

    def _week_term(self, part: Piece) -> DayTerm | None:
        text = part.folded
        if text == "L":
            self._refuse(part, "needs a weekday; FRIL is the last Friday of the month, SAT every Saturday")
        if found := NTH.fullmatch(text):
            if found.group(2) not in {"1", "2", "3", "4", "5"}:
                self._refuse(part, "has no such week; use #1 to #5", part.tail(len(found.group(1)) + 1))
            weekday = self._number(Piece(part.text[: len(found.group(1))], part.at), part)
            return DayTerm(DayKind.NTH, weekday % 7, int(found.group(2)))
        if found := LAST.fullmatch(text):
            return DayTerm(DayKind.LAST, self._number(Piece(part.text[:-1], part.at), part) % 7)
        return None

    def _refuse(self, piece: Piece, problem: str, wrong: Piece | None = None) -> NoReturn:
        wrong = wrong or piece
        raise ScheduleError(
            f'{self._kind.name} "{piece.text}" {problem}',
            part=wrong.text,
            position=wrong.at,
            example=self._kind.example,
        )


def _stranger(kind: FieldKind, text: str) -> str:
    """Why something that is no number of a field does not belong there."""
    for other in (MONTH, WEEKDAY):
        if text in other.names and other is not kind:
            return f"belongs in the {other.name} field; {kind.name} takes {kind.allowed}"
    if text == "?":
        return "may only be the whole of a day field"
    if "L" in text or "W" in text or "#" in text:
        return f"is not understood; allowed are {kind.allowed}, without ranges or steps of L, W and #"
    return f"is not understood; allowed are {kind.allowed}, lists (1,2), ranges (1-5), steps (*/5) and H"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
