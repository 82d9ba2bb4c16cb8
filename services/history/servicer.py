"""The RPC edge of history: executions for everybody, and the ledger's inner side for the mesh."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from chronos.history.v1 import execution_pb2, execution_service_pb2, ledger_service_pb2
from chronos.history.v1.execution_service_pb2_grpc import ExecutionServiceServicer
from chronos.history.v1.ledger_service_pb2_grpc import LedgerServiceServicer

from libs.clock import Clock
from libs.names import DEFAULT_NAMESPACE
from services.history.convert import definition_from, detailed_execution_from, execution_from, uuid_text
from services.history.convert_queries import listing_from, position_from, resume_token, search_from, us_from
from services.history.convert_records import Limits, batch_from
from services.history.convert_seals import seal_parts
from services.history.domain.moments import to_us
from services.history.executions import Executions
from services.history.feed import Feed, Scope
from services.history.ledger import Acknowledgement, Numbered, Recording

Context = grpc.aio.ServicerContext[Any, Any]


class ExecutionServicer(ExecutionServiceServicer):
    """chronos.history.v1.ExecutionService."""

    def __init__(self, executions: Executions, feed: Feed) -> None:
        self._executions = executions
        self._feed = feed

    async def GetExecution(
        self, request: execution_service_pb2.GetExecutionRequest, context: Context
    ) -> execution_pb2.Execution:
        """See the proto."""
        found = await self._executions.get(request.namespace or DEFAULT_NAMESPACE, request.job_id, request.id)
        return detailed_execution_from(found)

    async def ListExecutions(
        self, request: execution_service_pb2.ListExecutionsRequest, context: Context
    ) -> execution_service_pb2.ListExecutionsResponse:
        """See the proto."""
        page = await self._executions.list(listing_from(request), request.page_size, request.page_token)
        executions = [execution_from(record) for record in page.records]
        return execution_service_pb2.ListExecutionsResponse(executions=executions, next_page_token=page.next_page_token)

    async def WatchExecutions(
        self, request: execution_service_pb2.WatchExecutionsRequest, context: Context
    ) -> AsyncIterator[execution_service_pb2.WatchExecutionsResponse]:
        """See the proto."""
        scope = Scope(namespace=request.namespace or DEFAULT_NAMESPACE, job_id=request.job_id)
        async with aclosing(self._feed.watch(scope, position_from(request.resume_token))) as steps:
            async for step in steps:
                yield execution_service_pb2.WatchExecutionsResponse(
                    execution=execution_from(step.record) if step.record is not None else None,
                    resume_token=resume_token(step.position),
                )


class LedgerServicer(LedgerServiceServicer):
    """chronos.history.v1.LedgerService."""

    def __init__(self, recording: Recording, executions: Executions, clock: Clock, *, max_response_bytes: int) -> None:
        self._recording = recording
        self._executions = executions
        self._clock = clock
        self._max_response_bytes = max_response_bytes

    async def Record(  # type: ignore[override]  # a coroutine that writes: grpc.aio takes both kinds
        self, request_iterator: AsyncIterator[ledger_service_pb2.RecordRequest], context: Context
    ) -> None:
        """See the proto."""

        async def acknowledge(done: Acknowledgement) -> None:
            await context.write(
                ledger_service_pb2.RecordResponse(
                    batch=done.number,
                    stale_execution_ids=map(uuid_text, done.refused.stale),
                    claimed_execution_ids=map(uuid_text, done.refused.claimed),
                )
            )

        await self._recording.record(self._batches(request_iterator), acknowledge)

    async def SealShard(
        self, request: ledger_service_pb2.SealShardRequest, context: Context
    ) -> AsyncIterator[ledger_service_pb2.SealShardResponse]:
        """See the proto."""
        seal = await self._recording.seal(request.shard, request.epoch, us_from(request.watermark))
        for part in seal_parts(seal):
            yield part

    async def FindExecutions(
        self, request: ledger_service_pb2.FindExecutionsRequest, context: Context
    ) -> ledger_service_pb2.FindExecutionsResponse:
        """See the proto."""
        found = await self._executions.find(search_from(request), with_definitions=request.with_definitions)
        return ledger_service_pb2.FindExecutionsResponse(
            executions=map(execution_from, found.records), definitions=map(definition_from, found.definitions)
        )

    async def _batches(self, requests: AsyncIterator[ledger_service_pb2.RecordRequest]) -> AsyncIterator[Numbered]:
        async for request in requests:
            limits = Limits(max_response_bytes=self._max_response_bytes, now_us=to_us(self._clock.now()))
            yield Numbered(number=request.batch, batch=batch_from(request.records, limits))
