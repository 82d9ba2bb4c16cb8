"""Calendars in the store, and at hand."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chronos.scheduler.v1 import calendar_pb2

from services.scheduler.domain.schedule.calendar import DaySet


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionedCalendar:
    """A stored calendar with the revision that wrote it."""

    stored: calendar_pb2.Calendar
    revision: int


class CalendarStore(Protocol):
    """Calendars, strictly serializable. `weekends` is none of them: it is built in."""

    async def insert(self, calendar: calendar_pb2.Calendar) -> VersionedCalendar:
        """Adds a calendar. Raises AlreadyExists."""

    async def get(self, namespace: str, calendar_id: str) -> VersionedCalendar | None:
        """The calendar, or None."""

    async def page(self, namespace: str, *, after_id: str, limit: int) -> tuple[Sequence[VersionedCalendar], bool]:
        """The calendars whose id comes after `after_id`, in the order of ids, and whether others follow."""

    async def replace(self, calendar: calendar_pb2.Calendar, *, revision: int) -> VersionedCalendar:
        """Writes a calendar over the version that `revision` wrote. Raises Stale when there is another by now."""

    async def delete(self, namespace: str, calendar_id: str, *, revision: int) -> None:
        """Removes that version of a calendar. Raises Stale when there is another by now."""

    async def day_sets(self, namespace: str, ids: Collection[str]) -> Mapping[str, DaySet]:
        """The days of those of these calendars that there are, `weekends` included. For checks: reads the store."""


class CalendarBook(Protocol):
    """The calendars of all namespaces, at hand without waiting; a moment behind the store."""

    @property
    def version(self) -> int:
        """Grows with each change; 0 until the calendars were read once."""

    def sets(self, namespace: str) -> Mapping[str, DaySet]:
        """The calendars of a namespace by id; always with `weekends`."""

    async def changed(self, seen: int) -> tuple[int, frozenset[tuple[str, str]]]:
        """Waits until `version` is not `seen`; then the new version, and what changed since as (namespace, id)."""
