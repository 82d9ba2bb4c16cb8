"""Calendars: create, look up, change, import."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Protocol

from chronos.policy.v1 import policy_pb2
from chronos.scheduler.v1 import calendar_pb2

from libs.clock import Clock
from libs.faults import AlreadyExists, Fault, InvalidArgument, NotFound, Stale, Violation, WrongState
from libs.names import DEFAULT_NAMESPACE, is_id, slug
from libs.paging import decode_token, encode_token, page_size
from libs.rpc.validation import violations_of
from services.scheduler.domain.schedule.calendar import WEEKENDS_ID, problems_of
from services.scheduler.policies.guard import Guard
from services.scheduler.policies.questions import Extent, Subject
from services.scheduler.ports.calendars import CalendarStore, VersionedCalendar
from services.scheduler.ports.jobs import JobStore

MOST_TRIES = 8
MOST_NAMED = 5
JOBS_PER_PAGE = 500
OUTPUT_ONLY = ("created_at", "updated_at", "updated_by", "etag")
Calendar = calendar_pb2.Calendar


class ICalendarReader(Protocol):
    """Who understands iCalendar files."""

    def read(self, text: str) -> Calendar:
        """Name, dates and rules of the events of a file. Raises InvalidArgument of the field `icalendar`."""


class Calendars:
    """The calendars of all namespaces. `weekends` is built in: there everywhere, and never changed."""

    def __init__(
        self, store: CalendarStore, jobs: JobStore, reader: ICalendarReader, guard: Guard, clock: Clock
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._reader = reader
        self._guard = guard
        self._clock = clock

    async def create(self, wish: Calendar, *, namespace: str, validate_only: bool, author: str) -> Calendar:
        """Adds a calendar. Raises InvalidArgument or AlreadyExists."""
        calendar = _copy(wish)
        calendar.namespace = namespace or wish.namespace or DEFAULT_NAMESPACE
        calendar.id = wish.id or slug(wish.name)
        _check(calendar)
        now = self._clock.now()
        calendar.created_at.FromDatetime(now)
        _stamp(calendar, now=now, author=author)
        if not validate_only:
            return _public(await self._store.insert(calendar))
        if await self._store.get(calendar.namespace, calendar.id) is not None:
            raise AlreadyExists(f'there is a calendar "{calendar.id}" already; choose another id, or replace that one')
        return _public(VersionedCalendar(stored=calendar, revision=0))

    async def get(self, namespace: str, calendar_id: str) -> Calendar:
        """Looks up a calendar. Raises NotFound."""
        space = namespace or DEFAULT_NAMESPACE
        return _weekends(space) if calendar_id == WEEKENDS_ID else _public(await self._find(space, calendar_id))

    async def list(self, namespace: str, *, size: int, token: str) -> tuple[list[Calendar], str]:
        """One page of calendars, `weekends` among them, and the token of the next one. Raises InvalidArgument."""
        space, limit = namespace or DEFAULT_NAMESPACE, page_size(size)
        query = ["calendars", space]
        position = decode_token(token, query=query)
        after = str(position[0]) if position else ""
        page, has_more = await self._store.page(space, after_id=after, limit=limit)
        found = [_public(versioned) for versioned in page]
        if after < WEEKENDS_ID and (not has_more or found[-1].id > WEEKENDS_ID):
            found = sorted([*found, _weekends(space)], key=lambda calendar: calendar.id)
        has_more = has_more or len(found) > limit
        found = found[:limit]
        return found, encode_token([found[-1].id], query=query) if has_more else ""

    async def replace(
        self, namespace: str, calendar_id: str, wish: Calendar, *, validate_only: bool, author: str
    ) -> Calendar:
        """Puts a whole new calendar in place. Raises NotFound, InvalidArgument, Refused or Stale."""
        return await self._change(
            namespace, calendar_id, wish, lambda _: _copy(wish), validate_only=validate_only, author=author
        )

    async def delete(self, namespace: str, calendar_id: str, *, etag: str) -> None:
        """Removes a calendar. Raises NotFound, Refused, Stale, or WrongState when jobs use it."""
        space = namespace or DEFAULT_NAMESPACE
        _refuse_built_in(calendar_id)
        for _ in range(MOST_TRIES):
            current = await self._find(space, calendar_id)
            _check_etag(etag, current)
            await self._check_unused(space, calendar_id)
            await self._ensure_allowed(space, calendar_id)
            try:
                await self._store.delete(space, calendar_id, revision=current.revision)
            except Stale:
                continue
            return
        raise _contended(calendar_id)

    async def import_file(
        self, namespace: str, calendar_id: str, *, icalendar: str, merge: bool, name: str, author: str
    ) -> Calendar:
        """Puts the days of an iCalendar file into a calendar; creates it when there is none. Raises InvalidArgument."""
        space = namespace or DEFAULT_NAMESPACE
        _refuse_built_in(calendar_id)
        read = self._reader.read(icalendar)
        for _ in range(MOST_TRIES):
            try:
                if await self._store.get(space, calendar_id) is None:
                    read.id, read.name = calendar_id, name or read.name or calendar_id
                    return await self.create(read, namespace=space, validate_only=False, author=author)
                return await self._change(
                    space,
                    calendar_id,
                    Calendar(),
                    lambda current: _filled(current, read, merge=merge),
                    validate_only=False,
                    author=author,
                )
            except (AlreadyExists, NotFound):  # created or deleted by somebody else meanwhile
                continue
        raise _contended(calendar_id)

    async def _change(
        self,
        namespace: str,
        calendar_id: str,
        given: Calendar,
        build: Callable[[Calendar], Calendar],
        *,
        validate_only: bool,
        author: str,
    ) -> Calendar:
        space = namespace or DEFAULT_NAMESPACE
        _refuse_built_in(calendar_id)
        for _ in range(MOST_TRIES):
            current = await self._find(space, calendar_id)
            _check_identity(given, current.stored)
            _check_etag(given.etag, current)
            calendar = build(current.stored)
            calendar.namespace, calendar.id = current.stored.namespace, current.stored.id
            _check(calendar)
            calendar.created_at.CopyFrom(current.stored.created_at)
            _stamp(calendar, now=self._clock.now(), author=author)
            await self._ensure_allowed(space, calendar_id, is_trial=validate_only)
            if validate_only:
                return _public(VersionedCalendar(stored=calendar, revision=current.revision))
            try:
                return _public(await self._store.replace(calendar, revision=current.revision))
            except Stale:
                if given.etag:
                    raise
        raise _contended(calendar_id)

    async def _find(self, namespace: str, calendar_id: str) -> VersionedCalendar:
        found = await self._store.get(namespace, calendar_id)
        if found is None:
            raise NotFound(
                f'there is no calendar "{calendar_id}" in namespace "{namespace}"', metadata={"calendar": calendar_id}
            )
        return found

    async def _ensure_allowed(self, namespace: str, calendar_id: str, *, is_trial: bool = False) -> None:
        """Raises Refused when policies refuse a change of a calendar."""

        async def count() -> Extent:
            return Extent(jobs=sum([1 async for _ in self._users(namespace, calendar_id)]))

        subject = Subject(operation=policy_pb2.Policy.CALENDAR, namespace=namespace, extent=count)
        await self._guard.ensure(subject, is_trial=is_trial)

    async def _check_unused(self, namespace: str, calendar_id: str) -> None:
        users: list[str] = []
        async with aclosing(self._users(namespace, calendar_id)) as found:
            async for job_id in found:
                users.append(job_id)
                if len(users) > MOST_NAMED:
                    break
        if users:
            raise WrongState(_used_text(calendar_id, users), reason="CALENDAR_IN_USE")

    async def _users(self, namespace: str, calendar_id: str) -> AsyncGenerator[str, None]:
        """The ids of the jobs that name a calendar."""
        after, has_more = "", True
        while has_more:
            page = await self._jobs.page(namespace, after_id=after, limit=JOBS_PER_PAGE)
            for found in page.jobs:
                rule = found.stored.job.calendars
                if calendar_id in (*rule.include, *rule.exclude):
                    yield found.stored.job.id
            after, has_more = page.last_id, page.has_more


def _used_text(calendar_id: str, users: Sequence[str]) -> str:
    names = ", ".join(users[:MOST_NAMED]) + (" and others" if len(users) > MOST_NAMED else "")
    jobs = "the jobs" if len(users) > 1 else "the job"
    return f'the calendar "{calendar_id}" is used by {jobs} {names}; take it out of their calendars first'


def _copy(wish: Calendar) -> Calendar:
    calendar = Calendar()
    calendar.CopyFrom(wish)
    for name in OUTPUT_ONLY:
        calendar.ClearField(name)  # type: ignore[arg-type]
    return calendar


def _filled(current: Calendar, read: Calendar, *, merge: bool) -> Calendar:
    """The stored calendar with the days of a file, in place of its own or besides them."""
    calendar = _copy(current)
    if not merge:
        for name in ("dates", "weekdays", "rules"):
            calendar.ClearField(name)
    dates, rules = set(calendar.dates), set(calendar.rules)
    calendar.dates.extend(text for text in read.dates if text not in dates)
    calendar.rules.extend(text for text in read.rules if text not in rules)
    return calendar


def _check(calendar: Calendar) -> None:
    """Raises InvalidArgument with everything that is wrong."""
    violations = list(violations_of(calendar))
    if not violations:
        if not is_id(calendar.id):
            description = "cannot be made from this name; give an id of a-z, 0-9 and hyphens"
            violations.append(Violation(field="id", description=description))
        if calendar.id == WEEKENDS_ID:
            violations.append(Violation(field="id", description="is that of the built-in calendar; choose another one"))
        problems = problems_of(calendar.dates, calendar.weekdays, calendar.rules)
        violations += [Violation(field=problem.field, description=str(problem)) for problem in problems]
    if violations:
        raise InvalidArgument(violations)


def _check_identity(given: Calendar, current: Calendar) -> None:
    for name in ("namespace", "id"):
        if getattr(given, name) not in ("", getattr(current, name)):
            raise InvalidArgument.of(name, "cannot be changed; leave it out, or create another calendar")


def _check_etag(etag: str, current: VersionedCalendar) -> None:
    if etag and etag != str(current.revision):
        raise Stale("the calendar was changed by somebody else; get it again and repeat the change on its new etag")


def _refuse_built_in(calendar_id: str) -> None:
    if calendar_id == WEEKENDS_ID:
        raise WrongState(
            'the calendar "weekends" is built in and cannot be changed; create another one', reason="BUILT_IN_CALENDAR"
        )


def _weekends(namespace: str) -> Calendar:
    return Calendar(
        namespace=namespace,
        id=WEEKENDS_ID,
        name="Weekends",
        description="Saturdays and Sundays. Built in.",
        weekdays="SAT,SUN",
    )


def _stamp(calendar: Calendar, *, now: datetime, author: str) -> None:
    calendar.updated_at.FromDatetime(now)
    calendar.updated_by = author


def _public(versioned: VersionedCalendar) -> Calendar:
    calendar = Calendar()
    calendar.CopyFrom(versioned.stored)
    calendar.etag = str(versioned.revision) if versioned.revision else ""
    return calendar


def _contended(calendar_id: str) -> Fault:
    return Stale(f'the calendar "{calendar_id}" is being changed by many callers at once; try again')
