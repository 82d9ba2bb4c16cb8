"""Days out of iCalendar files (RFC 5545), read with the icalendar library."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import icalendar
from chronos.scheduler.v1 import calendar_pb2

from libs.faults import InvalidArgument
from services.scheduler.domain.schedule.calendar import problems_of

FIELD = "icalendar"
EXAMPLE = "BEGIN:VEVENT, DTSTART;VALUE=DATE:20261225, SUMMARY:Christmas, END:VEVENT"
LONGEST_NAME = 200
LONGEST_EVENT = 366
MOST_DATES = 5000
MOST_RULES = 500
DAY = timedelta(days=1)
WITHIN_A_DAY = ("SECONDLY", "MINUTELY", "HOURLY")
TIMES_OF_DAY = ("BYHOUR", "BYMINUTE", "BYSECOND")
STRETCHING = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST")
YEARS = range(1900, 9000)
UNREADABLE = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError)
Text = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event as days: it begins on `first`, and on each day of `also`, and lasts `length` days each time.

    `rules` are its RRULEs by part; `without` the days on which they do not begin one. `replaces` is the begin of the
    occurrence of another event with the same `uid` that this one stands for.
    """

    uid: str
    title: str
    first: date
    length: int
    rules: Sequence[Text]
    also: Sequence[date]
    without: frozenset[date]
    replaces: date | None
    is_cancelled: bool


class ICalendarText:
    """See calendars.ICalendarReader."""

    def read(self, text: str) -> calendar_pb2.Calendar:
        """The days that the events of a file cover, each in the event's own zone; recurring events become rules.

        All-day and timed events count alike, be they marked as busy or not; cancelled ones do not count. Raises
        InvalidArgument.
        """
        parsed = _parse(text)
        events = [_event(component) for component in parsed.walk("VEVENT")]
        if not events:
            raise _refusal(f"holds no event; write for example {EXAMPLE}")
        replaced: dict[str, set[date]] = {}
        for event in events:
            if event.replaces is not None:
                replaced.setdefault(event.uid, set()).add(event.replaces)
        dates: set[str] = set()
        rules: dict[str, None] = {}
        for event in (event for event in events if not event.is_cancelled):
            without = event.without | (replaced.get(event.uid, set()) if event.replaces is None else set())
            begins = [*event.also] if event.rules else [event.first, *event.also]
            dates |= {_period(day, event.length) for day in begins if day not in without}
            rules.update((rule, None) for parts in event.rules for rule in _rules(event, parts, without))
        _check(sorted(dates), list(rules))
        name = str(parsed.get("NAME") or parsed.get("X-WR-CALNAME") or "").strip()[:LONGEST_NAME]
        return calendar_pb2.Calendar(name=name, dates=sorted(dates), rules=list(rules))


def _parse(text: str) -> icalendar.Component:
    try:
        parsed = icalendar.Calendar.from_ical(text)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0][:200] if str(error) else "it breaks off"
        raise _refusal(
            f"is no iCalendar file ({reason}); it begins with BEGIN:VCALENDAR, with events such as {EXAMPLE}"
        ) from error
    if not isinstance(parsed, icalendar.Calendar):
        raise _refusal(f"is no iCalendar file; it begins with BEGIN:VCALENDAR, with events such as {EXAMPLE}")
    return parsed


def _event(component: Any) -> Event:
    title = str(component.get("SUMMARY") or component.get("UID") or "without a title")[:80]
    try:
        return _read_event(component, title)
    except UNREADABLE as error:
        raise _refusal(
            f'has the event "{title}", which cannot be read ({error}); an event is for example {EXAMPLE}'
        ) from error


def _read_event(component: Any, title: str) -> Event:
    start = component["DTSTART"].dt
    length = _length(start, _end(component, start))
    if not 1 <= length <= LONGEST_EVENT:
        raise ValueError(f"it lasts {length} days; 1 to {LONGEST_EVENT} are possible")
    zone = start.tzinfo if isinstance(start, datetime) else None
    recurrence = component.get("RECURRENCE-ID")
    return Event(
        uid=str(component.get("UID") or ""),
        title=title,
        first=_day(start),
        length=length,
        rules=[_rule_parts(rule, zone) for rule in _listed(component.get("RRULE"))],
        also=[_day(each, zone) for each in _moments(component.get("RDATE"))],
        without=frozenset(_day(each, zone) for each in _moments(component.get("EXDATE"))),
        replaces=_day(recurrence.dt, zone) if recurrence is not None else None,
        is_cancelled=str(component.get("STATUS") or "").upper() == "CANCELLED",
    )


