"""A recurrence of RFC 5545 in English."""

from datetime import datetime
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule.describe_words import MONTHS, WEEKDAYS, clock, listed, nth, plural, spans, times
from services.scheduler.domain.schedule.describe_words import weekdays as weekday_words
from services.scheduler.domain.schedule.rrule_expand import with_defaults
from services.scheduler.domain.schedule.rrule_rule import Frequency, NthDay, Rule, WallValue
from services.scheduler.domain.schedule.rrule_text import Recurrence, read_recurrence

UNITS = {
    Frequency.YEARLY: "year",
    Frequency.MONTHLY: "month",
    Frequency.WEEKLY: "week",
    Frequency.DAILY: "day",
    Frequency.HOURLY: "hour",
    Frequency.MINUTELY: "minute",
    Frequency.SECONDLY: "second",
}
MOST_DATES = 3


def describe_rrule(text: str, zone: ZoneInfo, anchor: datetime) -> tuple[str, ZoneInfo]:
    """What a text means, and the zone that its wall times are in. Raises ScheduleError when it means nothing."""
    recurrence = read_recurrence(text)
    zone = recurrence.start.zone or zone if recurrence.start else zone
    start = recurrence.start.wall if recurrence.start else anchor.astimezone(zone).replace(tzinfo=None)
    phrases = [_rule(with_defaults(rule, start), recurrence) for rule in recurrence.rules]
    if recurrence.start is not None and recurrence.rules:
        phrases[-1] += f", from {_moment(recurrence.start, recurrence.start)}"
    if recurrence.extra:
        phrases.append(f"{'also ' if phrases else ''}on {_moments(recurrence.extra, recurrence)}")
    sentence = "; ".join(phrases)
    if recurrence.excluded:
        sentence += f"; except on {_moments(recurrence.excluded, recurrence)}"
    return sentence, zone


def _rule(rule: Rule, recurrence: Recurrence) -> str:
    phrase = f"every {plural(rule.interval, UNITS[rule.freq])}" + "".join(_day_phrases(rule))
    clock_words = _clock_of(rule)
    if not clock_words.startswith(" "):
        phrase = phrase.removesuffix(",")
    phrase += clock_words
    if rule.by_set_pos:
        chosen = listed([nth(position) for position in sorted(rule.by_set_pos, key=lambda each: (each < 0, each))])
        phrase += f", only the {chosen} of these in each {UNITS[rule.freq]}"
    if rule.count:
        phrase += f", {rule.count:,} times" if rule.count > 1 else ", once"
    return phrase + (f", until {_moment(rule.until, recurrence.start)}" if rule.until else "")


def _clock_of(rule: Rule) -> str:
    if not rule.freq.is_sub_daily:
        words = times(rule.by_hour, rule.by_minute, rule.by_second)
        return f" {words}" if words.startswith("at ") else f", {words}"
    named = (("hour", rule.by_hour), ("minute", rule.by_minute), ("second", rule.by_second))
    parts = [f"in {name if len(numbers) == 1 else name + 's'} {spans(numbers)}" for name, numbers in named if numbers]
    return f", {', '.join(parts)}" if parts else ""


def _day_phrases(rule: Rule) -> list[str]:
    months = spans([month - 1 for month in rule.by_month], MONTHS) if rule.by_month else ""
    is_one_date = rule.freq is Frequency.YEARLY and len(rule.by_month) == len(rule.by_month_day) == 1
    if is_one_date and rule.by_month_day[0] > 0 and not (rule.by_day or rule.by_year_day or rule.by_week_no):
        return [f" on {rule.by_month_day[0]} {months}"]
    scope = " of the month" if rule.freq is not Frequency.YEARLY or rule.by_month else " of the year"
    return [
        f" in {months}" if months else "",
        f" in {_counted(rule.by_week_no, 'week')}" if rule.by_week_no else "",
        f" on {_counted(rule.by_year_day, 'day')} of the year" if rule.by_year_day else "",
        f" on {_counted(rule.by_month_day, 'day')} of the month" if rule.by_month_day else "",
        _weekdays(rule.by_day, scope),
    ]


def _weekdays(days: tuple[NthDay, ...], scope: str) -> str:
    plain = [day.weekday for day in days if not day.ordinal]
    counted = [f"the {nth(day.ordinal)} {WEEKDAYS[day.weekday]}" for day in _in_order(days)]
    if not counted:
        text = weekday_words(plain) if plain else ""
        return f", {text}," if text and not text.startswith("on ") else f" {text}".rstrip()
    every = [f"every {spans(sorted(plain), WEEKDAYS)}"] if plain else []
    return f" on {listed([*every, *counted])}{scope}"


def _in_order(days: tuple[NthDay, ...]) -> list[NthDay]:
    return sorted((day for day in days if day.ordinal), key=lambda day: (day.ordinal < 0, day.ordinal, day.weekday))


def _counted(numbers: tuple[int, ...], noun: str) -> str:
    forward, backward = [each for each in numbers if each > 0], [each for each in numbers if each < 0]
    words = [f"{noun if len(forward) == 1 else noun + 's'} {spans(forward)}"] if forward else []
    return listed(words + [f"the {nth(each)} {noun}" for each in reversed(backward)])


def _moments(values: tuple[WallValue, ...], recurrence: Recurrence) -> str:
    shown = [_moment(value, recurrence.start) for value in values[:MOST_DATES]]
    left = len(values) - len(shown)
    return listed([*shown, f"{left} more {'time' if left == 1 else 'times'}"]) if left else listed(shown)


def _moment(value: WallValue, start: WallValue | None) -> str:
    day = f"{value.wall:%Y-%m-%d}"
    if value.is_date:
        return day
    is_own = value.zone is None or (start is not None and value.zone == start.zone)
    suffix = "" if is_own or value.zone is None else f" {value.zone.key}"
    return f"{day} {clock(value.wall.hour, value.wall.minute, value.wall.second)}{suffix}"
