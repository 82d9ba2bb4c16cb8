"""A whole dispatcher without network: a virtual clock, a sender and a history in memory."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.history.v1 import execution_pb2, ledger_service_pb2

from services.dispatcher.dispatch import Dispatch
from services.dispatcher.domain.event import Event, EventKind
from services.dispatcher.domain.results import Answer, Failure
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.streams import Outbox
from tests.fakes.clock import FakeClock
from tests.fakes.history import FakeHistory
from tests.fakes.sender import FakeSender

INSTANCE = "dispatcher-0-me"
SECOND = timedelta(seconds=1)
Execution = execution_pb2.Execution


class Listener(Outbox):
    """A scheduler that remembers what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Event] = []

    def tell(self, event: Event) -> None:
        super().tell(event)
        self.told.append(event)

    def kinds(self, execution_id: str) -> list[EventKind]:
        return [event.kind for event in self.told if event.execution_id == execution_id]


class Rig:
    """A running dispatcher."""

    def __init__(self, dispatch: Dispatch, sender: FakeSender, history: FakeHistory, clock: FakeClock) -> None:
        self.dispatch = dispatch
        self.sender = sender
        self.history = history
        self.clock = clock
        self.scheduler = Listener()

    async def send(self, *deliveries: delivery_pb2.Delivery) -> None:
        self.take(delivery_pb2.DeliverRequest(deliveries=deliveries))
        await self.advance()

    async def adopt(self, *execution_ids: str) -> None:
        self.take(delivery_pb2.DeliverRequest(adopt_execution_ids=execution_ids))
        await self.advance()

    async def cancel(
        self,
        execution_id: str,
        reason: str = "stopped by ann",
        code: "execution_pb2.Execution.Reason.ValueType" = Execution.CANCELLED_BY_USER,
    ) -> None:
        request = delivery_pb2.DeliverRequest()
        request.cancellations.add(execution_id=execution_id, reason=reason, reason_code=code)
        self.take(request)
        await self.advance()

    def take(self, request: delivery_pb2.DeliverRequest) -> None:
        self.dispatch.intake.take(request, self.scheduler)

    async def advance(self, span: timedelta = SECOND) -> None:
        await self.clock.advance(span)

    def record(self, execution_id: str) -> ledger_service_pb2.ExecutionRecord:
        """The last record of an execution."""
        return next(record for record in reversed(self.history.records) if record.execution.id == execution_id)

    def kinds(self, execution_id: str) -> list[EventKind]:
        return self.scheduler.kinds(execution_id)


@asynccontextmanager
async def open_rig(*results: Answer | Failure | Exception, **changes: object) -> AsyncIterator[Rig]:
    """A dispatcher whose requests end with `results`, one after the other; `changes` are settings."""
    sender, history, clock = FakeSender(*results), FakeHistory(), FakeClock()
    settings = DispatcherSettings.model_validate(changes)
    dispatch = Dispatch(
        settings,
        sender=sender,
        ledger=history,
        clock=clock,
        dice=random.Random(1),
        user_agent="Chronos/test",
        instance=INSTANCE,
    )
    async with asyncio.TaskGroup() as group:
        loops = [group.create_task(_run(loop)) for loop in dispatch.loops.values()]
        await clock.advance(SECOND)
        yield Rig(dispatch, sender, history, clock)
        for loop in loops:
            loop.cancel()


async def _run(loop: Callable[[], Awaitable[None]]) -> None:
    await loop()
