"""A whole cron expression: what its text means as wall times, without a zone.

The meaning is that of Debian's (Vixie) cron, with seconds first where there are six fields, and the usual extensions:

- A day must be in both day fields when one of them begins with `*` (so `*/2` too) or is `?`; else in either of them.
- `5/15` runs from 5 to the end of the field in steps of 15; a step belongs to its own part of a list.
- `?` stands for `*` in one of the two day fields, never in both, as in Quartz.
- `L`, `L-3`, `LW`, `15W` in day-of-month; `5L`, `FRIL`, `MON#1` in day-of-week. `15W` never leaves its month.
- `H`, `H/15`, `H(0-29)`, `H(0-29)/10` as in Jenkins: a number that stays the same for one seed. In day-of-month it is
  1 to 28.
"""

import re
from dataclasses import dataclass

from services.scheduler.domain.schedule.cron_days import DayRule
from services.scheduler.domain.schedule.cron_fields import DAY, FIELDS, HOUR, MINUTE, MONTH, WEEKDAY, FieldReader
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.words import Piece, words_of

EXAMPLE = "30 9 * * MON-FRI"
MOST_CHARACTERS = 1000
HASHED = re.compile(r"(?<![A-Za-z])[Hh](?![A-Za-z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class CronFields:
    """A cron expression as masks: bit n stands for number n.

    `is_elapsed` says that the minute or the hour begins with `*`: the schedule follows elapsed time when the clocks
    change, as in Debian's cron. Else its times are fixed ones, to which the DST policy applies.
    """

    seconds: int
    minutes: int
    hours: int
    months: int
    days: DayRule
    is_elapsed: bool


def is_hashed(text: str) -> bool:
    """Whether a cron expression has an `H` field, so that it means something else for each seed."""
    return HASHED.search(text) is not None


def read_cron(text: str, seed: str = "") -> CronFields:
    """The masks of an expression with 5 or 6 fields. Raises ScheduleError, also when it can never happen."""
    words = _fields(text)
    values = [FieldReader(kind, seed).read(word) for kind, word in zip(FIELDS, words, strict=True)]
    seconds, minutes, hours, month_days, months, weekdays = values
    begins_with_star = {kind: word.text[0] in "*?" for kind, word in zip(FIELDS, words, strict=True)}
    fields = CronFields(
        seconds=seconds.mask,
        minutes=minutes.mask,
        hours=hours.mask,
        months=months.mask,
        days=DayRule(
            month_days=month_days.mask,
            month_terms=month_days.terms,
            weekdays=weekdays.mask,
            week_terms=weekdays.terms,
            needs_both=begins_with_star[DAY] or begins_with_star[WEEKDAY],
        ),
        is_elapsed=begins_with_star[MINUTE] or begins_with_star[HOUR],
    )
    _check_happens(fields, words)
    return fields


def _fields(text: str) -> list[Piece]:
    words = words_of(text)
    strange = next((at for at, character in enumerate(text) if not character.isascii()), None)
    if strange is not None:
        raise _refusal(f'"{text[strange]}" is no character of a cron expression', Piece(text[strange], strange))
    if len(text) > MOST_CHARACTERS:
        problem = f"has {len(text)} characters; a cron expression has at most {MOST_CHARACTERS}"
        raise _refusal(problem, Piece(text[MOST_CHARACTERS:][:20], MOST_CHARACTERS))
    if words and words[0].folded.startswith(("TZ=", "CRON_TZ=")):
        raise _refusal("a time zone goes into the field timezone, not into the schedule", words[0])
    if len(words) not in (5, 6):
        raise _miscounted(words, len(text))
    if len(words) == 5:
        words.insert(0, Piece("0", words[0].at))
    day, weekday = words[DAY.index], words[WEEKDAY.index]
    if day.text == weekday.text == "?":
        raise _refusal('"?" in both day fields leaves no day; write * in one of them', weekday)
    return words


def _miscounted(words: list[Piece], length: int) -> ScheduleError:
    count = f"has {len(words)} field{'s' * (len(words) != 1)}"
    hint = ""
    if len(words) == 7:
        hint = "; there is no field for years: use start_time and end_time"
    elif words and words[0].folded == "EVERY":
        hint = "; for a span write @every and a duration"
    problem = f"{count}; cron has 5 (minute hour day-of-month month day-of-week) or 6 (seconds first){hint}"
    return _refusal(problem, words[6] if len(words) > 6 else Piece("", length))


def _check_happens(fields: CronFields, words: list[Piece]) -> None:
    months = [month for month in range(1, 13) if fields.months >> month & 1]
    if any(fields.days.happens_in(month) for month in months):
        return
    day, month, weekday = words[DAY.index], words[MONTH.index], words[WEEKDAY.index]
    wrong = weekday if day.text in ("*", "?") else day
    text = " ".join(word.text for word in (day, month, weekday))
    raise _refusal(
        f'"{text}" (day-of-month, month, day-of-week) never happens: no such date exists', wrong, example="0 0 L 2 *"
    )


def _refusal(problem: str, piece: Piece, *, example: str = EXAMPLE) -> ScheduleError:
    return ScheduleError(problem, part=piece.text, position=piece.at, example=example)
