"""A whole schedule in plain English."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from libs.durations import format_duration
from services.scheduler.domain.schedule.describe_cron import describe_cron
from services.scheduler.domain.schedule.describe_rrule import describe_rrule
from services.scheduler.domain.schedule.describe_words import clock, listed, weekdays
from services.scheduler.domain.schedule.interval import parse_interval
from services.scheduler.domain.schedule.once import parse_once
from services.scheduler.domain.schedule.parse import MACROS, RULE_LINES
from services.scheduler.domain.schedule.spec import (
    CalendarSpec,
    DstPolicy,
    RepeatedTime,
    Roll,
    ScheduleSpec,
    SkippedTime,
    WindowSpec,
)
from services.scheduler.domain.schedule.weekdays import parse_weekdays
from services.scheduler.domain.schedule.words import words_of
from services.scheduler.domain.schedule.zones import parse_timezone

DAY = timedelta(days=1)
SKIPPED = {
    SkippedTime.SKIP: "a time that the clocks skip does not run",
    SkippedTime.BEFORE: "a time that the clocks skip runs right before",
}
REPEATED = {
    RepeatedTime.LAST: "a time that the clocks repeat runs the second time",
    RepeatedTime.BOTH: "a time that the clocks repeat runs both times",
}
ROLLS = {
    Roll.NEXT_BUSINESS_DAY: "a run on another day moves to the next allowed day",
    Roll.PREVIOUS_BUSINESS_DAY: "a run on another day moves to the last allowed day before",
}


def describe(spec: ScheduleSpec) -> str:
    """What a spec means, in one line: `At 09:00, Monday to Friday, Europe/Berlin time; at most 10 runs`.

    Says everything that the spec says, the expression first; defaults go without saying. Raises ScheduleError for an
    expression, zone or window that means nothing.
    """
    zone = parse_timezone(spec.timezone)
    clauses = [
        _expression(spec, zone),
        *_bounds(spec, zone),
        *_windows(spec),
        *_calendars(spec.calendars),
        *_dst(spec.dst),
    ]
    sentence = "; ".join(clauses)
    return sentence[0].upper() + sentence[1:]


def _expression(spec: ScheduleSpec, zone: ZoneInfo) -> str:
    words = words_of(spec.expression)
    if not words:
        return "only when asked for"
    first = words[0].text.lower()
    if first == "@every":
        return f"every {_long(parse_interval(words))}, counted from the job's creation"
    if first == "@at":
        return _once(parse_once(words), zone)
    if first.upper().startswith(RULE_LINES):
        phrase, zone = describe_rrule(spec.expression, zone, spec.anchor)
    else:
        phrase = describe_cron(MACROS.get(first, spec.expression), spec.seed)
    return f"{phrase}, {_zone_words(zone)}"


def _once(when: datetime, zone: ZoneInfo) -> str:
    wall = when if when.tzinfo is None else when.astimezone(zone)
    second = f":{wall:%S.%f}".rstrip("0") if wall.microsecond else ""
    text = f"{wall:%H:%M}{second}" if second else clock(wall.hour, wall.minute, wall.second)
    return f"once, on {wall:%Y-%m-%d} at {text}, {_zone_words(zone)}"


def _bounds(spec: ScheduleSpec, zone: ZoneInfo) -> list[str]:
    clauses = []
    limits = [
        f"from {_moment(spec.start, zone)}" if spec.start else "",
        f"before {_moment(spec.end, zone)}" if spec.end else "",
    ]
    if any(limits):
        clauses.append("only " + " and ".join(filter(None, limits)))
    if spec.max_runs:
        clauses.append(f"at most {spec.max_runs:,} {'run' if spec.max_runs == 1 else 'runs'}")
    if spec.jitter > timedelta(0):
        clauses.append(f"each run up to {_long(spec.jitter)} late")
    return clauses


def _windows(spec: ScheduleSpec) -> list[str]:
    clauses = []
    for words, windows in (("only", spec.active_windows), ("not", spec.blackout_windows)):
        if windows:
            clauses.append(f"{words} {listed([_window(window) for window in windows], 'or')}")
    return clauses


def _window(window: WindowSpec) -> str:
    words = []
    if window.start or window.end:
        words.append(f"between {window.start or '00:00'} and {window.end or '24:00'}")
    days = parse_weekdays(window.days) if window.days else frozenset(range(7))
    if len(days) < 7:
        text = weekdays(sorted(days))
        words.append(text if text.startswith("on ") or words else f"from {text}")
    if window.first_date:
        words.append(f"from {window.first_date}")
    if window.last_date:
        words.append(f"to {window.last_date}")
    words += [f"({window.timezone} time)"] if window.timezone else []
    return " ".join(words) or "at any time"


def _calendars(calendars: CalendarSpec) -> list[str]:
    clauses = []
    if calendars.include:
        clauses.append(f"only on days of the {_named(calendars.include)}")
    if calendars.exclude:
        clauses.append(f"not on days of the {_named(calendars.exclude)}")
    return [*clauses, ROLLS[calendars.roll]] if clauses and calendars.roll in ROLLS else clauses


def _named(names: tuple[str, ...]) -> str:
    quoted = [f'"{name}"' for name in names]
    return f"calendar{'s' if len(names) > 1 else ''} {listed(quoted, 'or')}"


def _dst(dst: DstPolicy) -> list[str]:
    clauses = [SKIPPED.get(dst.skipped, ""), REPEATED.get(dst.repeated, "")]
    return [clause for clause in clauses if clause]


def _moment(moment: datetime, zone: ZoneInfo) -> str:
    wall = moment.astimezone(zone)
    return f"{wall:%Y-%m-%d} {clock(wall.hour, wall.minute, wall.second)}"


def _zone_words(zone: ZoneInfo) -> str:
    return "UTC" if zone.key == "UTC" else f"{zone.key} time"


def _long(span: timedelta) -> str:
    """`90 seconds`, `1 hour and 30 minutes`, `2 days`."""
    days, rest = divmod(span, DAY)
    minutes, seconds = divmod(rest.seconds, 60)
    if rest.microseconds:
        return format_duration(span)
    if not days and not minutes // 60 and seconds:
        return _count(span.seconds, "second")
    counted = ((days, "day"), (minutes // 60, "hour"), (minutes % 60, "minute"), (seconds, "second"))
    words = [_count(number, noun) for number, noun in counted if number]
    return listed(words) if len(words) > 1 or not words or not words[0].startswith("1 ") else words[0][2:]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
