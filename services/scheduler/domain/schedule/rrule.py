"""Recurrence rules of RFC 5545 as schedules.

What the RFC leaves open, or what a scheduler needs otherwise:

- Without DTSTART the job's creation is the start: it gives the time of day, and the day, that the rule does not say.
- DTSTART is where counting begins; it is an occurrence only if the rule means it.
- Rules that are daily or slower name wall times. One that the clocks skip or repeat follows the job's DST policy (the
  RFC always takes the offset before the gap, and the first of two).
- Rules that are hourly or faster count elapsed time; their BY parts look at the wall clock.
- Several RRULEs and RDATEs are united, then EXDATEs are taken away. COUNT counts what the rule means, before that.
- UNTIL as a date means to the end of that day. An EXDATE that is a date takes the whole day; an RDATE that is a date
  comes at DTSTART's time of day.
- A DTSTART in UTC or with a TZID makes the rule run in that zone, whatever the job's zone is.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.rrule_days import LAST_YEAR
from services.scheduler.domain.schedule.rrule_elapsed import ElapsedRule
from services.scheduler.domain.schedule.rrule_expand import WallList, WallRule
from services.scheduler.domain.schedule.rrule_rule import EXAMPLE, Rule, WallValue, refusal
from services.scheduler.domain.schedule.rrule_text import Recurrence, read_recurrence
from services.scheduler.domain.schedule.rrule_walls import ElapsedSchedule, Excluded, WallSchedule
from services.scheduler.domain.schedule.sequence import Lost, Schedule
from services.scheduler.domain.schedule.spec import DstPolicy

FIRST_MOMENT = datetime(1899, 1, 1, tzinfo=UTC)
LAST_MOMENT = datetime(LAST_YEAR, 12, 31, tzinfo=UTC)
END_OF_DAY = time(23, 59, 59)
SECOND = timedelta(seconds=1)


class RecurrenceSchedule(Schedule):
    """The union of rules and RDATEs. Remembers the last answer."""

    def __init__(self, parts: list[Schedule]) -> None:
        self._parts = parts
        self._asked: datetime | None = None
        self._answer: datetime | None = None

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule. A rule without COUNT is not followed from its start, but from `moment` on."""
        if moment > LAST_MOMENT:
            return None
        if moment != self._asked:
            begin = max(moment, FIRST_MOMENT)
            found = (part.next_after(begin) for part in self._parts)
            self._answer = min((each for each in found if each is not None), default=None)
            self._asked = moment
        return self._answer

    def shift_note(self, moment: datetime) -> str:
        """See Schedule."""
        return next(filter(None, (part.shift_note(moment) for part in self._parts)), "")

    def lost_after(self, moment: datetime) -> Lost | None:
        """See Schedule."""
        found = (part.lost_after(moment) for part in self._parts)
        return min((each for each in found if each is not None), key=lambda lost: lost.at, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """What the rules of a text share."""

    start: datetime
    zone: ZoneInfo
    dst: DstPolicy
    excluded: Excluded
    instant: datetime


def parse_rrule(text: str, zone: ZoneInfo, *, dst: DstPolicy, anchor: datetime) -> Schedule:
    """The schedule that DTSTART, RRULE, RDATE and EXDATE properties mean.

    Raises ScheduleError with the place of what is wrong; so it does for a rule that never happens. `anchor` (aware,
    cut to whole seconds) is the start of a text without DTSTART.
    """
    recurrence = read_recurrence(text)
    frame = _frame(recurrence, zone, dst, anchor)
    parts = [_part(rule, frame) for rule in recurrence.rules]
    walls = [_extra_wall(value, frame) for value in recurrence.extra]
    if walls:
        parts.append(WallSchedule(WallList(walls), frame.zone, dst, frame.excluded))
    schedule = RecurrenceSchedule(parts)
    if schedule.next_after(FIRST_MOMENT) is None:
        problem = "never happens: EXDATE or the DST policy takes every occurrence away"
        raise ScheduleError(problem, part=text, position=0, example=EXAMPLE)
    return schedule


def _frame(recurrence: Recurrence, zone: ZoneInfo, dst: DstPolicy, anchor: datetime) -> _Frame:
    if recurrence.start is None:
        wall = anchor.astimezone(zone).replace(tzinfo=None, microsecond=0, fold=0)
        instant = anchor.replace(microsecond=0)
    else:
        zone = recurrence.start.zone or zone
        wall = recurrence.start.wall
        instant = wall.replace(tzinfo=zone).astimezone(UTC)
    excluded = Excluded(recurrence.excluded, zone)
    return _Frame(start=wall, zone=zone, dst=dst, excluded=excluded, instant=instant)


def _part(rule: Rule, frame: _Frame) -> Schedule:
    wall, instant = _until(rule, frame)
    if rule.freq.is_sub_daily:
        elapsed = ElapsedRule(rule, frame.instant, frame.zone, until=instant)
        _refuse_if_empty(rule, frame, is_empty=next(elapsed.instants_from(frame.instant), None) is None)
        return ElapsedSchedule(elapsed, frame.zone, frame.excluded)
    walls = WallRule(rule, frame.start, until=wall)
    _refuse_if_empty(rule, frame, is_empty=next(walls.walls_from(frame.start), None) is None)
    return WallSchedule(walls, frame.zone, frame.dst, frame.excluded, until=instant)


def _until(rule: Rule, frame: _Frame) -> tuple[datetime | None, datetime | None]:
    """The last wall time and the last instant at which a rule may run."""
    value = rule.until
    if value is None:
        return None, None
    if value.zone is not None:
        instant = value.wall.replace(tzinfo=value.zone).astimezone(UTC)
        return instant.astimezone(frame.zone).replace(tzinfo=None) + timedelta(days=2), instant
    wall = datetime.combine(value.wall.date(), END_OF_DAY) if value.is_date else value.wall
    last = wall.replace(tzinfo=frame.zone, fold=1).astimezone(UTC)
    return wall, last if rule.freq.is_sub_daily else None


def _refuse_if_empty(rule: Rule, frame: _Frame, *, is_empty: bool) -> None:
    if not is_empty:
        return
    if rule.until is not None:
        problem = f"the rule never happens from its start ({frame.start:%Y-%m-%d %H:%M:%S}) to UNTIL"
    else:
        problem = "the rule never happens, or less than once in 20,000 of its periods"
        problem = problem if rule.freq.is_sub_daily else "the rule never happens: no such day exists"
    raise refusal(rule.piece, problem, EXAMPLE)


def _extra_wall(value: WallValue, frame: _Frame) -> datetime:
    if value.is_date:
        return datetime.combine(value.wall.date(), frame.start.time())
    if value.zone in (None, frame.zone):
        return value.wall
    return value.wall.replace(tzinfo=value.zone).astimezone(frame.zone).replace(tzinfo=None)
