"""`@at 2027-01-01T09:00:00`: one moment."""

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule import zones
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.sequence import Lost, Schedule
from services.scheduler.domain.schedule.spec import DstPolicy, SkippedTime
from services.scheduler.domain.schedule.words import Piece

EXAMPLE = "@at 2027-01-01T09:00:00"
FORM = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?(Z|([+-])(\d{2}):?(\d{2}))?", re.ASCII
)
LOST_WITHIN = timedelta(days=731)


class OnceSchedule(Schedule):
    """A moment, or a wall time of a zone that the DST policy turns into none, one or two moments."""

    def __init__(self, when: datetime, zone: ZoneInfo, dst: DstPolicy) -> None:
        """`when` is aware, or naive when it is a wall time of the zone."""
        self._zone = zone
        self._wall = when if when.tzinfo is None else None
        found = zones.resolve(zone, when, dst) if when.tzinfo is None else (zones.naive(when),)
        self._moments = tuple(instant.replace(tzinfo=UTC) for instant in found)
        self._gap = zones.gap_at(zone, when) if when.tzinfo is None else None
        self._is_lost = self._gap is not None and dst.skipped is SkippedTime.SKIP

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule."""
        return next((each for each in self._moments if each > moment), None)

    def shift_note(self, moment: datetime) -> str:
        """See Schedule."""
        if self._gap is None or self._wall is None or moment not in self._moments:
            return ""
        return zones.gap_note(self._zone, self._wall, self._gap)

    def lost_after(self, moment: datetime) -> Lost | None:
        """See Schedule."""
        if self._gap is None or self._wall is None or not self._is_lost:
            return None
        at = self._gap.start.replace(tzinfo=UTC)
        return (
            Lost(at, zones.gap_note(self._zone, self._wall, self._gap)) if moment < at <= moment + LOST_WITHIN else None
        )


def parse_once(words: list[Piece]) -> datetime:
    """The time that `@at` and its words name: aware with an offset or Z, else naive. Raises ScheduleError."""
    if len(words) != 2:
        wrong = words[2] if len(words) > 2 else words[0]
        problem = "@at takes one date and time, joined by T"
        raise ScheduleError(problem, part=wrong.text, position=wrong.at, example=EXAMPLE)
    word = words[1]
    found = FORM.fullmatch(word.folded)
    if found is None:
        problem = f'@at "{word.text}" is no date and time'
        raise ScheduleError(problem, part=word.text, position=word.at, example=EXAMPLE)
    try:
        when = _moment(found)
    except (ValueError, OverflowError) as error:
        problem = f'@at "{word.text}" does not exist: {error}'
        raise ScheduleError(problem, part=word.text, position=word.at, example=EXAMPLE) from error
    if not 1970 <= when.year <= 9000:
        problem = f'@at "{word.text}" is out of range; years are 1970 to 9000'
        raise ScheduleError(problem, part=word.text, position=word.at, example=EXAMPLE)
    return when


def _moment(found: re.Match[str]) -> datetime:
    year, month, day, hour, minute = (int(found.group(n)) for n in range(1, 6))
    second, micro = int(found.group(6) or 0), int((found.group(7) or "").ljust(6, "0"))
    wall = datetime(year, month, day, hour, minute, second, micro)  # noqa: DTZ001 - a wall time
    if found.group(8) is None:
        return wall
    if found.group(8) == "Z":
        return wall.replace(tzinfo=UTC)
    sign = -1 if found.group(9) == "-" else 1
    return wall.replace(tzinfo=timezone(sign * timedelta(hours=int(found.group(10)), minutes=int(found.group(11)))))
