"""Cron in a zone: from a moment to the next one.

A zone is walked stretch by stretch, each with one offset, so that within a stretch wall times and instants run side by
side. What the DST policy says only matters where two stretches meet:

- A fixed time (neither minute nor hour begins with `*`) in a gap runs at the first instant after it (`next_valid`), in
  the last whole second before it (`before`), or not (`skip`); several in one gap run once. One that comes twice runs
  the first time, the last time, or both times.
- Schedules that follow elapsed time run whenever a clock on the wall shows a matching time: in the gap there is no such
  moment, in the hour that comes twice there are two.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule import zones
from services.scheduler.domain.schedule.cron_text import CronFields, is_hashed, read_cron
from services.scheduler.domain.schedule.cron_walls import CronWalls
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.sequence import Lost, Schedule
from services.scheduler.domain.schedule.spec import DstPolicy, RepeatedTime, SkippedTime
from services.scheduler.domain.schedule.zones import SECOND, Stretch

SEARCH_YEARS = 100
"""How far ahead a next occurrence is looked for: more than twice the longest wait of an expression, 40 years."""
LOST_YEARS = 2
AS_ELAPSED = DstPolicy(skipped=SkippedTime.SKIP, repeated=RepeatedTime.BOTH)
REFERENCE = datetime(2026, 1, 1, tzinfo=UTC)
FULL_DAY = (1 << 24) - 1
TWO_DAYS = timedelta(days=2)
EARLIEST = zones.year_start(zones.FIRST_YEAR) + zones.DAY


class CronSchedule(Schedule):
    """A cron expression in a zone. Remembers its last answers, which jobs with the same schedule share."""

    def __init__(self, fields: CronFields, zone: ZoneInfo, dst: DstPolicy) -> None:
        self._fields = fields
        self._walls = CronWalls(fields)
        self._zone = zone
        self._dst = AS_ELAPSED if fields.is_elapsed else dst
        self._stretch: Stretch | None = None
        self._answered: tuple[datetime, datetime | None] | None = None
        self._lost: tuple[datetime, Lost | None] | None = None

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule. Searches 100 years at most."""
        answered = self._answered  # read once: checks of other jobs that share this object run in a thread
        if answered is not None and answered[0] == moment:
            return answered[1]
        at = zones.naive(moment, to_second=True)
        found = self._first_at(max(at + SECOND, EARLIEST)) if at.year <= zones.LAST_YEAR else None
        answer = None if found is None else found.replace(tzinfo=UTC)
        self._answered = (moment, answer)
        return answer

    def shift_note(self, moment: datetime) -> str:
        """See Schedule. Also says so when something that was moved runs together with something that was not."""
        if self._dst.skipped is SkippedTime.SKIP:
            return ""
        at = zones.naive(moment)
        stretch = self._stretch_at(at)
        if self._dst.skipped is SkippedTime.BEFORE:
            if not (stretch.skips_after and at == stretch.end - SECOND):
                return ""
            stretch = self._stretch_at(stretch.end)
        if at > stretch.start:
            return ""
        wall = self._skipped_before(stretch)
        return "" if wall is None else zones.gap_note(self._zone, wall, stretch)

    def lost_after(self, moment: datetime) -> Lost | None:
        """See Schedule. A schedule that runs in every hour loses nothing where the clocks only jump some hours."""
        if self._dst.skipped is not SkippedTime.SKIP or self._zone.utcoffset(None) is not None:
            return None
        if self._lost is not None:
            asked, lost = self._lost
            if lost is not None and asked <= moment < lost.at:
                return lost
        lost = self._find_lost(max(zones.naive(moment), EARLIEST))
        self._lost = (moment, lost)
        return lost

    def _find_lost(self, at: datetime) -> Lost | None:
        limit = at.year + LOST_YEARS
        while at.year <= limit:
            stretch = zones.next_transition(self._zone, at, years=limit - at.year)
            if stretch is None:
                return None
            wall = self._skipped_before(stretch)
            if wall is not None and not self._runs_on(stretch):
                return Lost(stretch.start.replace(tzinfo=UTC), zones.gap_note(self._zone, wall, stretch))
            at = stretch.start
        return None

    def _runs_on(self, stretch: Stretch) -> bool:
        """Whether elapsed time alone decides, so that a gap before the stretch takes nothing away."""
        is_day_lost = stretch.offset - stretch.offset_before >= zones.DAY
        return self._fields.is_elapsed and self._fields.hours == FULL_DAY and not is_day_lost

    def _first_at(self, at: datetime) -> datetime | None:
        """The first occurrence not before an instant."""
        limit = min(at.year + SEARCH_YEARS, zones.LAST_YEAR)
        while at.year <= limit:
            stretch = self._stretch_at(at)
            if at == stretch.start and self._moves_to(stretch):
                return at
            wall = self._walls.first_at(self._wall_from(stretch, at))
            if wall is None:
                return None
            if wall < self._wall_to(stretch):
                return wall - stretch.offset
            if self._dst.skipped is SkippedTime.BEFORE and wall < stretch.end + stretch.offset_after:
                return stretch.end - SECOND
            at = _ahead(stretch, at, wall)
        return None

    def _moves_to(self, stretch: Stretch) -> bool:
        """Whether a fixed time in the gap before a stretch runs when the stretch begins."""
        return self._dst.skipped is SkippedTime.NEXT_VALID and self._skipped_before(stretch) is not None

    def _wall_from(self, stretch: Stretch, at: datetime) -> datetime:
        wall = at + stretch.offset
        if self._dst.repeated is RepeatedTime.FIRST:
            return max(wall, stretch.start + stretch.offset_before)
        return wall

    def _wall_to(self, stretch: Stretch) -> datetime:
        if self._dst.repeated is RepeatedTime.LAST:
            return stretch.end + min(stretch.offset, stretch.offset_after)
        return stretch.end + stretch.offset

    def _skipped_before(self, stretch: Stretch) -> datetime | None:
        """The first wall time of the expression in the gap right before a stretch."""
        if not stretch.skips_before:
            return None
        wall = self._walls.first_at(stretch.start + stretch.offset_before)
        return wall if wall is not None and wall < stretch.start + stretch.offset else None

    def _stretch_at(self, at: datetime) -> Stretch:
        stretch = self._stretch
        if stretch is None or not stretch.start <= at < stretch.end:
            stretch = self._stretch = zones.stretch_at(self._zone, at)
        return stretch


