"""Random recurrence rules that happen at least once, and what python-dateutil makes of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile

from dateutil.rrule import rruleset, rrulestr  # type: ignore[import-untyped]
from hypothesis import strategies as st

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
HORIZON_YEARS = {"YEARLY": 40, "MONTHLY": 10, "WEEKLY": 4, "DAILY": 3}
DAILY_OR_SLOWER = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
SUB_DAILY = ("HOURLY", "MINUTELY", "SECONDLY")


@dataclass(frozen=True)
class Case:
    """A rule, where it starts, and what is added and taken away."""

    start: datetime
    rules: tuple[str, ...]
    extra: tuple[datetime, ...] = ()
    excluded: tuple[datetime, ...] = ()

    @property
    def text(self) -> str:
        lines = [f"DTSTART:{self.start:%Y%m%dT%H%M%S}", *(f"RRULE:{rule}" for rule in self.rules)]
        lines += [f"RDATE:{','.join(f'{each:%Y%m%dT%H%M%S}' for each in self.extra)}"] if self.extra else []
        lines += [f"EXDATE:{','.join(f'{each:%Y%m%dT%H%M%S}' for each in self.excluded)}"] if self.excluded else []
        return "\n".join(lines)

    def expected(self, count: int) -> list[datetime]:
        """The first wall times by python-dateutil. Raises ValueError when it sees that there are none."""
        found = rruleset()
        for rule in self.rules:
            found.rrule(rrulestr(f"RRULE:{rule}", dtstart=self.start))
        for each in self.extra:
            found.rdate(each)
        for each in self.excluded:
            found.exdate(each)
        walls: Iterator[datetime] = iter(found)
        years = max(HORIZON_YEARS.get(rule.partition("FREQ=")[2].partition(";")[0], 1) for rule in self.rules)
        limit = self.start + timedelta(days=366 * years)
        return list(islice(takewhile(lambda wall: wall < limit, walls), count))


STARTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(microsecond=0))


@st.composite
def cases(draw: st.DrawFn, frequencies: tuple[str, ...] = DAILY_OR_SLOWER + SUB_DAILY) -> Case:
    start = draw(STARTS)
    freq = draw(st.sampled_from(frequencies))
    week_start = draw(st.sampled_from([None, 0, 6, 3]))
    positions = draw(st.booleans()) and draw(st.booleans())
    if freq == "WEEKLY" and positions:  # python-dateutil takes the first week from DTSTART on only
        start -= timedelta(days=(start.weekday() - (week_start or 0)) % 7)
    rule = draw(rules(freq, start, week_start, has_positions=positions))
    if draw(st.integers(0, 4)):
        return Case(start, (rule,))
    others = draw(st.lists(rules(freq, start, None), max_size=1))
    near = st.integers(0, 60 * 24 * 60).map(lambda minutes: start + timedelta(minutes=minutes))
    extra, excluded = draw(st.lists(near, max_size=3)), draw(st.lists(near, max_size=2))
    known = Case(start, (rule, *others)).expected(6) if freq in DAILY_OR_SLOWER else []
    excluded += draw(st.lists(st.sampled_from(known), max_size=3)) if known else []
    return Case(start, (rule, *others), tuple(extra), tuple(excluded))


@st.composite
def rules(draw: st.DrawFn, freq: str, start: datetime, week_start: int | None, *, has_positions: bool = False) -> str:
    """Every list holds what a moment near the start has, so that the rule happens."""
    witness = start + timedelta(days=draw(st.integers(0, 27))) if freq in ("YEARLY", "MONTHLY", "DAILY") else start
    interval = draw(st.integers(1, 6)) if draw(st.booleans()) else 1
    parts = [f"FREQ={freq}"] + ([f"INTERVAL={interval}"] if interval > 1 else [])
    parts += [f"WKST={WEEKDAYS[week_start]}"] if week_start is not None else []
    wanted = draw(st.sets(st.sampled_from(["MONTH", "WEEKNO", "YEARDAY", "MONTHDAY", "DAY"]), max_size=2))
    lists = [*_day_lists(draw, freq, witness, wanted), *_clock_lists(draw, freq, start)]
    parts += lists
    if has_positions and lists:
        positions = {draw(st.sampled_from([1, -1])), *draw(st.lists(st.integers(-8, 8).filter(bool), max_size=2))}
        parts.append("BYSETPOS=" + ",".join(map(str, sorted(positions))))
    match draw(st.integers(0, 5)):
        case 0:
            parts.append(f"COUNT={draw(st.integers(1, 14))}")
        case 1:
            parts.append(f"UNTIL={start + timedelta(minutes=draw(st.integers(60 * 24, 60 * 24 * 900))):%Y%m%dT%H%M%S}")
    return ";".join(draw(st.permutations(parts)))


def _day_lists(draw: st.DrawFn, freq: str, day: datetime, wanted: set[str]) -> Iterator[str]:
    yearday, length = (
        day.timetuple().tm_yday,
        366 if (day.year % 4 == 0 and day.year % 100) or day.year % 400 == 0 else 365,
    )
    if "MONTH" in wanted:
        yield _list(draw, "BYMONTH", day.month, 1, 12)
    if "WEEKNO" in wanted and freq == "YEARLY" and day.isocalendar()[1] < 52:
        yield _list(draw, "BYWEEKNO", day.isocalendar()[1], 1, 51)  # it errs about the last one
        wanted = wanted | {"DAY"}  # else python-dateutil takes all days of the week, not that of DTSTART
    if "YEARDAY" in wanted and freq in ("YEARLY", *SUB_DAILY):
        yield _list(draw, "BYYEARDAY", draw(st.sampled_from([yearday, yearday - length - 1])), -366, 366)
    if "MONTHDAY" in wanted and freq != "WEEKLY":
        yield _list(draw, "BYMONTHDAY", min(day.day, 28), -31, 31)
    if "DAY" in wanted:
        days = {WEEKDAYS[day.weekday()], *draw(st.lists(st.sampled_from(WEEKDAYS), max_size=2))}
        if freq not in ("MONTHLY", "YEARLY") or "WEEKNO" in wanted or draw(st.booleans()):
            yield "BYDAY=" + ",".join(sorted(days))
            return
        position = day.day if freq == "MONTHLY" or "MONTH" in wanted else yearday
        others = draw(st.lists(st.tuples(st.sampled_from([1, 2, 4, -1, -4]), st.sampled_from(WEEKDAYS)), max_size=2))
        nth = {((position - 1) // 7 + 1, WEEKDAYS[day.weekday()]), *others}
        yield "BYDAY=" + ",".join(f"{ordinal}{name}" for ordinal, name in sorted(nth))


def _clock_lists(draw: st.DrawFn, freq: str, start: datetime) -> Iterator[str]:
    for name, value, high in (
        ("BYHOUR", start.hour, 23),
        ("BYMINUTE", start.minute, 59),
        ("BYSECOND", start.second, 59),
    ):
        if draw(st.integers(0, 3)) == 0:
            yield _list(draw, name, value, 0, high)


def _list(draw: st.DrawFn, name: str, value: int, low: int, high: int) -> str:
    others = draw(st.lists(st.integers(low, high).filter(lambda each: each != 0 or low == 0), max_size=3))
    return f"{name}=" + ",".join(map(str, sorted({value, *others})))
