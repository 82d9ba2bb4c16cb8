"""In-memory stand-ins for what the scheduler's use cases need from outside."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime

from chronos.history.v1 import execution_pb2, ledger_service_pb2
from chronos.scheduler.v1 import stored_job_pb2

from libs.faults import AlreadyExists, InvalidArgument, Stale, Unavailable
from services.scheduler.domain.occurrence import Run
from services.scheduler.ports.jobs import JobPage, Versioned
from services.scheduler.ports.ledger import Found, Note, Sealed
from services.scheduler.ports.orders import ShardChange

VERSIONS_KEPT = 50


class FakeJobStore:
    """Jobs in a dict; revisions count up."""

    def __init__(self) -> None:
        self.jobs: dict[tuple[str, str], Versioned] = {}
        self.versions: dict[tuple[str, str], dict[int, stored_job_pb2.StoredJob]] = {}
        """What FakeVersionStore reads."""
        self.deleted: dict[str, stored_job_pb2.StoredTombstone] = {}
        """By uid."""
        self.revision = 100

    def _write(self, stored: stored_job_pb2.StoredJob) -> Versioned:
        self.revision += 1
        copy = stored_job_pb2.StoredJob()
        copy.CopyFrom(stored)
        versioned = Versioned(stored=copy, revision=self.revision)
        place, number = (stored.job.namespace, stored.job.id), stored.job.version
        self.jobs[place] = versioned
        versions = self.versions.setdefault(place, {})
        versions[number] = copy
        if number - VERSIONS_KEPT > 1:
            versions.pop(number - VERSIONS_KEPT, None)
        return versioned

    async def insert(self, stored: stored_job_pb2.StoredJob) -> Versioned:
        known = self.jobs.get((stored.job.namespace, stored.job.id))
        if known is not None and stored.request_id and known.stored.request_id == stored.request_id:
            return known
        if known is not None:
            raise AlreadyExists("taken")
        return self._write(stored)

    async def get(self, namespace: str, job_id: str) -> Versioned | None:
        return self.jobs.get((namespace, job_id))

    async def page(self, namespace: str, *, after_id: str, limit: int) -> JobPage:
        ids = sorted(job for space, job in self.jobs if space == namespace and job > after_id)
        chosen = ids[:limit]
        return JobPage(
            jobs=[self.jobs[namespace, job] for job in chosen],
            last_id=chosen[-1] if chosen else "",
            has_more=len(ids) > limit,
        )

    async def replace(self, stored: stored_job_pb2.StoredJob, *, revision: int) -> Versioned:
        if self.jobs[stored.job.namespace, stored.job.id].revision != revision:
            raise Stale("changed")
        return self._write(stored)

    async def delete(self, namespace: str, job_id: str, *, revision: int, at: datetime) -> None:
        if self.jobs[namespace, job_id].revision != revision:
            raise Stale("changed")
        last = self.jobs.pop((namespace, job_id)).stored
        versions = self.versions.pop((namespace, job_id), {})
        tombstone = stored_job_pb2.StoredTombstone(versions=versions.values())
        tombstone.deleted_at.FromDatetime(at)
        self.deleted[last.job.uid] = tombstone


class FakeLedger:
    """Remembers notes and seals; can be away."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.seals: list[tuple[int, int, datetime]] = []
        self.unfinished: list[execution_pb2.Execution] = []
        self.recorded: set[str] = set()
        self.executions: list[execution_pb2.Execution] = []
        """What `find` looks through."""
        self.definitions: dict[str, ledger_service_pb2.Definition] = {}
        """How executions were delivered, by their ids."""
        self.is_away = False
        self.sealed_epoch = 0
        """Notes of earlier epochs are refused."""
        self.invalid: set[str] = set()
        """Executions that are never taken."""
        self.batches: list[int] = []
        """How many notes came at once."""

    async def seal(self, shard: int, epoch: int, watermark: datetime) -> Sealed:
        self._check()
        self.seals.append((shard, epoch, watermark))
        return Sealed(unfinished=self.unfinished, recorded=frozenset(self.recorded))

    async def record(self, notes: Sequence[Note]) -> frozenset[str]:
        self._check()
        self.batches.append(len(notes))
        if any(note.execution.id in self.invalid for note in notes):
            raise InvalidArgument.of("records", "one of them cannot be taken")
        stale = {note.execution.id for note in notes if note.epoch < self.sealed_epoch}
        self.notes.extend(note for note in notes if note.epoch >= self.sealed_epoch)
        return frozenset(stale)

    async def find(
        self,
        namespace: str,
        *,
        job_id: str = "",
        ids: Sequence[str] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 1000,
        with_definitions: bool = False,
        with_stretches: bool = False,
    ) -> Found:
        self._check()
        if not job_id and not ids:
            raise InvalidArgument.of("job_id", "must be given, or else ids")

        def is_asked_for(each: execution_pb2.Execution) -> bool:
            is_stretch = with_stretches and each.HasField("skipped_until")
            last = (each.skipped_until if is_stretch else each.scheduled_time).ToDatetime(UTC)
            return (
                each.namespace == namespace
                and job_id in ("", each.job_id)
                and (not ids or each.id in ids)
                and (start is None or last >= start)
                and (end is None or each.scheduled_time.ToDatetime(UTC) < end)
            )

        found = sorted(filter(is_asked_for, self.executions), key=_place, reverse=True)[:limit]
        unknown = ledger_service_pb2.Definition()
        definitions = [self.definitions.get(each.id, unknown) for each in found] if with_definitions else []
        return Found(executions=found, definitions=definitions)

    def _check(self) -> None:
        if self.is_away:
            raise Unavailable("history is away")


