"""Calendars in etcd, and a mirror of them."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from types import MappingProxyType

from chronos.scheduler.v1 import calendar_pb2, stored_job_pb2
from google.protobuf.message import DecodeError

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.signals import Signal
from libs.etcd.transactions import Compare, Delete, Put
from libs.etcd.values import KeyValue, Snapshot
from libs.faults import AlreadyExists, Stale
from libs.log import get_logger
from services.scheduler.domain.schedule.calendar import WEEKENDS, WEEKENDS_ID, DaySet, day_set
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.ports.calendars import VersionedCalendar

READS_PER_TXN = 100
JOBS_PER_PAGE = 500
MOST_CHANGES_KEPT = 10_000
BUILT_IN: Mapping[str, DaySet] = MappingProxyType({WEEKENDS_ID: WEEKENDS})
logger = get_logger()


class EtcdCalendarStore:
    """See ports.CalendarStore."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    async def insert(self, calendar: calendar_pb2.Calendar) -> VersionedCalendar:
        """See ports.CalendarStore."""
        key = keys.calendar(calendar.namespace, calendar.id)
        result = await self._etcd.txn([Compare.absent(key)], [Put(key, calendar.SerializeToString())])
        if not result.succeeded:
            raise AlreadyExists(
                f'there is a calendar "{calendar.id}" in namespace "{calendar.namespace}" already; choose another id, '
                "or replace that one",
                metadata={"calendar": calendar.id},
            )
        return VersionedCalendar(stored=calendar, revision=result.revision)

    async def get(self, namespace: str, calendar_id: str) -> VersionedCalendar | None:
        """See ports.CalendarStore."""
        found = await self._etcd.get(keys.calendar(namespace, calendar_id))
        return _versioned(found) if found is not None else None

    async def page(self, namespace: str, *, after_id: str, limit: int) -> tuple[Sequence[VersionedCalendar], bool]:
        """See ports.CalendarStore."""
        after = keys.calendar(namespace, after_id) if after_id else b""
        listing = await self._etcd.list_prefix(keys.calendars_of(namespace), after=after, limit=limit)
        return [_versioned(item) for item in listing.items], listing.has_more

    async def replace(self, calendar: calendar_pb2.Calendar, *, revision: int) -> VersionedCalendar:
        """See ports.CalendarStore."""
        key = keys.calendar(calendar.namespace, calendar.id)
        write = Put(key, calendar.SerializeToString())
        result = await self._etcd.txn([Compare.mod_revision_is(key, revision)], [write])
        if not result.succeeded:
            raise _stale(calendar.id)
        return VersionedCalendar(stored=calendar, revision=result.revision)

    async def delete(self, namespace: str, calendar_id: str, *, revision: int) -> None:
        """See ports.CalendarStore."""
        key = keys.calendar(namespace, calendar_id)
        result = await self._etcd.txn([Compare.mod_revision_is(key, revision)], [Delete(key)])
        if not result.succeeded:
            raise _stale(calendar_id)

    async def day_sets(self, namespace: str, ids: Collection[str]) -> Mapping[str, DaySet]:
        """See ports.CalendarStore."""
        found = {name: BUILT_IN[name] for name in ids if name in BUILT_IN}
        wanted = [name for name in ids if name not in BUILT_IN]
        for start in range(0, len(wanted), READS_PER_TXN):
            names = wanted[start : start + READS_PER_TXN]
            items = await self._etcd.get_many([keys.calendar(namespace, name) for name in names])
            for name, item in zip(names, items, strict=True):
                days = _days(item.key, item.value) if item is not None else None
                if days is not None:
                    found[name] = days
        return found


class EtcdCalendarBook:
    """See ports.CalendarBook. Kept up to date by `run`; while etcd is away it stays as it was."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self._sets: dict[str, dict[str, DaySet]] = {}
        self._changes: list[tuple[int, tuple[str, str]]] = []
        self._signal = Signal()

    @property
    def version(self) -> int:
        """See ports.CalendarBook."""
        return self._signal.version

    def sets(self, namespace: str) -> Mapping[str, DaySet]:
        """See ports.CalendarBook."""
        found = self._sets.get(namespace)
        return MappingProxyType(found) if found is not None else BUILT_IN

    async def changed(self, seen: int) -> tuple[int, frozenset[tuple[str, str]]]:
        """See ports.CalendarBook. After very many changes, all calendars count as changed."""
        version = await self._signal.changed(seen)
        if self._changes and self._changes[0][0] > seen + 1 and len(self._changes) >= MOST_CHANGES_KEPT:
            return version, frozenset((space, name) for space, sets in self._sets.items() for name in sets)
        return version, frozenset(name for number, name in self._changes if number > seen)

    async def ready(self) -> None:
        """Waits until the calendars were read once."""
        while not self._signal.version:
            await self._signal.changed()

    async def run(self) -> None:
        """Follows the calendars; for ever."""
        async for update in self._etcd.follow(keys.CALENDARS):
            if isinstance(update, Snapshot):
                known = [(space, name) for space, sets in self._sets.items() for name in sets if name not in BUILT_IN]
                self._sets = {}
                for item in update.items:
                    self._put(item.key, item.value)
                changed = {*known, *(keys.calendar_of_key(item.key) for item in update.items)}
            else:
                for event in update.events:
                    self._put(event.key, None if event.is_delete else event.value)
                changed = {keys.calendar_of_key(event.key) for event in update.events}
            number = self._signal.version + 1
            self._changes = [*self._changes, *((number, name) for name in sorted(changed))][-MOST_CHANGES_KEPT:]
            self._signal.fire()

    def _put(self, key: bytes, value: bytes | None) -> None:
        namespace, name = keys.calendar_of_key(key)
        sets = self._sets.setdefault(namespace, dict(BUILT_IN))
        days = _days(key, value) if value is not None else None
        if days is not None:
            sets[name] = days
        else:
            sets.pop(name, None)


class EtcdJobScan:
    """See ports.JobScan. Secrets of the jobs stay encrypted: who looks through all of them needs none."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    async def all_jobs(self) -> AsyncGenerator[Sequence[stored_job_pb2.StoredJob], None]:
        """See ports.JobScan."""
        after, has_more = b"", True
        while has_more:
            listing = await self._etcd.list_prefix(keys.JOBS, after=after, limit=JOBS_PER_PAGE)
            has_more = listing.has_more and bool(listing.items)
            if listing.items:
                after = listing.items[-1].key
                yield [stored_job_pb2.StoredJob.FromString(item.value) for item in listing.items]


def _versioned(item: KeyValue) -> VersionedCalendar:
    return VersionedCalendar(stored=calendar_pb2.Calendar.FromString(item.value), revision=item.mod_revision)


def _days(key: bytes, value: bytes) -> DaySet | None:
    try:
        calendar = calendar_pb2.Calendar.FromString(value)
        return day_set(calendar.dates, calendar.weekdays, calendar.rules)
    except (DecodeError, ScheduleError) as error:
        logger.error("stored calendar is unreadable", key=key.decode(errors="replace"), error=str(error))
        return None


def _stale(calendar_id: str) -> Stale:
    return Stale(
        f'the calendar "{calendar_id}" was changed by somebody else; get it again and repeat the change on its new etag'
    )
