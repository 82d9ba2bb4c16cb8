"""What is asked of the owner of a shard, and what the owner reads and writes."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from chronos.scheduler.v1 import stored_job_pb2


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

    async def add_many(self, triggers: Sequence[stored_job_pb2.StoredTrigger]) -> Sequence[Promise]:
        """Makes triggers of one job durable, in their order; one whose execution is promised already stays as it is.

        Raises Unavailable: then some may be promised, and it can be repeated.
        """

    async def settle(self, triggers: Sequence[tuple[int, str]]) -> None:
        """Forgets triggers, given as (shard, execution id), whose executions are recorded."""

    async def settle_cancels(self, cancels: Sequence[tuple[int, str]]) -> None:
        """Forgets wishes to stop executions, given as (shard, execution id), which have ended."""

    async def settle_completions(self, completions: Sequence[tuple[int, str]]) -> None:
        """Forgets how executions ended, given as (shard, execution id): the ledger has it."""


class CompletionStore(Protocol):
    """How executions ended that their targets had accepted."""

    async def add(self, completion: stored_job_pb2.StoredCompletion) -> stored_job_pb2.StoredCompletion:
        """Makes an end durable, unless there is one already; gives the one that counts."""


class CancelStore(Protocol):
    """Wishes to stop executions, and what they may be about."""

    async def add(self, cancel: stored_job_pb2.StoredCancel) -> None:
        """Makes a wish durable. One that is there already stays as it is."""

    async def promised(self, namespace: str, execution_id: str) -> stored_job_pb2.StoredTrigger | None:
        """The promise of an execution that may have no record yet; None when there is none in that namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardChange:
    """What changed in a shard. With `is_complete`, everything that is there; else only the difference.

    A job that changed several times stands in `jobs` several times, in the order of its versions. One in `removed` and
    in `jobs` was deleted, and then created again.
    """

    is_complete: bool
    jobs: Sequence[stored_job_pb2.StoredJob] = ()
    removed: Sequence[tuple[str, str]] = ()
    triggers: Sequence[stored_job_pb2.StoredTrigger] = ()
    cancels: Sequence[stored_job_pb2.StoredCancel] = ()
    completions: Sequence[stored_job_pb2.StoredCompletion] = ()
    follow_ups: Sequence[stored_job_pb2.StoredFollowUp] = ()
    signals: Sequence[stored_job_pb2.StoredSignal] = ()


class ShardStore(Protocol):
    """What the owner of a shard reads and writes."""

    def jobs(self, shard: int) -> AsyncGenerator[ShardChange, None]:
        """The shard's jobs: all of them first, then every change."""

    def triggers(self, shard: int) -> AsyncGenerator[ShardChange, None]:
        """What the shard's owner is to do: all triggers, cancels, follow-ups and signals first, then what comes."""

    async def tombstones(self, shard: int) -> Sequence[stored_job_pb2.StoredTombstone]:
        """What the deleted jobs of the shard were, as far as that is kept."""

    async def delete_tombstones(self, shard: int, epoch: int, jobs: Sequence[tuple[str, str, str]]) -> None:
        """Forgets deleted jobs, given as (namespace, id, uid), if that epoch still owns the shard."""

    async def watermark(self, shard: int) -> datetime | None:
        """How far the shard is recorded; None when nobody ever said."""

    async def write_watermarks(self, watermarks: Mapping[int, tuple[int, datetime]]) -> None:
        """Writes watermarks, given as shard → (epoch, moment), each only if that epoch still owns its shard."""
