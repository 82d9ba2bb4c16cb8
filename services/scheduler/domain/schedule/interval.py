"""`@every 90s`: every so often."""

from datetime import datetime, timedelta

from libs.durations import parse_duration
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.sequence import Schedule
from services.scheduler.domain.schedule.words import Piece

SHORTEST_INTERVAL = timedelta(seconds=1)
LONGEST_INTERVAL = timedelta(days=366)
EXAMPLE = "@every 90s"


class IntervalSchedule(Schedule):
    """Every so often, counted from an anchor, so that restarts and failovers do not move it."""

    def __init__(self, interval: timedelta, anchor: datetime) -> None:
        self._interval = interval
        self._anchor = anchor

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule. The first occurrence is one interval after the anchor."""
        steps = max(0, (moment - self._anchor) // self._interval) + 1
        try:
            return self._anchor + steps * self._interval
        except OverflowError:
            return None


def parse_interval(words: list[Piece]) -> timedelta:
    """The interval of `@every` and its words. Raises ScheduleError."""
    if len(words) != 2:
        raise ScheduleError(
            "@every takes one duration, written without spaces",
            part=words[2].text if len(words) > 2 else words[0].text,
            position=words[2].at if len(words) > 2 else words[0].at,
            example=EXAMPLE,
        )
    text = words[1].text
    try:
        interval = parse_duration(text)
    except ValueError as error:
        raise ScheduleError(f"@every: {error}", part=text, position=words[1].at, example=EXAMPLE) from error
    if not SHORTEST_INTERVAL <= interval <= LONGEST_INTERVAL:
        problem = f'@every "{text}" is out of range; an interval is 1s to 366 days'
        raise ScheduleError(problem, part=text, position=words[1].at, example=EXAMPLE)
    return interval
