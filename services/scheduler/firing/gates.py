"""What stands between a run that is due and its begin, and who hears of it."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from chronos.scheduler.v1 import stored_job_pb2

from services.scheduler.domain.occurrence import Run
from services.scheduler.domain.quota import Answer
from services.scheduler.firing.owned import OwnedShard
from services.scheduler.ports.ledger import Reason, Status


class PolicyGate(Protocol):
    """Who asks policies whether a run may begin."""

    def ask(self, run: Run) -> Answer:
        """What they say. The verdict on a run that is to wait is told later, unless it is taken away before.

        Runs of one job are let through in the order in which they were asked for.
        """

    def is_waiting(self, execution_id: str) -> bool:
        """Whether a run waits for its verdict."""

    def waiting_of(self, job_uid: str) -> Sequence[Run]:
        """The runs of a job that wait for their verdict, the first one first."""

    def take(self, execution_id: str) -> Run | None:
        """Takes a run away that waits for its verdict; None when it does not."""

    def forget(self, shard: int) -> None:
        """Takes away what waits of a shard that is not owned any more."""


class QuotaGate(Protocol):
    """Who counts runs against the quotas of namespaces."""

    def ask(self, namespace: str) -> Answer:
        """Whether one more run may begin. One that is granted must be released."""

    def adopt(self, namespace: str) -> None:
        """Counts a run that is under way already."""

    def release(self, namespace: str) -> None:
        """A run has ended."""

    def under_way(self, namespace: str) -> int:
        """How many runs are under way, as far as this replica knows."""


class Followers(Protocol):
    """Who tells the jobs that wait for a run's end."""

    def begin(self, shard: OwnedShard, run: Run) -> None:
        """The run begins, or waits for its turn."""

    def resume(self, shard: OwnedShard, run: Run) -> None:
        """The run was begun by an earlier owner, and the ledger knows it; perhaps also its end."""

    def end(self, shard: OwnedShard, run: Run, status: Status, reason: Reason) -> None:
        """The run has ended, and the ledger knows it."""

    def noticed(self, shard: OwnedShard, follow_up: stored_job_pb2.StoredFollowUp) -> None:
        """The store has the follow-up of a run."""


class AcceptedRuns(Protocol):
    """Who waits for targets that have accepted runs."""

    def adopt(self, runs: Iterable[Run]) -> None:
        """Takes runs that were accepted some time ago."""

    def cancel(self, execution_id: str, *, reason: str, code: Reason) -> bool:
        """Ends a run that is accepted or may be so any moment; False when it is none."""

    def forget(self, shard: int) -> None:
        """Drops everything of a shard that is not owned any more."""