def _ahead(stretch: Stretch, at: datetime, wall: datetime) -> datetime:
    """Where to look on, when the next wall time lies beyond the stretch.

    No wall time matches between `at` and `wall`. Offsets differ by a day at most, so that clocks which are set back
    after the stretch cannot show a time from before `at`, when that is two days from its end; then all instants up to
    two days before `wall` can be passed over.
    """
    if stretch.end - at < TWO_DAYS:
        return stretch.end
    return max(stretch.end, wall - TWO_DAYS)


def parse_cron(text: str, zone: ZoneInfo, dst: DstPolicy, seed: str) -> CronSchedule:
    """The schedule of a cron expression. Raises ScheduleError. Without `H`, equal ones give one shared object."""
    return _build(text, zone, dst, seed) if is_hashed(text) else _shared(text, zone, dst)


@lru_cache(maxsize=65536)
def _shared(text: str, zone: ZoneInfo, dst: DstPolicy) -> CronSchedule:
    return _build(text, zone, dst, "")


def _build(text: str, zone: ZoneInfo, dst: DstPolicy, seed: str) -> CronSchedule:
    schedule = CronSchedule(read_cron(text, seed), zone, dst)
    if zone.utcoffset(None) is None and schedule.next_after(REFERENCE) is None:
        raise ScheduleError(
            f'"{text}" never happens in {zone.key}: the clocks skip that time on each of its days',
            part=text.strip(),
            position=len(text) - len(text.lstrip()),
            example="30 9 * * *",
        )
    return schedule
