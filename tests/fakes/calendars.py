"""In-memory stand-ins for calendars and for scans of all jobs."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

from chronos.scheduler.v1 import calendar_pb2, stored_job_pb2

from libs.faults import AlreadyExists, Stale
from services.scheduler.domain.schedule.calendar import WEEKENDS, DaySet, day_set
from services.scheduler.ports.calendars import VersionedCalendar
from tests.fakes.scheduler import FakeJobStore


class FakeCalendarStore:
    """Calendars in a dict; revisions count up."""

    def __init__(self) -> None:
        self.calendars: dict[tuple[str, str], VersionedCalendar] = {}
        self.revision = 100

    def _write(self, calendar: calendar_pb2.Calendar) -> VersionedCalendar:
        self.revision += 1
        copy = calendar_pb2.Calendar()
        copy.CopyFrom(calendar)
        versioned = VersionedCalendar(stored=copy, revision=self.revision)
        self.calendars[calendar.namespace, calendar.id] = versioned
        return versioned

    async def insert(self, calendar: calendar_pb2.Calendar) -> VersionedCalendar:
        if (calendar.namespace, calendar.id) in self.calendars:
            raise AlreadyExists("taken")
        return self._write(calendar)

    async def get(self, namespace: str, calendar_id: str) -> VersionedCalendar | None:
        return self.calendars.get((namespace, calendar_id))

    async def page(self, namespace: str, *, after_id: str, limit: int) -> tuple[Sequence[VersionedCalendar], bool]:
        ids = sorted(name for space, name in self.calendars if space == namespace and name > after_id)
        return [self.calendars[namespace, name] for name in ids[:limit]], len(ids) > limit

    async def replace(self, calendar: calendar_pb2.Calendar, *, revision: int) -> VersionedCalendar:
        self._check(calendar.namespace, calendar.id, revision)
        return self._write(calendar)

    async def delete(self, namespace: str, calendar_id: str, *, revision: int) -> None:
        self._check(namespace, calendar_id, revision)
        del self.calendars[namespace, calendar_id]

    async def day_sets(self, namespace: str, ids: Collection[str]) -> Mapping[str, DaySet]:
        found = {name: self.calendars[namespace, name].stored for name in ids if (namespace, name) in self.calendars}
        sets = {name: day_set(found.dates, found.weekdays, found.rules) for name, found in found.items()}
        return {**sets, **({"weekends": WEEKENDS} if "weekends" in ids else {})}

    def _check(self, namespace: str, calendar_id: str, revision: int) -> None:
        known = self.calendars.get((namespace, calendar_id))
        if known is None or known.revision != revision:
            raise Stale("changed")


class FakeCalendarBook:
    """Calendars by namespace; `put` changes one."""

    def __init__(self, sets: Mapping[str, DaySet] | None = None, *, namespace: str = "default") -> None:
        self._sets: dict[str, dict[str, DaySet]] = {namespace: {"weekends": WEEKENDS, **(sets or {})}}
        self._changes: list[tuple[str, str]] = []
        self._condition = asyncio.Condition()

    @property
    def version(self) -> int:
        return 1 + len(self._changes)

    def sets(self, namespace: str) -> Mapping[str, DaySet]:
        return self._sets.get(namespace, {"weekends": WEEKENDS})

    async def put(self, namespace: str, calendar_id: str, days: DaySet) -> None:
        self._sets.setdefault(namespace, {"weekends": WEEKENDS})[calendar_id] = days
        self._changes.append((namespace, calendar_id))
        async with self._condition:
            self._condition.notify_all()

    async def changed(self, seen: int) -> tuple[int, frozenset[tuple[str, str]]]:
        async with self._condition:
            await self._condition.wait_for(lambda: self.version != seen)
        return self.version, frozenset(self._changes[max(0, seen - 1) :])


class FakeJobScan:
    """All jobs of a fake store, in pages of two."""

    def __init__(self, jobs: FakeJobStore) -> None:
        self._jobs = jobs

    async def all_jobs(self) -> AsyncGenerator[Sequence[stored_job_pb2.StoredJob], None]:
        stored = [versioned.stored for _, versioned in sorted(self._jobs.jobs.items())]
        for start in range(0, len(stored), 2):
            yield stored[start : start + 2]
