"""Jobs: create, look up, change."""

import uuid
from collections.abc import Callable
from datetime import datetime

from chronos.scheduler.v1 import job_pb2, stored_job_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from libs.clock import Clock
from libs.faults import Fault, InvalidArgument, NotFound, Stale
from libs.names import DEFAULT_NAMESPACE
from libs.paging import decode_token, encode_token, page_size
from services.scheduler import masks, resource
from services.scheduler.domain.filter import FilterError, JobFilter, parse_filter
from services.scheduler.ports import JobStore, Versioned

MOST_TRIES = 8
FIRING_FIELDS = ("schedule", "timezone", "enabled")


class Jobs:
    """The jobs of all namespaces."""

    def __init__(self, store: JobStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def create(
        self, job: job_pb2.Job, *, namespace: str, request_id: str, validate_only: bool, author: str
    ) -> job_pb2.Job:
        """Adds a job. Raises InvalidArgument or AlreadyExists."""
        now = self._clock.now()
        filled = resource.with_defaults(job)
        filled.namespace = namespace or filled.namespace
        resource.keep_secrets(filled, job_pb2.Job())
        resource.check(filled, now=now)
        filled.uid = str(uuid.uuid4())
        filled.created_at.FromDatetime(now)
        stored = stored_job_pb2.StoredJob(job=filled, request_id=request_id)
        stored.effective_at.FromDatetime(now)
        _stamp(stored.job, now=now, author=author, version=1)
        if validate_only:
            return resource.public(Versioned(stored=stored, revision=0), now=now)
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
        self, namespace: str, job_id: str, job: job_pb2.Job, *, validate_only: bool, author: str
    ) -> job_pb2.Job:
        """Puts a whole new job in place. Raises NotFound, InvalidArgument or Stale."""
        return await self._change(namespace, job_id, job, lambda _: job, validate_only=validate_only, author=author)

    async def update(
        self, namespace: str, job_id: str, job: job_pb2.Job, mask: FieldMask, *, validate_only: bool, author: str
    ) -> job_pb2.Job:
        """Changes the fields that the mask names. Raises NotFound, InvalidArgument or Stale."""
        paths = masks.paths_of(mask, job)
        return await self._change(
            namespace,
            job_id,
            job,
            lambda current: masks.merge(current, job, paths),
            validate_only=validate_only,
            author=author,
        )

    async def set_enabled(self, namespace: str, job_id: str, *, is_enabled: bool, author: str) -> job_pb2.Job:
        """Lets a job fire, or keeps it from firing. Idempotent. Raises NotFound."""
        if (current := await self.find(namespace, job_id)).stored.job.enabled == is_enabled:
            return self._public(current)
        wish = job_pb2.Job(enabled=is_enabled)
        return await self.update(
            namespace, job_id, wish, FieldMask(paths=["enabled"]), validate_only=False, author=author
        )

    async def delete(self, namespace: str, job_id: str, *, etag: str) -> None:
        """Removes a job. Raises NotFound or Stale."""
        for _ in range(MOST_TRIES):
            current = await self.find(namespace, job_id)
            _check_etag(etag, current)
            try:
                await self._store.delete(current.stored.job.namespace, job_id, revision=current.revision)
            except Stale:
                continue
            return
        raise _contended(job_id)

    async def _change(
        self,
        namespace: str,
        job_id: str,
        given: job_pb2.Job,
        build: Callable[[job_pb2.Job], job_pb2.Job],
        *,
        validate_only: bool,
        author: str,
    ) -> job_pb2.Job:
        for _ in range(MOST_TRIES):
            current = await self.find(namespace, job_id)
            _check_identity(given, current.stored.job)
            _check_etag(given.etag, current)
            now = self._clock.now()
            stored = _next_version(current.stored, build(current.stored.job), now=now, author=author)
            if validate_only:
                return resource.public(Versioned(stored=stored, revision=current.revision), now=now)
            try:
                return self._public(await self._store.replace(stored, revision=current.revision))
            except Stale:
                if given.etag:
                    raise
        raise _contended(job_id)

    def _public(self, versioned: Versioned) -> job_pb2.Job:
        return resource.public(versioned, now=self._clock.now())


def _next_version(
    current: stored_job_pb2.StoredJob, wish: job_pb2.Job, *, now: datetime, author: str
) -> stored_job_pb2.StoredJob:
    job = resource.with_defaults(wish)
    old = current.job
    job.namespace, job.id, job.uid = old.namespace, old.id, old.uid
    job.created_at.CopyFrom(old.created_at)
    resource.keep_secrets(job, old)
    resource.check(job, now=now)
    _stamp(job, now=now, author=author, version=old.version + 1)
    stored = stored_job_pb2.StoredJob(job=job, request_id=current.request_id, effective_at=current.effective_at)
    if any(getattr(job, name) != getattr(old, name) for name in FIRING_FIELDS):
        stored.effective_at.FromDatetime(now)
    return stored


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
