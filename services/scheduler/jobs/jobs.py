"""Jobs: create, look up, change."""

import asyncio
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from chronos.policy.v1 import policy_pb2
from chronos.scheduler.v1 import job_pb2, job_version_service_pb2, stored_job_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from libs.clock import Clock
from libs.faults import Fault, InvalidArgument, NotFound, Stale, Violation
from libs.names import DEFAULT_NAMESPACE
from libs.paging import decode_token, encode_token, page_size
from services.scheduler.convert.firing import calendars_of
from services.scheduler.domain.filter import FilterError, JobFilter, parse_filter
from services.scheduler.domain.schedule.calendar import DaySet
from services.scheduler.jobs import masks, resource
from services.scheduler.jobs.secrets import keep_secrets
from services.scheduler.policies.guard import Guard
from services.scheduler.policies.questions import Subject, one_job
from services.scheduler.ports.jobs import JobStore, Versioned

MOST_TRIES = 8
Job = job_pb2.Job
Policy = policy_pb2.Policy
Version = job_version_service_pb2.JobVersion


class DependencyRules(Protocol):
    """Who knows which jobs depend on which."""

    async def check(self, job: Job) -> Sequence[Violation]:
        """What is wrong with the dependencies of a job."""

    async def check_delete(self, namespace: str, job_id: str) -> None:
        """Raises WrongState when other jobs depend on the job."""


class CalendarSets(Protocol):
    """Calendars as etcd has them."""

    async def day_sets(self, namespace: str, ids: Collection[str]) -> Mapping[str, DaySet]:
        """Those of these ids that there are."""


class CalendarView(Protocol):
    """The calendars that this replica knows of."""

    def sets(self, namespace: str) -> Mapping[str, DaySet]:
        """Those of a namespace, by id; perhaps a moment behind etcd."""


