"""What the use cases need from outside."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from chronos.dispatcher.v1 import circuit_breaker_service_pb2
from chronos.history.v1 import ledger_service_pb2

from services.dispatcher.domain.results import Result
from services.dispatcher.domain.targets.plan import Request


class Sender(Protocol):
    """Makes requests, or publishes messages."""

    async def send(self, request: Request) -> Result:
        """What came back, or why nothing did, within the request's timeout. Raises nothing but CancelledError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A batch is durable, but for what was refused: its epoch is over, or somebody else has claimed it."""

    batch: int
    stale_execution_ids: frozenset[str] = frozenset()
    claimed_execution_ids: frozenset[str] = frozenset()


class LedgerStream(Protocol):
    """An open stream of records to history. Every method raises Unavailable once it is broken."""

    async def send(self, batch: ledger_service_pb2.RecordRequest) -> None:
        """Sends a batch; returns when it is on its way. Its number rises."""

    def acknowledgements(self) -> AsyncIterator[Acknowledgement]:
        """What became of the batches, in the order in which they were sent. Ends when history closes the stream."""


class Ledger(Protocol):
    """History, as the dispatcher uses it."""

    def open(self) -> AbstractAsyncContextManager[LedgerStream]:
        """A new stream to any live history. Raises Unavailable when there is none."""


class BreakerBoard(Protocol):
    """The circuit breakers of all dispatchers."""

    def breakers(self) -> Sequence[circuit_breaker_service_pb2.CircuitBreaker]:
        """Those that are not closed, as last heard of, in no order."""
