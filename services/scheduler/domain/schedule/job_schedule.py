"""When a job runs, all its rules together.

In this order: the schedule itself; `start_time` and `end_time`; calendars, which remove a run or roll it to another
day; windows; jitter; `max_runs`, which counts what then fires. What bounds a run bounds it after each of these steps: a
run that would roll across `start_time` or `end_time` does not run, and jitter never carries one out of its windows, its
allowed days or past `end_time`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule.calendar import DaySet
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.jitter import JitteredSchedule
from services.scheduler.domain.schedule.limits import BoundedSchedule, LimitedSchedule
from services.scheduler.domain.schedule.local_days import DAY, MICROSECOND, day_of, day_start
from services.scheduler.domain.schedule.parts import Parts, parts_of
from services.scheduler.domain.schedule.removed import RemovalCode, Removed
from services.scheduler.domain.schedule.roll import FARTHEST_LOOK, CalendarSchedule, later
from services.scheduler.domain.schedule.sequence import Lost, Schedule
from services.scheduler.domain.schedule.spec import ScheduleSpec, SkippedTime
from services.scheduler.domain.schedule.windowed import WindowedSchedule

__all__ = ["JobSchedule", "Origin", "RemovalCode", "Removed", "build_schedule", "problems_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a run comes from: when the schedule alone would have it run, and what moved it, in sentences."""

    nominal: datetime
    notes: tuple[str, ...] = ()