class Jobs:
    """The jobs of all namespaces."""

    def __init__(
        self,
        store: JobStore,
        *,
        calendars: CalendarSets,
        calendar_view: CalendarView,
        dependencies: DependencyRules,
        guard: Guard,
        clock: Clock,
    ) -> None:
        self._store = store
        self._calendars = calendars
        self._calendar_view = calendar_view
        self._dependencies = dependencies
        self._guard = guard
        self._clock = clock

    async def create(
        self, job: job_pb2.Job, *, namespace: str, request_id: str, validate_only: bool, author: str
    ) -> job_pb2.Job:
        """Adds a job. Raises InvalidArgument, Refused or AlreadyExists."""
        now = self._clock.now()
        filled = resource.with_defaults(job)
        filled.namespace = namespace or filled.namespace
        keep_secrets(filled, job_pb2.Job())
        await self._check(filled, now=now, is_new_time=True)
        filled.uid = str(uuid.uuid4())
        filled.created_at.FromDatetime(now)
        stored = stored_job_pb2.StoredJob(job=filled, request_id=request_id, change=Version.CREATED)
        _mark_times(stored, None, now=now)
        _stamp(stored.job, now=now, author=author, version=1)
        subject = Subject(operation=Policy.CREATE, namespace=filled.namespace, stored=stored, extent=one_job())
        await self._guard.ensure(subject, is_trial=validate_only)
        if validate_only:
            return self._public(Versioned(stored=stored, revision=0))
        return self._public(await self._store.insert(stored))

    async def get(self, namespace: str, job_id: str) -> job_pb2.Job:
        """Looks up a job. Raises NotFound."""
        return self._public(await self.find(namespace, job_id))

    async def find(self, namespace: str, job_id: str) -> Versioned:
        """The stored job, secrets included. Raises NotFound."""
        space = namespace or DEFAULT_NAMESPACE
        found = await self._store.get(space, job_id)
        if found is None:
            raise NotFound(f'there is no job "{job_id}" in namespace "{space}"', metadata={"job": job_id})
        return found

    async def list(self, namespace: str, *, size: int, token: str, filter_text: str) -> tuple[list[job_pb2.Job], str]:
        """One page of jobs, and the token of the next one. Raises InvalidArgument."""
        space = namespace or DEFAULT_NAMESPACE
        wanted = _filter(filter_text)
        query = ["jobs", space, filter_text]
        position = decode_token(token, query=query)
        after = str(position[0]) if position else ""
        limit = page_size(size)
        found: list[Versioned] = []
        has_more = True
        while has_more and len(found) < limit:
            page = await self._store.page(space, after_id=after, limit=limit - len(found))
            found += [
                versioned
                for versioned in page.jobs
                if wanted.matches(is_enabled=versioned.stored.job.enabled, tags=versioned.stored.job.tags)
            ]
            after, has_more = page.last_id, page.has_more
        next_token = encode_token([after], query=query) if has_more else ""
        return [self._public(versioned) for versioned in found], next_token

    async def replace(
        self, namespace: str, job_id: str, job: Job, *, validate_only: bool, author: str, comment: str = ""
    ) -> Job:
        """Puts a whole new job in place. Raises NotFound, InvalidArgument, Refused or Stale."""
        change = _Change(build=lambda _: job, author=author, comment=comment)
        return await self._change(namespace, job_id, job, change, validate_only=validate_only)

    async def update(
        self,
        namespace: str,
        job_id: str,
        job: Job,
        mask: FieldMask,
        *,
        validate_only: bool,
        author: str,
        comment: str = "",
    ) -> Job:
        """Changes the fields that the mask names. Raises NotFound, InvalidArgument, Refused or Stale."""
        paths = masks.paths_of(mask, job)
        change = _Change(build=lambda current: masks.merge(current, job, paths), author=author, comment=comment)
        return await self._change(namespace, job_id, job, change, validate_only=validate_only)

    async def restore(
        self, namespace: str, job_id: str, version: stored_job_pb2.StoredJob, *, etag: str, author: str, comment: str
    ) -> Job:
        """Makes a job what it was at a version, secrets too. Raises NotFound, InvalidArgument, Refused or Stale."""
        change = _Change(
            build=lambda _: version.job, author=author, comment=comment, rolled_back_to=version.job.version
        )
        return await self._change(namespace, job_id, Job(etag=etag), change, validate_only=False)

    async def set_enabled(self, namespace: str, job_id: str, *, is_enabled: bool, author: str) -> job_pb2.Job:
        """Lets a job fire, or keeps it from firing, which no policy refuses. Idempotent. Raises NotFound or Refused."""
        if (current := await self.find(namespace, job_id)).stored.job.enabled == is_enabled:
            return self._public(current)
        wish = job_pb2.Job(enabled=is_enabled)
        change = _Change(
            build=lambda stored: masks.merge(stored, wish, ["enabled"]), author=author, comment="", is_switch=True
        )
        return await self._change(namespace, job_id, wish, change, validate_only=False)

    async def delete(self, namespace: str, job_id: str, *, etag: str) -> None:
        """Removes a job. Raises NotFound, Refused or Stale."""
        for _ in range(MOST_TRIES):
            current = await self.find(namespace, job_id)
            _check_etag(etag, current)
            await self._dependencies.check_delete(current.stored.job.namespace, job_id)
            await self._guard.ensure(_deletion(current.stored))
            try:
                await self._store.delete(
                    current.stored.job.namespace, job_id, revision=current.revision, at=self._clock.now()
                )
            except Stale:
                continue
            return
        raise _contended(job_id)

    async def _change(self, namespace: str, job_id: str, given: Job, change: "_Change", *, validate_only: bool) -> Job:
        for _ in range(MOST_TRIES):
            current = await self.find(namespace, job_id)
            _check_identity(given, current.stored.job)
            _check_etag(given.etag, current)
            now = self._clock.now()
            stored = _next_version(current.stored, change, now=now)
            is_new_time = resource.times_differ(current.stored.job, stored.job) and not change.rolled_back_to
            await self._check(stored.job, now=now, is_new_time=is_new_time)
            await self._guard.ensure(*_subjects(current.stored.job, stored, change), is_trial=validate_only)
            if validate_only:
                return self._public(Versioned(stored=stored, revision=current.revision))
            try:
                return self._public(await self._store.replace(stored, revision=current.revision))
            except Stale:
                if given.etag:
                    raise
        raise _contended(job_id)

    async def _check(self, job: Job, *, now: datetime, is_new_time: bool) -> None:
        """Raises InvalidArgument with everything that is wrong with a job that has its defaults.

        With `is_new_time` also when all of its times are over.
        """
        calendars = await self._calendars.day_sets(job.namespace, calendars_of(job))
        # In a thread: a schedule that hardly ever fires takes a while to see through, and nothing else may wait for it.
        violations = await asyncio.to_thread(resource.violations, job, calendars, now=now)
        if is_new_time and not violations:
            violations = await asyncio.to_thread(resource.time_is_over, job, calendars, now=now)
        violations += await self._dependencies.check(job)
        if violations:
            raise InvalidArgument(violations)

    def _public(self, versioned: Versioned) -> Job:
        calendars = self._calendar_view.sets(versioned.stored.job.namespace)
        return resource.public(versioned, calendars, now=self._clock.now())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """A change that somebody wishes: `build` gives the new job from the old one."""

    build: Callable[[Job], Job]
    author: str
    comment: str
    rolled_back_to: int = 0
    is_switch: bool = False
    """Whether it only says if the job may fire."""


