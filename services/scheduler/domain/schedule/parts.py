"""The fields of a spec, each understood on its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule.calendar import DaySet
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.parse import parse_schedule
from services.scheduler.domain.schedule.roll import AllowedDays
from services.scheduler.domain.schedule.sequence import Schedule
from services.scheduler.domain.schedule.spec import CalendarSpec, Roll, ScheduleSpec, WindowSpec
from services.scheduler.domain.schedule.windows import Window, Windows, parse_window
from services.scheduler.domain.schedule.zones import parse_timezone

T = TypeVar("T")
LONGEST_JITTER = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a schedule is put together from. `days` and `windows` are None when nothing is said about them."""

    schedule: Schedule
    zone: ZoneInfo
    days: AllowedDays | None
    windows: Windows | None


class _Collector:
    """Runs parsers and keeps what they complain about."""

    def __init__(self) -> None:
        self.problems: list[ScheduleError] = []

    def attempt(self, parse: Callable[[], T]) -> T | None:
        try:
            return parse()
        except ScheduleError as error:
            self.problems.append(error)
            return None


def parts_of(spec: ScheduleSpec, calendars: Mapping[str, DaySet]) -> tuple[Parts | None, list[ScheduleError]]:
    """The parts, or None and everything that is wrong with them, field by field."""
    collector = _Collector()
    zone = collector.attempt(lambda: _zone(spec.timezone))
    name = spec.timezone if zone is not None else "UTC"
    schedule = collector.attempt(
        lambda: parse_schedule(spec.expression, name, dst=spec.dst, seed=spec.seed, anchor=spec.anchor)
    )
    _check_bounds(spec, collector)
    days = _days(spec.calendars, calendars, collector)
    near = zone or ZoneInfo("UTC")
    active = _windows(spec.active_windows, "active_windows", near, collector)
    blackouts = _windows(spec.blackout_windows, "blackout_windows", near, collector)
    if zone is None or schedule is None or collector.problems:
        return None, collector.problems
    windows = Windows(active, blackouts) if active or blackouts else None
    return Parts(schedule=schedule, zone=zone, days=days, windows=windows), []


def _zone(name: str) -> ZoneInfo:
    try:
        return parse_timezone(name)
    except ScheduleError as error:
        raise error.within("timezone") from error


def _check_bounds(spec: ScheduleSpec, collector: _Collector) -> None:
    if spec.start is not None and spec.end is not None and spec.end <= spec.start:
        text = spec.end.isoformat()
        later = (spec.start + timedelta(days=30)).isoformat()
        collector.problems.append(
            ScheduleError(f"{text} is not later than start_time", field="end_time", part=text, example=later)
        )
    if not timedelta(0) <= spec.jitter <= LONGEST_JITTER:
        collector.problems.append(
            ScheduleError("must be 0s to 24 hours", field="jitter", part=str(spec.jitter), example="300s")
        )


def _days(spec: CalendarSpec, calendars: Mapping[str, DaySet], collector: _Collector) -> AllowedDays | None:
    if not spec.names:
        if spec.roll is not Roll.SKIP:
            collector.problems.append(
                ScheduleError(
                    "there is nothing to roll away from; name calendars to include or exclude",
                    field="calendars.roll",
                    part=spec.roll.value,
                    example='exclude: ["weekends"]',
                )
            )
        return None
    include = _named(spec.include, "calendars.include", calendars, collector)
    exclude = _named(spec.exclude, "calendars.exclude", calendars, collector)
    return AllowedDays(include, exclude)


def _named(
    names: Sequence[str], field: str, calendars: Mapping[str, DaySet], collector: _Collector
) -> list[tuple[str, DaySet]]:
    found: list[tuple[str, DaySet]] = []
    for index, name in enumerate(names):
        days = calendars.get(name)
        if days is not None:
            found.append((name, days))
            continue
        collector.problems.append(
            ScheduleError(
                f'there is no calendar "{name}" in the namespace; create it first, or name another one',
                field=f"{field}[{index}]",
                part=name,
                position=0,
                example="weekends",
            )
        )
    return found


def _windows(
    specs: Sequence[WindowSpec], field: str, zone: ZoneInfo, collector: _Collector
) -> list[tuple[Window, WindowSpec]]:
    found: list[tuple[Window, WindowSpec]] = []
    for index, spec in enumerate(specs):
        name = f"{field}[{index}]"
        window = collector.attempt(lambda spec=spec, name=name: parse_window(spec, zone, field=name))  # type: ignore[misc]
        if window is not None:
            found.append((window, spec))
    return found
