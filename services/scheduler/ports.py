"""What the use cases need from outside."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import stored_job_pb2

from services.scheduler.domain.occurrence import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Versioned:
    """A stored job with the revision that wrote it."""

    stored: stored_job_pb2.StoredJob
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Some jobs of a namespace, ordered by id: up to `last_id`, and whether others follow."""

    jobs: Sequence[Versioned]
    last_id: str
    has_more: bool


class JobStore(Protocol):
    """Jobs, strictly serializable: a read sees every write that was acknowledged before."""

    async def insert(self, stored: stored_job_pb2.StoredJob) -> Versioned:
        """Adds a job. Raises AlreadyExists; answers the first job when `request_id` is repeated."""

    async def get(self, namespace: str, job_id: str) -> Versioned | None:
        """The job, or None."""

    async def page(self, namespace: str, *, after_id: str, limit: int) -> JobPage:
        """The jobs whose id comes after `after_id`."""

    async def replace(self, stored: stored_job_pb2.StoredJob, *, revision: int) -> Versioned:
        """Writes a job over the version that `revision` wrote. Raises Stale when there is another by now."""

    async def delete(self, namespace: str, job_id: str, *, revision: int) -> None:
        """Removes that version of a job. Raises Stale when there is another by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A run that is promised: the trigger, its shard, and the epoch of the shard's owner (0 when there is none)."""

    trigger: stored_job_pb2.StoredTrigger
    shard: int
    epoch: int


class TriggerStore(Protocol):
    """Runs that were asked for and are not yet recorded."""

    async def add(self, trigger: stored_job_pb2.StoredTrigger, *, request_id: str) -> Promise:
        """Makes a trigger durable; answers the first one when `request_id` is repeated within 24 h."""

    async def settle(self, triggers: Sequence[tuple[int, str]]) -> None:
        """Forgets triggers, given as (shard, execution id), whose executions are recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardChange:
    """What changed in a shard. With `is_complete`, everything that is there; else only the difference."""

    is_complete: bool
    jobs: Sequence[stored_job_pb2.StoredJob] = ()
    removed: Sequence[tuple[str, str]] = ()
    triggers: Sequence[stored_job_pb2.StoredTrigger] = ()


class ShardStore(Protocol):
    """What the owner of a shard reads and writes."""

    def jobs(self, shard: int) -> AsyncGenerator[ShardChange, None]:
        """The shard's jobs: all of them first, then every change."""

    def triggers(self, shard: int) -> AsyncGenerator[ShardChange, None]:
        """The shard's pending triggers: all of them first, then every new one."""

    async def watermark(self, shard: int) -> datetime | None:
        """How far the shard is recorded; None when nobody ever said."""

    async def write_watermarks(self, watermarks: Mapping[int, tuple[int, datetime]]) -> None:
        """Writes watermarks, given as shard → (epoch, moment), each only if that epoch still owns its shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What history knows about a shard at the begin of an epoch."""

    unfinished: Sequence[execution_pb2.Execution] = ()
    recorded: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something about an execution that the scheduler itself records: promised, skipped or failed."""

    execution: execution_pb2.Execution
    shard: int
    epoch: int


class Ledger(Protocol):
    """History, as the scheduler uses it."""

    async def seal(self, shard: int, epoch: int, watermark: datetime) -> Sealed:
        """Begins an epoch. Raises WrongState when a newer one is sealed, Unavailable when history is away."""

    async def record(self, notes: Sequence[Note]) -> None:
        """Returns when the notes are durable. Raises Unavailable."""


class Dispatchers(Protocol):
    """All dispatchers that are alive."""

    async def settled(self, *, deadline: timedelta) -> None:
        """Returns once every known dispatcher has been tried, or at the deadline."""


class DispatcherLink(Protocol):
    """An open stream to one dispatcher."""

    @property
    def instance(self) -> str:
        """The dispatcher's name."""

    def send(self, runs: Sequence[Run]) -> None:
        """Hands runs over. Never blocks; the link keeps the order."""

    def adopt(self, execution_ids: Sequence[str]) -> None:
        """Asks which of these it holds; the answers come as events."""