def _subjects(old: Job, stored: stored_job_pb2.StoredJob, change: _Change) -> list[Subject]:
    """What policies are asked about a change: one that also enables the job is both."""
    operations = [] if change.is_switch else [Policy.UPDATE]
    if stored.job.enabled and not old.enabled:
        operations.append(Policy.ENABLE)
    return [
        Subject(operation=operation, namespace=old.namespace, stored=stored, before=old, extent=one_job())
        for operation in operations
    ]


def _deletion(stored: stored_job_pb2.StoredJob) -> Subject:
    job = stored.job
    return Subject(operation=Policy.DELETE, namespace=job.namespace, stored=stored, before=job, extent=one_job())


def _next_version(current: stored_job_pb2.StoredJob, change: _Change, *, now: datetime) -> stored_job_pb2.StoredJob:
    old = current.job
    job = resource.with_defaults(change.build(old))
    job.namespace, job.id, job.uid = old.namespace, old.id, old.uid
    job.created_at.CopyFrom(old.created_at)
    keep_secrets(job, old)
    _stamp(job, now=now, author=change.author, version=old.version + 1)
    stored = stored_job_pb2.StoredJob(
        job=job,
        request_id=current.request_id,
        effective_at=current.effective_at,
        comment=change.comment,
        rolled_back_to=change.rolled_back_to,
        change=_kind_of(old, job, change),
    )
    _mark_times(stored, current, now=now)
    return stored


def _kind_of(old: Job, new: Job, change: _Change) -> "Version.Change.ValueType":
    if change.rolled_back_to:
        return Version.ROLLED_BACK
    if old.enabled == new.enabled:
        return Version.UPDATED
    return Version.ENABLED if new.enabled else Version.DISABLED


def _mark_times(stored: stored_job_pb2.StoredJob, before: stored_job_pb2.StoredJob | None, *, now: datetime) -> None:
    """Says from when on the version's occurrences count."""
    if before is None or resource.times_differ(before.job, stored.job):
        stored.effective_at.FromDatetime(now)
        stored.counts_from.FromDatetime(now)
    else:
        stored.counts_from.CopyFrom(before.counts_from)
    was_enabled = before is None or before.job.enabled
    if not stored.job.enabled:
        if was_enabled or before is None:
            stored.disabled_at.FromDatetime(now)
        elif before.HasField("disabled_at"):
            stored.disabled_at.CopyFrom(before.disabled_at)
    elif not was_enabled and before is not None:
        stored.effective_at.FromDatetime(now)
        if before.HasField("disabled_at"):
            stored.disabled_at.CopyFrom(before.disabled_at)


def _stamp(job: job_pb2.Job, *, now: datetime, author: str, version: int) -> None:
    job.updated_at.FromDatetime(now)
    job.updated_by = author
    job.version = version


def _check_identity(given: job_pb2.Job, current: job_pb2.Job) -> None:
    for name in ("namespace", "id"):
        if getattr(given, name) not in ("", getattr(current, name)):
            raise InvalidArgument.of(name, "cannot be changed; leave it out, or create another job")


def _check_etag(etag: str, current: Versioned) -> None:
    if etag and etag != str(current.revision):
        raise Stale("the job was changed by somebody else; get it again and repeat the change on its new etag")


def _contended(job_id: str) -> Fault:
    return Stale(f'the job "{job_id}" is being changed by many callers at once; try again')


def _filter(text: str) -> JobFilter:
    try:
        return parse_filter(text)
    except FilterError as error:
        raise InvalidArgument.of("filter", str(error)) from error
