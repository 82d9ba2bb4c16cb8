"""From the text of a schedule to what it means."""

import difflib
from datetime import datetime
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule.cron import parse_cron
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.interval import IntervalSchedule, parse_interval
from services.scheduler.domain.schedule.once import OnceSchedule, parse_once
from services.scheduler.domain.schedule.rrule import parse_rrule
from services.scheduler.domain.schedule.sequence import Schedule
from services.scheduler.domain.schedule.spec import DstPolicy
from services.scheduler.domain.schedule.words import Piece, words_of
from services.scheduler.domain.schedule.zones import parse_timezone

__all__ = ["MACROS", "IntervalSchedule", "parse_schedule", "parse_timezone"]

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
RULE_LINES = ("RRULE", "DTSTART", "RDATE", "EXDATE", "EXRULE")
DEFAULT_DST = DstPolicy()


def parse_schedule(
    expression: str, timezone: str, *, dst: DstPolicy = DEFAULT_DST, seed: str = "", anchor: datetime
) -> Schedule:
    """The schedule that an expression means: cron, a macro, `@every`, `@at` or an RRULE.

    Raises ScheduleError, naming the part that is wrong. `seed` is what `H` is worked out from, `anchor` is where
    `@every`, and a rule without DTSTART, count from. Equal cron expressions without `H` give one shared object.
    """
    zone = parse_timezone(timezone)
    words = words_of(expression)
    if not words:
        raise ScheduleError("a schedule is empty", position=0, example="30 9 * * MON-FRI")
    first = words[0].folded
    if first.startswith("@"):
        return _parse_macro(words, zone, dst, anchor)
    if first.startswith(RULE_LINES):
        return parse_rrule(expression, zone, dst=dst, anchor=anchor)
    return parse_cron(expression, zone, dst, seed)


def _parse_macro(words: list[Piece], zone: ZoneInfo, dst: DstPolicy, anchor: datetime) -> Schedule:
    name = words[0].text.lower()
    if name == "@every":
        return IntervalSchedule(parse_interval(words), anchor)
    if name == "@at":
        return OnceSchedule(parse_once(words), zone, dst)
    if name not in MACROS:
        raise _unknown_macro(words[0])
    if len(words) > 1:
        problem = f"{name} stands alone"
        raise ScheduleError(problem, part=words[1].text, position=words[1].at, example=name)
    return parse_cron(MACROS[name], zone, dst, "")


def _unknown_macro(word: Piece) -> ScheduleError:
    known = [*MACROS, "@every", "@at", "@manual"]
    if word.text.lower() == "@reboot":
        problem = "@reboot has no meaning here: a job belongs to no single machine that starts"
        return ScheduleError(problem, part=word.text, position=word.at, example="@every 1h")
    close = difflib.get_close_matches(word.text.lower()[:64], known, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else f"use {', '.join(sorted(known))}"
    example = {"@every": "@every 90s", "@at": "@at 2027-01-01T09:00:00"}.get(close[0], close[0]) if close else "@daily"
    return ScheduleError(f'"{word.text}" is no known macro; {hint}', part=word.text, position=word.at, example=example)
