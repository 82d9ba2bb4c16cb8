"""Stretches of the day inside which a job runs, or does not."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.local_days import DAY, day_of, instant_of
from services.scheduler.domain.schedule.spec import WindowSpec
from services.scheduler.domain.schedule.weekdays import parse_weekdays
from services.scheduler.domain.schedule.zones import parse_timezone

WALL_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
MOST_DAYS_LOOKED_AT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One stretch on each of its days: from `start`, on the day or, with `ends_next_day`, the day after, to `end`.

    Wall times of `zone`. One that the clock skips means the instant of the jump; of one that it shows twice, the first
    begins a window and the last ends it, so that no wall time of the window is left out.
    """

    weekdays: frozenset[int]
    start: time
    end: time
    ends_next_day: bool
    first_date: date
    last_date: date
    zone: ZoneInfo

    def state(self, instant: datetime) -> tuple[bool, datetime | None]:
        """Whether it is open, and a later instant until which that stays so at least; None means for ever."""
        today = day_of(instant, self.zone)
        closes: datetime | None = None
        for day in (today - 2 * DAY, today - DAY, today):
            if not self._has(day):
                continue
            opens, end = self._stretch(day)
            if opens <= instant < end:
                closes = end if closes is None else max(closes, end)
        if closes is not None:
            return True, closes
        return False, self.next_open(instant)

    def is_open(self, instant: datetime) -> bool:
        """Whether an instant lies inside."""
        return self.state(instant)[0]

    def next_open(self, instant: datetime) -> datetime | None:
        """The first begin of a stretch after an instant."""
        day = max(day_of(instant, self.zone) - DAY, self.first_date)
        for _ in range(MOST_DAYS_LOOKED_AT):
            if day > self.last_date:
                return None
            if self._has(day):
                opens, end = self._stretch(day)
                if instant < opens < end:
                    return opens
            day += DAY
        return None

    def next_close(self, instant: datetime) -> datetime | None:
        """The first instant after another one at which it is, or becomes, closed; None when it never closes."""
        is_open, until = self.state(instant)
        while is_open and until is not None and until.year < date.max.year - 1:
            instant = until
            is_open, until = self.state(instant)
        return None if is_open else instant

    def _has(self, day: date) -> bool:
        return self.first_date <= day <= self.last_date and day.weekday() in self.weekdays

    def _stretch(self, day: date) -> tuple[datetime, datetime]:
        """Begin and end of the stretch of one of its days; empty when the clock skips all of it."""
        begin = instant_of(day, self.start, self.zone)
        return begin, instant_of(day + DAY if self.ends_next_day else day, self.end, self.zone, is_last=True)


def parse_window(spec: WindowSpec, zone: ZoneInfo, *, field: str) -> Window:
    """The window that a job means. Raises ScheduleError whose field is `<field>.start` and so on."""
    start = _parse_time(spec.start, f"{field}.start") if spec.start else time()
    is_whole = spec.end in ("", "24:00", "24:00:00")
    end = time() if is_whole else _parse_time(spec.end, f"{field}.end")
    first = _parse_date(spec.first_date, f"{field}.first_date") if spec.first_date else date(1, 1, 3)
    last = _parse_date(spec.last_date, f"{field}.last_date") if spec.last_date else date(9999, 12, 28)
    if last < first:
        raise ScheduleError(
            f"{spec.last_date} is before first_date {spec.first_date}",
            field=f"{field}.last_date", part=spec.last_date, position=0, example=spec.first_date,
        )  # fmt: skip
    try:
        days = parse_weekdays(spec.days) if spec.days.strip() else frozenset(range(7))
    except ScheduleError as error:
        raise error.within(f"{field}.days") from error
    try:
        zone = parse_timezone(spec.timezone) if spec.timezone else zone
    except ScheduleError as error:
        raise error.within(f"{field}.timezone") from error
    return Window(
        weekdays=days, start=start, end=end, ends_next_day=is_whole or end <= start, first_date=first, last_date=last,
        zone=zone,
    )  # fmt: skip


def describe_window(spec: WindowSpec) -> str:
    """A window in a few words: `22:00 to 06:00 on SAT,SUN`."""
    days = f" on {spec.days}" if spec.days else ""
    if spec.first_date or spec.last_date:
        days += f" from {spec.first_date or 'ever'} to {spec.last_date or 'ever'}"
    zone = f" ({spec.timezone})" if spec.timezone else ""
    return f"{spec.start or '00:00'} to {spec.end or '24:00'}{days}{zone}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What windows say of an instant: the reason why nothing runs then (empty: it may), and until when it is so.

    `until` is later than the instant; the same may hold after it, too. None means for ever.
    """

    reason: str
    until: datetime | None


class Windows:
    """All windows of a job. Without active ones it may run at any time outside the blackouts."""

    __slots__ = ("_active", "_active_reason", "_blackouts")

    def __init__(
        self, active: Sequence[tuple[Window, WindowSpec]], blackouts: Sequence[tuple[Window, WindowSpec]]
    ) -> None:
        self._active = [window for window, _ in active]
        names = "; ".join(describe_window(spec) for _, spec in active[:3]) + ("; …" if len(active) > 3 else "")
        self._active_reason = f"outside the active windows ({names})"
        self._blackouts = [
            (window, f"inside blackout window {number} ({describe_window(spec)})")
            for number, (window, spec) in enumerate(blackouts)
        ]

    def at(self, instant: datetime) -> Verdict:
        """What holds at an instant. The first blackout that is open is the reason, else that no active one is."""
        until: datetime | None = None
        for window, reason in self._blackouts:
            is_open, changes = window.state(instant)
            until = _earlier(until, changes)
            if is_open:
                return Verdict(reason=reason, until=until)
        if not self._active:
            return Verdict(reason="", until=until)
        states = [window.state(instant) for window in self._active]
        closes = [changes for is_open, changes in states if is_open and changes is not None]
        if any(is_open for is_open, _ in states):
            return Verdict(reason="", until=_earlier(until, max(closes, default=None)))
        for _, changes in states:
            until = _earlier(until, changes)
        return Verdict(reason=self._active_reason, until=until)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return min(one, other)


def _parse_time(text: str, field: str) -> time:
    found = WALL_TIME.fullmatch(text)
    if found is None:
        raise ScheduleError(
            f'"{text}" is no time of day; write HH:MM or HH:MM:SS', field=field, part=text, position=0, example="09:30"
        )
    hour, minute, second = (int(part or 0) for part in found.groups())
    return time(hour, minute, second)


def _parse_date(text: str, field: str) -> date:
    try:
        if DATE.fullmatch(text) is None:
            raise ValueError("not YYYY-MM-DD")
        return date.fromisoformat(text)
    except ValueError as error:
        raise ScheduleError(
            f'"{text}" is no date; write YYYY-MM-DD', field=field, part=text, position=0, example="2026-12-24"
        ) from error