def _place(execution: execution_pb2.Execution) -> tuple[int, str]:
    return execution.scheduled_time.ToMicroseconds(), execution.id


class FakeShardStore:
    """One shard's jobs and triggers as queues of changes; watermarks in a dict.

    The first change of all must be complete; whoever looks anew gets everything that is there by then.
    """

    def __init__(self) -> None:
        self.job_changes: asyncio.Queue[ShardChange] = asyncio.Queue()
        self.trigger_changes: asyncio.Queue[ShardChange] = asyncio.Queue()
        self._jobs: dict[tuple[str, str], stored_job_pb2.StoredJob] | None = None
        self._orders: ShardChange | None = None
        self.watermarks: dict[int, tuple[int, datetime]] = {}
        self.buried: list[stored_job_pb2.StoredTombstone] = []

    async def jobs(self, shard: int) -> AsyncGenerator[ShardChange, None]:
        if self._jobs is not None:
            while not self.job_changes.empty():
                self._learn(self.job_changes.get_nowait())
            yield ShardChange(is_complete=True, jobs=list(self._jobs.values()))
        while True:
            change = await self.job_changes.get()
            self._learn(change)
            yield change

    async def triggers(self, shard: int) -> AsyncGenerator[ShardChange, None]:
        if self._orders is not None:
            yield self._orders
        while True:
            change = await self.trigger_changes.get()
            self._orders = self._orders or change
            yield change

    def _learn(self, change: ShardChange) -> None:
        if self._jobs is None or change.is_complete:
            self._jobs = {}
        for key in change.removed:
            self._jobs.pop(key, None)
        self._jobs |= {(stored.job.namespace, stored.job.id): stored for stored in change.jobs}

    async def tombstones(self, shard: int) -> Sequence[stored_job_pb2.StoredTombstone]:
        return list(self.buried)

    async def delete_tombstones(self, shard: int, epoch: int, jobs: Sequence[tuple[str, str, str]]) -> None:
        uids = {uid for _, _, uid in jobs}
        self.buried = [tombstone for tombstone in self.buried if tombstone.versions[-1].job.uid not in uids]

    async def watermark(self, shard: int) -> datetime | None:
        found = self.watermarks.get(shard)
        return found[1] if found else None

    async def write_watermarks(self, watermarks: Mapping[int, tuple[int, datetime]]) -> None:
        self.watermarks.update(watermarks)


class FakeLink:
    """Remembers what was sent to a dispatcher."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.sent: list[Run] = []
        self.asked: list[str] = []
        self.cancelled: list[str] = []

    def send(self, runs: Sequence[Run]) -> None:
        self.sent.extend(runs)

    def adopt(self, execution_ids: Sequence[str]) -> None:
        self.asked.extend(execution_ids)

    def cancel(self, execution_id: str, reason: str, code: int) -> None:
        self.cancelled.append(execution_id)
