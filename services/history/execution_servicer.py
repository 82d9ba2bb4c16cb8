"""Executions over gRPC, for everybody."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from chronos.history.v1.execution_pb2 import Execution
from chronos.history.v1.execution_service_pb2 import (
    GetExecutionRequest,
    ListExecutionsRequest,
    ListExecutionsResponse,
    WatchExecutionsRequest,
    WatchExecutionsResponse,
)
from chronos.history.v1.execution_service_pb2_grpc import ExecutionServiceServicer

from libs.names import DEFAULT_NAMESPACE
from services.history.convert import execution_from, position_from, resume_token
from services.history.executions import Executions
from services.history.feed import Feed, Scope


class ExecutionServicer(ExecutionServiceServicer):
    """See ExecutionService."""

    def __init__(self, executions: Executions, feed: Feed) -> None:
        self._executions = executions
        self._feed = feed

    async def GetExecution(
        self, request: GetExecutionRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> Execution:
        """See ExecutionService."""
        record = await self._executions.get(request.namespace or DEFAULT_NAMESPACE, request.job_id, request.id)
        return execution_from(record)

    async def ListExecutions(
        self, request: ListExecutionsRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> ListExecutionsResponse:
        """See ExecutionService."""
        page = await self._executions.list(
            request.namespace or DEFAULT_NAMESPACE,
            request.job_id,
            request.status,
            request.page_size,
            request.page_token,
        )
        executions = [execution_from(record) for record in page.records]
        return ListExecutionsResponse(executions=executions, next_page_token=page.next_page_token)

    async def WatchExecutions(
        self, request: WatchExecutionsRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[WatchExecutionsResponse]:
        """See ExecutionService."""
        scope = Scope(namespace=request.namespace or DEFAULT_NAMESPACE, job_id=request.job_id)
        async with aclosing(self._feed.watch(scope, position_from(request.resume_token))) as steps:
            async for step in steps:
                execution = execution_from(step.record) if step.record is not None else None
                yield WatchExecutionsResponse(execution=execution, resume_token=resume_token(step.position))
