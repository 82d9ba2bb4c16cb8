"""The RPC edge of what can be done with runs."""

from datetime import datetime
from typing import Any

import grpc
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import run_service_pb2, run_service_pb2_grpc

from libs.faults import InvalidArgument
from libs.rpc import context as calls
from services.scheduler.convert.firing import instant
from services.scheduler.ports.jobs import JobFinder
from services.scheduler.runs.backfills import Backfills
from services.scheduler.runs.cancellations import Cancellations
from services.scheduler.runs.completions import ExecutionCompletions
from services.scheduler.runs.explanations import Explanations
from services.scheduler.runs.replays import Replays
from services.scheduler.servicer.policy_warnings import tells_warnings

Context = grpc.aio.ServicerContext[Any, Any]


class RunServicer(run_service_pb2_grpc.RunServiceServicer):
    """chronos.scheduler.v1.RunService."""

    def __init__(
        self,
        *,
        jobs: JobFinder,
        backfills: Backfills,
        replays: Replays,
        cancellations: Cancellations,
        completions: ExecutionCompletions,
        explanations: Explanations,
    ) -> None:
        self._jobs = jobs
        self._backfills = backfills
        self._replays = replays
        self._cancellations = cancellations
        self._completions = completions
        self._explanations = explanations

    @tells_warnings
    async def BackfillJob(
        self, request: run_service_pb2.BackfillJobRequest, context: Context
    ) -> run_service_pb2.BackfillJobResponse:
        """See the proto."""
        found = await self._jobs.find(request.namespace, request.job_id)
        backfill = await self._backfills.backfill(
            found.stored,
            _moment(request, "from"),
            instant(request.to),
            rerun=request.rerun,
            concurrency=request.concurrency,
            validate_only=request.validate_only,
            actor=_actor(),
        )
        return run_service_pb2.BackfillJobResponse(
            executions=backfill.executions, already_succeeded=backfill.already_succeeded
        )

    @tells_warnings
    async def ReplayExecution(
        self, request: run_service_pb2.ReplayExecutionRequest, context: Context
    ) -> execution_pb2.Execution:
        """See the proto."""
        return await self._replays.replay(
            request.namespace,
            request.job_id,
            request.id,
            request.changes,
            skip_retries=request.skip_retries,
            request_id=request.request_id,
            actor=_actor(),
        )

    async def CancelExecution(
        self, request: run_service_pb2.CancelExecutionRequest, context: Context
    ) -> execution_pb2.Execution:
        """See the proto."""
        return await self._cancellations.cancel(
            request.namespace, request.job_id, request.id, reason=request.reason, actor=_actor()
        )

    async def CompleteExecution(
        self, request: run_service_pb2.CompleteExecutionRequest, context: Context
    ) -> execution_pb2.Execution:
        """See the proto."""
        if request.error and request.status != execution_pb2.Execution.FAILED:
            raise InvalidArgument.of("error", "goes with the status FAILED only; leave it out, or write FAILED")
        return await self._completions.complete(
            request.namespace,
            request.job_id,
            request.id,
            status=request.status,
            response=request.response,
            error=request.error,
            actor=_actor(),
        )

    async def ExplainJob(
        self, request: run_service_pb2.ExplainJobRequest, context: Context
    ) -> run_service_pb2.ExplainJobResponse:
        """See the proto."""
        at = instant(request.at) if request.HasField("at") else None
        return await self._explanations.explain(request.namespace, request.job_id, at)


def _moment(request: run_service_pb2.BackfillJobRequest, name: str) -> datetime:
    """A time whose field has a name that Python keeps for itself."""
    return instant(getattr(request, name))


def _actor() -> str:
    return calls.current().principal.id