def _end(component: Any, start: date) -> date:
    """The end of an event, exclusive; that of one without any is its begin."""
    if (end := component.get("DTEND")) is not None:
        return end.dt  # type: ignore[no-any-return]
    if (duration := component.get("DURATION")) is not None:
        return start + duration.dt  # type: ignore[no-any-return]
    return start


def _length(start: date, end: date) -> int:
    """On how many days an event is: at least one; a day at whose midnight it ends does not count."""
    if isinstance(start, datetime) and isinstance(end, datetime):
        local = end.astimezone(start.tzinfo) if start.tzinfo is not None and end.tzinfo is not None else end
        if local.time() == datetime.min.time():
            local -= timedelta(microseconds=1)
        return max(1, (local.date() - start.date()).days + 1)
    return max(1, (_day(end) - _day(start)).days)


def _day(moment: date, zone: Any = None) -> date:
    """The date of a date, or of a time in its zone, or in another one that is given. Raises ValueError."""
    if not isinstance(moment, date) or moment.year not in YEARS:
        raise ValueError(f'"{moment}" is no date of the years {YEARS.start} to {YEARS.stop - 1}')
    if not isinstance(moment, datetime):
        return moment
    return (moment.astimezone(zone) if zone is not None and moment.tzinfo is not None else moment).date()


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _moments(value: Any) -> Iterable[date]:
    for group in _listed(value):
        for each in group.dts:
            moment = each.dt
            yield moment[0] if isinstance(moment, tuple) else moment  # a period begins with its begin


def _rule_parts(rule: Any, zone: Any) -> Text:
    """An RRULE by part, without times of day; UNTIL as a date."""
    parts = dict(part.split("=", 1) for part in rule.to_ical().decode().upper().split(";"))
    if parts.get("FREQ") in WITHIN_A_DAY:
        raise ValueError(f"FREQ={parts['FREQ']} repeats within a day; use DAILY")
    if (until := rule.get("UNTIL")) is not None:
        parts["UNTIL"] = f"{_day(_listed(until)[0], zone):%Y%m%d}"
    return {name: text for name, text in parts.items() if name not in TIMES_OF_DAY}


def _rules(event: Event, parts: Text, without: Iterable[date]) -> Iterable[str]:
    """One rule for each day that the event lasts."""
    if event.length > 1 and not _can_shift(event, parts):
        raise _refusal(
            f'has the event "{event.title}", which lasts {event.length} days and repeats by {";".join(parts)}: '
            "give each of its days an event of its own"
        )
    for number in range(event.length):
        shift = number * DAY
        shifted = dict(parts)
        if "UNTIL" in parts:
            until = datetime.strptime(parts["UNTIL"], "%Y%m%d").date()  # noqa: DTZ007 - a date
            shifted["UNTIL"] = f"{until + shift:%Y%m%d}"
        lines = [f"DTSTART:{event.first + shift:%Y%m%d}", "RRULE:" + ";".join(f"{k}={v}" for k, v in shifted.items())]
        if excluded := ",".join(f"{day + shift:%Y%m%d}" for day in sorted(without)):
            lines.append(f"EXDATE:{excluded}")
        yield "\n".join(lines)


def _can_shift(event: Event, parts: Text) -> bool:
    """Whether the same rule, begun some days later, gives the days that come so many days later."""
    if not set(parts) <= set(STRETCHING):
        return False
    if parts["FREQ"] in ("DAILY", "WEEKLY"):
        return True
    days = [event.first + number * DAY for number in range(event.length)]
    meets_leap_day = any((day.month, day.day) in ((2, 29), (3, 1)) for day in days[1:]) or (
        (event.first.month, event.first.day) == (2, 29)
    )
    return parts["FREQ"] == "YEARLY" and not meets_leap_day


def _period(first: date, length: int) -> str:
    last = first + (length - 1) * DAY
    return first.isoformat() if length == 1 else f"{first.isoformat()}/{last.isoformat()}"


def _check(dates: Sequence[str], rules: Sequence[str]) -> None:
    if len(dates) > MOST_DATES or len(rules) > MOST_RULES:
        raise _refusal(
            f"gives {len(dates):,} dates and {len(rules):,} rules; a calendar holds {MOST_DATES:,} and {MOST_RULES}"
        )
    problems = problems_of(dates, "", rules)
    if problems:
        raise _refusal(f"has an event whose rule cannot be used: {problems[0]}")


def _refusal(problem: str) -> InvalidArgument:
    return InvalidArgument.of(FIELD, problem)
