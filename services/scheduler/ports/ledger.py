"""History and the dispatchers, as the firing path uses them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from chronos.history.v1 import execution_pb2, ledger_service_pb2

from services.scheduler.domain.occurrence import Run

Status: TypeAlias = "execution_pb2.Execution.Status.ValueType"
Reason: TypeAlias = "execution_pb2.Execution.Reason.ValueType"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Executions that history knows, the newest scheduled time first, with their attempts.

    `definitions`, when asked for, has how each of them was delivered, at the same place; empty ones where nothing was
    recorded.
    """

    executions: Sequence[execution_pb2.Execution] = ()
    definitions: Sequence[ledger_service_pb2.Definition] = ()


class Ledger(Protocol):
    """History, as the scheduler uses it."""

    async def seal(self, shard: int, epoch: int, watermark: datetime) -> Sealed:
        """Begins an epoch. Raises WrongState when a newer one is sealed, Unavailable when history is away."""

    async def record(self, notes: Sequence[Note]) -> frozenset[str]:
        """Returns when the notes are durable, with the ids of those that were refused: their epoch is over.

        Raises Unavailable, and InvalidArgument when one of them can never be taken.
        """

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
        """The newest `limit` (at most 5,000) executions of a job, or those with these `ids`, or both at once.

        Due at or after `start` and before `end`. With stretches: also those that stand for skipped runs of which the
        last is due at or after `start`. Raises InvalidArgument without both `job_id` and `ids`, Unavailable when
        history is away.
        """


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

    def cancel(self, execution_id: str, reason: str, code: Reason) -> None:
        """Asks it to stop an execution; its end comes as an event."""