class JobSchedule(Schedule):
    """The moments at which a job fires. Immutable in what it answers; may remember answers."""

    __slots__ = ("_bounded", "_calendar", "_fires", "_jittered", "_limited", "_windowed", "can_remove", "zone")

    def __init__(self, parts: Parts, spec: ScheduleSpec) -> None:
        self.zone: ZoneInfo = parts.zone
        self._bounded: Schedule = parts.schedule
        self._calendar: CalendarSchedule | None = None
        self._windowed: WindowedSchedule | None = None
        self._jittered: JitteredSchedule | None = None
        self._limited: LimitedSchedule | None = None
        if spec.start is not None or spec.end is not None:
            self._bounded = BoundedSchedule(parts.schedule, spec.start, spec.end)
        sequence = self._bounded
        if parts.days is not None:
            sequence = self._calendar = CalendarSchedule(
                sequence, parts.days, spec.calendars.roll, parts.zone, start=spec.start, end=spec.end
            )
        if parts.windows is not None:
            sequence = self._windowed = WindowedSchedule(sequence, parts.windows, parts.zone)
        if spec.jitter > timedelta(0):
            free = _free_until(self._calendar, self._windowed, parts.zone, spec.end)
            sequence = self._jittered = JitteredSchedule(sequence, spec.jitter, spec.seed, free)
        if spec.max_runs > 0:
            sequence = self._limited = LimitedSchedule(sequence, spec.max_runs, spec.counts_from or spec.anchor)
        self._fires: Callable[[datetime], datetime | None] = sequence.next_after
        self.can_remove = bool(self._calendar or self._windowed) or spec.dst.skipped is SkippedTime.SKIP

    @property
    def nominal(self) -> Schedule:
        """The times of the schedule itself, between `start_time` and `end_time`."""
        return self._bounded

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule. None also when nothing is allowed within 28 years of the next time of the schedule itself."""
        return self._fires(moment)

    def removed_after(self, moment: datetime, *, before: datetime | None = None) -> Removed | None:
        """The next occurrences that do not run because of a calendar, a window or a skipped wall time.

        Consecutive ones of one local day and one cause are told together; the answer is the first such stretch that
        begins after `moment` (and before `before`, if given), whatever `moment` is. Looks at most two years ahead.
        Occurrences before `start_time`, from `end_time` on and beyond `max_runs` are not told: they were never meant to
        run. No two answers, and no answer and a run, begin at the same moment.
        """
        if not self.can_remove:
            return None
        limit = later(moment, FARTHEST_LOOK)
        limit = limit if before is None else min(limit, before)
        found: Removed | None = None
        for layer in (self._calendar, self._windowed):
            candidate = layer.removed_after(moment, limit) if layer is not None else None
            if candidate is not None:
                found, limit = candidate, candidate.first
        lost = self._lost_after(moment)
        if lost is not None and lost.first < limit:
            found = lost
        if found is not None and self._limited is not None and self._limited.is_spent(found.first):
            return None
        return found

    def shift_note(self, moment: datetime) -> str:
        """See Schedule."""
        return "; ".join(self.origin(moment).notes)

    def lost_after(self, moment: datetime) -> Lost | None:
        """See Schedule."""
        return self._bounded.lost_after(moment)

    def origin(self, fires: datetime) -> Origin:
        """Where the run at `fires`, which is one, comes from."""
        occurrence = self._jittered.origin(fires) if self._jittered is not None else fires
        notes: list[str] = []
        nominal = occurrence
        if self._calendar is not None:
            sources = self._calendar.sources(occurrence)
            nominal = sources[0] if sources else occurrence
            notes += [self._move_note(source) for source in sources if source != occurrence]
        shift = self._bounded.shift_note(nominal)
        notes += [shift] if shift else []
        if fires > occurrence:
            notes.append(f"delayed {(fires - occurrence).total_seconds():g} s by jitter")
        return Origin(nominal=nominal, notes=tuple(notes))

    def _move_note(self, source: datetime) -> str:
        local = source.astimezone(self.zone)
        name = self._calendar.cause(local.date()) if self._calendar is not None else ""
        return f"moved from {local:%Y-%m-%d %H:%M:%S} by calendar {name}".replace(":00 by", " by")

    def _lost_after(self, moment: datetime) -> Removed | None:
        """The next lost wall time; one that shares its moment with a run or another occurrence is told just before."""
        while (lost := self._bounded.lost_after(moment)) is not None:
            at = lost.at
            if self._bounded.next_after(at - MICROSECOND) == at or self._fires(at - MICROSECOND) == at:
                at -= MICROSECOND
            if at > moment:
                return Removed(
                    first=at, last=at, count=1, is_count_exact=True, code=RemovalCode.DST, reason=lost.note
                )  # fmt: skip
            moment = lost.at
        return None


def build_schedule(spec: ScheduleSpec, calendars: Mapping[str, DaySet]) -> JobSchedule:
    """When the job of a spec runs. `calendars` are those of its namespace by id.

    Raises ScheduleError, whose `field` is that of the job, for what means nothing or can never fire. A schedule whose
    time is over (an `@at` or an `end_time` before the anchor, all of `max_runs` done) is fine: it has no next run.
    """
    schedule, problems = _build(spec, calendars)
    if schedule is None:
        raise problems[0]
    return schedule


def problems_of(spec: ScheduleSpec, calendars: Mapping[str, DaySet]) -> list[ScheduleError]:
    """Everything that is wrong with a spec; nothing when `build_schedule` takes it."""
    return _build(spec, calendars)[1]


def _build(spec: ScheduleSpec, calendars: Mapping[str, DaySet]) -> tuple[JobSchedule | None, list[ScheduleError]]:
    parts, problems = parts_of(spec, calendars)
    if parts is None:
        return None, problems
    schedule = JobSchedule(parts, spec)
    barren = _barren(schedule, parts, spec)
    return (None, [barren]) if barren is not None else (schedule, [])


def _barren(schedule: JobSchedule, parts: Parts, spec: ScheduleSpec) -> ScheduleError | None:
    """Why the schedule never fires after the anchor though its own times would have it; None when it does."""
    if spec.start is None and spec.end is None and parts.days is None and parts.windows is None:
        return None
    floor = spec.anchor - MICROSECOND
    first = parts.schedule.next_after(floor)
    if first is None or (spec.end is not None and spec.end <= spec.anchor):
        return None
    if schedule._bounded.next_after(floor) is None:
        field = "start_time" if spec.end is None else "end_time"
        following = parts.schedule.next_after(max(floor, spec.start - MICROSECOND)) if spec.start else first
        when = f"; its next time is {following.isoformat()}" if following is not None else ""
        return ScheduleError(
            f"the schedule has no time between start_time and end_time{when}", field=field, example="leave it out"
        )  # fmt: skip
    if schedule._calendar is not None and schedule._calendar.next_after(floor) is None:
        day = day_of(schedule._bounded.next_after(floor) or first, parts.zone)
        why = schedule._calendar.why_not(day)
        return ScheduleError(
            f"calendars and schedule leave no time to run within 28 years ({why})",
            field="calendars",
            example="include a calendar that holds a day of the schedule",
        )
    if schedule._windowed is not None and schedule._windowed.next_after(floor) is None:
        sequence = schedule._calendar or schedule._bounded
        why = schedule._windowed.why_not(sequence.next_after(floor) or first)
        field = "active_windows" if spec.active_windows else "blackout_windows"
        return ScheduleError(
            f"windows and schedule leave no time to run within 28 years (the first run would be {why})",
            field=field,
            example="a window from 00:00 to 24:00",
        )
    return None


def _free_until(
    calendar: CalendarSchedule | None, windowed: WindowedSchedule | None, zone: ZoneInfo, end: datetime | None
) -> Callable[[datetime, datetime], datetime]:
    """Up to when a run may be delayed, at most to a given moment."""

    def until(occurrence: datetime, limit: datetime) -> datetime:
        if end is not None:
            limit = min(limit, max(end, occurrence))
        if calendar is not None:
            day = day_of(occurrence, zone) + DAY
            while (midnight := day_start(day, zone)) < limit:
                if not calendar.allows(day):
                    limit = midnight
                day += DAY
        return windowed.allowed_until(occurrence, limit) if windowed is not None else limit

    return until
