"""The customer's program that does accepted work: it tells how runs ended, and repeats that until it is answered."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import grpc
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import run_service_pb2

from tests.faults.history import Call, CallKind, Outcome
from tests.simulation.client import DEADLINE, MAYBE_DONE, NAMESPACE, PAUSE, Stubs
from tests.simulation.clock import TrueTime
from tests.simulation.endpoint import End

REPEATABLE = MAYBE_DONE | {grpc.StatusCode.NOT_FOUND}
"""Work may be done before the ledger has that the run began."""


class Completer:
    """`calls` are complete at any time: one that is not answered yet may have been heard."""

    def __init__(
        self,
        pick_stubs: Callable[[], Stubs],
        time: TrueTime,
        metadata: tuple[tuple[str, str], ...],
        patience: float,
    ) -> None:
        """`patience`: for so many seconds an answer is looked for."""
        self.calls: list[Call] = []
        self._pick_stubs = pick_stubs
        self._time = time
        self._metadata = metadata
        self._patience = patience
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, job: str, execution_id: str, end: End) -> None:
        """Begins to tell how a run ended."""
        self.calls.append(
            Call(
                kind=CallKind.COMPLETE,
                job=job,
                sent_us=self._time.now_us(),
                answered_us=None,
                outcome=Outcome.UNKNOWN,
                execution_id=execution_id,
                status=end.value,
            )
        )
        task = asyncio.get_running_loop().create_task(self._tell(len(self.calls) - 1))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, place: int) -> None:
        call, loop = self.calls[place], asyncio.get_running_loop()
        request = run_service_pb2.CompleteExecutionRequest(
            namespace=NAMESPACE,
            id=call.execution_id,
            status=execution_pb2.Execution.Status.Value(call.status),
        )
        until = loop.time() + self._patience
        while loop.time() < until:
            outcome = await self._try(request)
            if outcome is not Outcome.UNKNOWN:
                self.calls[place] = replace(call, outcome=outcome, answered_us=self._time.now_us())
                return
            await asyncio.sleep(PAUSE)

    async def _try(self, request: run_service_pb2.CompleteExecutionRequest) -> Outcome:
        try:
            await self._pick_stubs().runs.CompleteExecution(request, timeout=DEADLINE, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            return Outcome.UNKNOWN if error.code() in REPEATABLE else Outcome.REFUSED
        return Outcome.ACKNOWLEDGED
