"""What a schedule has at a time that a person names: a run, a run that a rule takes away, or nothing."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.scheduler.domain.schedule.job_schedule import JobSchedule, RemovalCode, Removed, build_schedule
from services.scheduler.domain.schedule.sequence import last_before
from services.scheduler.domain.schedule.spec import CalendarSpec, Roll, ScheduleSpec

MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
LONGEST_DAY = timedelta(hours=25)
FARTHEST_ROLL = timedelta(days=32)
NEAR = timedelta(hours=1)
MOST_STRETCHES = 500
MOST_DELAYED = 3
MOST_ROLLED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a schedule has at a time.

    `due_at` is the run that is meant. When there is none, `removed_at` may be one that the schedule would have without
    the job's rules, and `removed` the sentence that says which rule takes it away. `notes` say what moved the run.
    `previous` is the last run up to that time, `following` the first one after it. `problem` says why nothing of that
    is known, if it is not.
    """

    due_at: datetime | None = None
    notes: tuple[str, ...] = ()
    removed_at: datetime | None = None
    removed: str = ""
    previous: datetime | None = None
    following: datetime | None = None
    problem: str = ""


def meant(at: datetime) -> tuple[datetime, datetime]:
    """What a person means by a time: that second, or that minute when it is a whole one. The end is exclusive."""
    begin = at.replace(microsecond=0)
    return begin, begin + (MINUTE if at.second == 0 and at.microsecond == 0 else SECOND)


def planned(schedule: JobSchedule, spec: ScheduleSpec, at: datetime, *, floor: datetime) -> Planned:
    """What the schedule of a spec has at a time. No run up to `floor` counts as `previous`."""
    begin, end = meant(at)
    run = _by_nominal_time(schedule, spec, begin, end)
    if run is None and (moment := schedule.next_after(begin - MICROSECOND)) is not None and moment < end:
        run = moment
    if run is not None:
        return Planned(
            due_at=run,
            notes=schedule.origin(run).notes,
            previous=last_before(schedule, run + MICROSECOND, floor=floor),
            following=schedule.next_after(run),
        )
    removed_at, removed = _taken_away(schedule, spec, begin, end)
    return Planned(
        removed_at=removed_at,
        removed=removed,
        notes=() if removed else _clock_changes(schedule, begin, end),
        previous=last_before(schedule, end, floor=floor),
        following=schedule.next_after(end - MICROSECOND),
    )


def _by_nominal_time(schedule: JobSchedule, spec: ScheduleSpec, begin: datetime, end: datetime) -> datetime | None:
    """The run that the schedule alone would have had then, if jitter or a calendar moved it."""
    looks = [(begin - MICROSECOND, MOST_DELAYED)]
    if spec.calendars.roll is Roll.PREVIOUS_BUSINESS_DAY and spec.calendars.names:
        looks.append((begin - FARTHEST_ROLL, MOST_ROLLED))
    for after, count in looks:
        moment = schedule.next_after(after)
        while moment is not None and count > 0:
            if begin <= schedule.origin(moment).nominal < end:
                return moment
            moment, count = schedule.next_after(moment), count - 1
    return None


def _taken_away(
    schedule: JobSchedule, spec: ScheduleSpec, begin: datetime, end: datetime
) -> tuple[datetime | None, str]:
    """A run that would be there without the job's rules, and the rule; None and nothing when there is none."""
    moment = _unbounded(spec).next_after(begin - MICROSECOND)
    if moment is None or moment >= end:
        lost = _removal(schedule, begin, code=RemovalCode.DST)
        return (lost.first, lost.reason) if lost is not None else (None, "")
    removal = _removal(schedule, moment)
    if removal is not None:
        return moment, removal.reason
    return moment, _limit(schedule, spec, moment)


def _limit(schedule: JobSchedule, spec: ScheduleSpec, moment: datetime) -> str:
    if spec.start is not None and moment < spec.start:
        return f"that is before its start_time {spec.start.isoformat()}"
    if spec.end is not None and moment >= spec.end:
        return f"that is not before its end_time {spec.end.isoformat()}"
    if spec.max_runs and schedule.next_after(moment) is None:
        return f"its max_runs of {spec.max_runs:,} were used up"
    if spec.calendars.roll is not Roll.SKIP:
        return "its calendars move that run to another day, on which there is one already, or none is allowed"
    return "its rules take it away"


def _removal(schedule: JobSchedule, moment: datetime, *, code: RemovalCode | None = None) -> Removed | None:
    """The removed stretch that holds a moment; a lost wall time may be told a microsecond before its own."""
    cursor = moment - LONGEST_DAY
    for _ in range(MOST_STRETCHES):
        removed = schedule.removed_after(cursor, before=moment + 2 * MICROSECOND)
        if removed is None:
            return None
        if removed.first - MICROSECOND <= moment <= removed.last + MICROSECOND and code in (None, removed.code):
            return removed
        cursor = removed.first
    return None


def _clock_changes(schedule: JobSchedule, begin: datetime, end: datetime) -> tuple[str, ...]:
    """Wall times that the clocks skipped near by: a person may have meant one."""
    lost = schedule.lost_after(begin - NEAR)
    return (lost.note,) if lost is not None and lost.at < end + NEAR else ()


def _unbounded(spec: ScheduleSpec) -> JobSchedule:
    """The schedule without the job's other rules."""
    plain = replace(
        spec,
        start=None,
        end=None,
        max_runs=0,
        jitter=timedelta(0),
        active_windows=(),
        blackout_windows=(),
        calendars=CalendarSpec(),
    )
    return build_schedule(plain, {})
