"""A cron expression in English."""

from collections.abc import Sequence

from services.scheduler.domain.schedule.cron_days import DayKind, DayRule, DayTerm
from services.scheduler.domain.schedule.cron_fields import FIELDS
from services.scheduler.domain.schedule.cron_text import CronFields, is_hashed, read_cron
from services.scheduler.domain.schedule.describe_words import (
    MONTHS,
    WEEKDAYS,
    listed,
    nth,
    ordinal,
    spans,
    step_of,
    times,
    weekdays,
)
from services.scheduler.domain.schedule.words import words_of

ALL_MONTH_DAYS = list(range(1, 32))


def describe_cron(text: str, seed: str) -> str:
    """What an expression means, without its zone; `H` with the numbers that it has for the seed.

    Raises ScheduleError when it means nothing.
    """
    fields = read_cron(text, seed)
    clock = times(_numbers(fields.hours), _numbers(fields.minutes), _numbers(fields.seconds))
    chosen = _chosen(text)
    if chosen == ["minute"] and clock.endswith(" past every hour"):
        minute = _numbers(fields.minutes)
        if len(minute) == 1:
            clock, chosen = f"once an hour, at a minute chosen for the job ({minute[0]})", []
    days = _days_and_months(fields)
    if not days and "every" not in clock and "once" not in clock:
        days = " every day"
    suffix = f" ({listed(chosen)} chosen for the job)" if chosen else ""
    return f"{clock}{days}{suffix}"


def _chosen(text: str) -> list[str]:
    words = words_of(text)
    kinds = FIELDS[6 - len(words) :]
    return [
        kind.name.replace("day-of-month", "day").replace("day-of-week", "weekday")
        for kind, word in zip(kinds, words, strict=True)
        if is_hashed(word.text)
    ]


def _days_and_months(fields: CronFields) -> str:
    months, rule = _numbers(fields.months), fields.days
    month_days, days = _numbers(rule.month_days), _days(rule)
    is_one_date = len(months) == len(month_days) == 1 and not rule.month_terms
    if is_one_date and days == f" on day {month_days[0]} of the month":
        return f" on {month_days[0]} {MONTHS[months[0] - 1]}"
    if len(months) == 12:
        return days
    if not days:
        return f", {_months(months)}"
    return (
        f"{days.removesuffix(' of the month')} {_months(months)}"
        if _names_month_once(days)
        else f"{days}, {_months(months)}"
    )


def _names_month_once(days: str) -> bool:
    return days.endswith(" of the month") and days.count(" of the month") == 1


def _months(months: Sequence[int]) -> str:
    text = spans([month - 1 for month in months], MONTHS)
    return f"from {text}" if step_of(months) == 1 else f"in {text}"


def _days(rule: DayRule) -> str:
    by_number, by_weekday = _by_number(rule), _by_weekday(rule)
    if rule.needs_both:
        if by_number and by_weekday:
            return f"{by_number}, but only if that is {_any_weekday(rule)}"
        return by_number or by_weekday
    return f"{by_number}, and also {by_weekday.removeprefix(',').strip()}" if by_number and by_weekday else ""


def _by_number(rule: DayRule) -> str:
    days, words = _numbers(rule.month_days), []
    if days == ALL_MONTH_DAYS:
        return ""
    step = step_of(days)
    if step > 1 and len(days) > 4:
        words.append(f"every {ordinal(step)} day from day {days[0]} to {days[-1]}")
    elif days:
        words.append(f"{'day' if len(days) == 1 else 'days'} {spans(days)}")
    words += [_month_term(term) for term in rule.month_terms]
    return f" on {listed(words)} of the month"


def _month_term(term: DayTerm) -> str:
    match term.kind:
        case DayKind.FROM_END:
            return "the last day" if not term.value else f"the {nth(-term.value - 1)} day"
        case DayKind.LAST_WEEKDAY:
            return "the last weekday"
        case _:
            return f"the weekday nearest to day {term.value}"


def _by_weekday(rule: DayRule) -> str:
    days = [(day - 1) % 7 for day in _numbers(rule.weekdays)]
    if len(days) == 7:
        return ""
    terms = [_week_term(term) for term in rule.week_terms]
    if not terms:
        text = weekdays(days)
        return f" {text}" if text.startswith("on ") else f", {text}"
    plain = [f"every {spans(sorted(days), WEEKDAYS)}"] if days else []
    return f" on {listed([*plain, *terms])} of the month"


def _week_term(term: DayTerm) -> str:
    which = "last" if term.kind is DayKind.LAST else nth(term.nth)
    return f"the {which} {WEEKDAYS[(term.value - 1) % 7]}"


def _any_weekday(rule: DayRule) -> str:
    names = [f"a {WEEKDAYS[day]}" for day in sorted((day - 1) % 7 for day in _numbers(rule.weekdays))]
    terms = [_week_term(term) for term in rule.week_terms]
    return listed([*names, *terms], "or") + (" of the month" if terms else "")


def _numbers(mask: int) -> list[int]:
    return [number for number in range(mask.bit_length()) if mask >> number & 1]
