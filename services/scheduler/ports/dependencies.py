"""Which jobs depend on which, and what was heard of their ends."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chronos.scheduler.v1 import stored_job_pb2


class DependencyStore(Protocol):
    """Who depends on whom, strictly serializable."""

    async def missing(self, namespace: str, job_ids: Sequence[str]) -> frozenset[str]:
        """Those of the jobs that do not exist."""

    async def parents_below(self, namespace: str, job_id: str) -> Mapping[str, Collection[str]]:
        """The jobs that depend on `job_id`, directly or over others, each with those on the way that it depends on."""

    async def children(self, namespace: str, job_id: str, *, limit: int) -> Sequence[str]:
        """The first `limit` jobs that depend directly on `job_id`, in the order of their ids."""


class DependantsBook(Protocol):
    """Who depends on whom, at hand without waiting; a moment behind the store."""

    def children_of(self, namespace: str, job_id: str) -> tuple[str, ...]:
        """The jobs that depend on `job_id`."""

    def on_change(self, callback: Callable[[str, str], None]) -> None:
        """`callback` is called with the namespace and the id of each job on which others depend anew."""


class FollowUpStore(Protocol):
    """Runs whose end other jobs wait for, and the news of it. All raise Unavailable, and may be repeated."""

    async def begin(self, shard: int, epoch: int, follow_ups: Sequence[stored_job_pb2.StoredFollowUp]) -> bool:
        """Makes them durable; False when the shard has another owner by now."""

    async def end(
        self, shard: int, follow_up: stored_job_pb2.StoredFollowUp, signals: Sequence[stored_job_pb2.StoredSignal]
    ) -> bool:
        """Puts the news and forgets the follow-up; False, and nothing done, when it was forgotten before."""

    async def forget(self, shard: int, epoch: int, execution_ids: Sequence[str]) -> None:
        """Forgets follow-ups of which the news was put; nothing is done when the shard has another owner by now."""

    async def tell(self, signals: Sequence[stored_job_pb2.StoredSignal]) -> None:
        """Puts news of a run that has no follow-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionedRound:
    """What a job has heard of those that it depends on, with the revision that wrote it; 0 when nothing is stored."""

    namespace: str
    job_id: str
    stored: stored_job_pb2.StoredRound
    revision: int


class RoundStore(Protocol):
    """What jobs have heard of those that they depend on. All raise Unavailable."""

    async def rounds(self, shard: int) -> Sequence[VersionedRound]:
        """What is stored for the jobs of a shard."""

    async def find(self, shard: int, namespace: str, job_id: str) -> VersionedRound:
        """What is stored for a job."""

    async def commit(
        self,
        shard: int,
        epoch: int,
        rounds: VersionedRound,
        *,
        taken: Sequence[stored_job_pb2.StoredSignal],
        triggers: Sequence[stored_job_pb2.StoredTrigger],
    ) -> VersionedRound | None:
        """At one moment: stores the rounds over that revision, forgets the signals, and promises the triggers.

        An empty round is deleted. None, and nothing done, when the rounds were changed in between or the shard has
        another owner.
        """
