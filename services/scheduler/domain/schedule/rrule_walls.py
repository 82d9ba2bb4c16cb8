"""Wall times of a rule as instants, as the DST policy has it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule.rrule_elapsed import ElapsedRule
from services.scheduler.domain.schedule.rrule_rule import WallValue
from services.scheduler.domain.schedule.sequence import Lost, Schedule
from services.scheduler.domain.schedule.spec import DstPolicy, RepeatedTime, SkippedTime
from services.scheduler.domain.schedule.zones import Stretch, gap_note, naive, next_transition, resolve

SECOND = timedelta(seconds=1)
ONE_DAY = timedelta(days=1)
NOTHING = timedelta(0)
LOOK_AHEAD = timedelta(days=731)


class Walls(Protocol):
    """A rising sequence of wall times."""

    def walls_from(self, wall: datetime) -> Iterator[datetime]:
        """Those that are not before `wall`, rising."""
        ...


class Excluded:
    """EXDATEs: a date is the whole day, a local time that wall time, a time in UTC or another zone that instant."""

    def __init__(self, values: tuple[WallValue, ...], zone: ZoneInfo) -> None:
        self._zone = zone
        self._days = frozenset(value.wall.date() for value in values if value.is_date)
        timed = [value for value in values if not value.is_date]
        self._walls = frozenset(value.wall for value in timed if value.zone in (None, zone))
        self._instants = frozenset(
            value.wall.replace(tzinfo=value.zone).astimezone(UTC) for value in timed if value.zone not in (None, zone)
        )

    def has_day(self, wall: datetime) -> bool:
        """Whether the whole day is excluded."""
        return wall.date() in self._days

    def has(self, wall: datetime, instant: datetime) -> bool:
        """Whether the occurrence that is meant for `wall` and comes at `instant` is excluded."""
        return wall in self._walls or wall.date() in self._days or instant in self._instants


class WallSchedule(Schedule):
    """Wall times in a zone. Those that the clocks skip or repeat follow the DST policy, each on its own."""

    def __init__(
        self, walls: Walls, zone: ZoneInfo, dst: DstPolicy, excluded: Excluded, *, until: datetime | None = None
    ) -> None:
        self._walls = walls
        self._zone = zone
        self._dst = dst
        self._excluded = excluded
        self._until = until

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule."""
        best: datetime | None = None
        for wall in self._meant_from(self._earliest(moment)):
            instants = self._instants(wall)
            if instants and best is not None and instants[0] >= best:
                break
            for instant in instants:
                is_meant = instant > moment and not self._excluded.has(wall, instant)
                if is_meant and (best is None or instant < best):
                    best = instant
            if best is not None and self._dst.repeated is not RepeatedTime.BOTH:
                break
            if instants and self._until is not None and instants[0] > self._until:
                break
        return None if best is None or (self._until is not None and best > self._until) else best

    def shift_note(self, moment: datetime) -> str:
        """See Schedule."""
        policy, wall = self._dst.skipped, _wall(moment, self._zone)
        at = naive(moment) + (SECOND if policy is SkippedTime.BEFORE else NOTHING)
        after = next_transition(self._zone, at - SECOND, years=1)
        if policy is SkippedTime.SKIP or after is None or after.start != at:
            return ""
        missing = self._first_in_gap(after)
        if missing is None or next(self._meant_from(wall), None) == wall:
            return ""
        return f"{gap_note(self._zone, missing, after)}; it runs at {wall} instead"

    def lost_after(self, moment: datetime) -> Lost | None:
        """See Schedule."""
        after = None if self._dst.skipped is not SkippedTime.SKIP else next_transition(self._zone, naive(moment))
        while after is not None and after.start <= naive(moment) + LOOK_AHEAD:
            if (missing := self._first_in_gap(after)) is not None:
                return Lost(after.start.replace(tzinfo=UTC), f"{gap_note(self._zone, missing, after)}; it does not run")
            after = next_transition(self._zone, after.start)
        return None

    def _meant_from(self, wall: datetime) -> Iterator[datetime]:
        begin: datetime | None = wall
        while begin is not None:
            walls, begin = self._walls.walls_from(begin), None
            for found in walls:
                if self._excluded.has_day(found):
                    begin = datetime(found.year, found.month, found.day) + ONE_DAY  # noqa: DTZ001 - a wall time
                    break
                yield found

    def _first_in_gap(self, after: Stretch) -> datetime | None:
        begin, end = after.start + after.offset_before, after.start + after.offset
        if begin >= end:
            return None
        at = after.start.replace(tzinfo=UTC)
        meant = (wall for wall in self._meant_from(begin) if wall >= end or not self._excluded.has(wall, at))
        found = next(meant, None)
        return found if found is not None and found < end else None

    def _instants(self, wall: datetime) -> list[datetime]:
        return [instant.replace(tzinfo=UTC) for instant in resolve(self._zone, wall, self._dst)]

    def _earliest(self, moment: datetime) -> datetime:
        """The first wall time that can be meant for an instant after `moment`."""
        wall = _wall(moment, self._zone)
        first, last = (naive(wall.replace(tzinfo=self._zone, fold=fold)) for fold in (0, 1))
        if first >= last or self._dst.repeated is RepeatedTime.FIRST:
            return wall
        after = next_transition(self._zone, first)
        return wall if after is None else after.start + after.offset


class ElapsedSchedule(Schedule):
    """The instants of a sub-daily rule: clocks neither shift nor lose any."""

    def __init__(self, rule: ElapsedRule, zone: ZoneInfo, excluded: Excluded) -> None:
        self._rule = rule
        self._zone = zone
        self._excluded = excluded

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule."""
        begin: datetime | None = moment + timedelta(microseconds=1)
        while begin is not None:
            instants, begin = self._rule.instants_from(begin), None
            for found in instants:
                wall = _wall(found, self._zone)
                if self._excluded.has_day(wall):
                    midnight = datetime(wall.year, wall.month, wall.day) + ONE_DAY  # noqa: DTZ001 - a wall time
                    begin = max(midnight.replace(tzinfo=self._zone).astimezone(UTC), found + SECOND)
                    break
                if not self._excluded.has(wall, found):
                    return found
        return None


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, microsecond=0, fold=0)
