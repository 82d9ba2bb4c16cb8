"""The RPC edge of history: executions for everybody, and the ledger's inner side for the mesh."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from chronos.history.v1 import (
    dead_letter_pb2,
    dead_letter_service_pb2,
    execution_pb2,
    execution_service_pb2,
    ledger_service_pb2,
    policy_decision_service_pb2,
)
from chronos.history.v1.dead_letter_service_pb2_grpc import DeadLetterServiceServicer
from chronos.history.v1.execution_service_pb2_grpc import ExecutionServiceServicer
from chronos.history.v1.ledger_service_pb2_grpc import LedgerServiceServicer
from chronos.history.v1.policy_decision_service_pb2_grpc import PolicyDecisionServiceServicer

from libs.clock import Clock
from libs.names import DEFAULT_NAMESPACE
from services.history.convert import definition_from, detailed_execution_from, execution_from, uuid_text
from services.history.convert_dead_letters import (
    choice_from,
    dead_letters_from,
    detailed_letter_from,
    found_choice_from,
)
from services.history.convert_decisions import decision_choice_from, decision_messages, decisions_from
from services.history.convert_queries import listing_from, position_from, resume_token, search_from, us_from
from services.history.convert_records import Limits, batch_from
from services.history.convert_seals import seal_parts
from services.history.dead_letters import DeadLetters
from services.history.decisions import Decisions
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


class DeadLetterServicer(DeadLetterServiceServicer):
    """chronos.history.v1.DeadLetterService."""

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters

    async def GetDeadLetter(
        self, request: dead_letter_service_pb2.GetDeadLetterRequest, context: Context
    ) -> dead_letter_pb2.DeadLetter:
        """See the proto."""
        return detailed_letter_from(await self._letters.get(request.namespace or DEFAULT_NAMESPACE, request.id))

    async def ListDeadLetters(
        self, request: dead_letter_service_pb2.ListDeadLettersRequest, context: Context
    ) -> dead_letter_service_pb2.ListDeadLettersResponse:
        """See the proto."""
        page = await self._letters.list(choice_from(request), request.page_size, request.page_token)
        return dead_letter_service_pb2.ListDeadLettersResponse(
            dead_letters=dead_letters_from(page.letters), next_page_token=page.next_page_token
        )

    async def FindDeadLetters(
        self, request: dead_letter_service_pb2.FindDeadLettersRequest, context: Context
    ) -> dead_letter_service_pb2.FindDeadLettersResponse:
        """See the proto."""
        asked = request.listing
        page = await self._letters.list(found_choice_from(request), asked.page_size, asked.page_token)
        return dead_letter_service_pb2.FindDeadLettersResponse(
            dead_letters=dead_letters_from(page.letters), next_page_token=page.next_page_token
        )

    async def DeleteDeadLetter(
        self, request: dead_letter_service_pb2.DeleteDeadLetterRequest, context: Context
    ) -> dead_letter_service_pb2.DeleteDeadLetterResponse:
        """See the proto."""
        await self._letters.delete(request.namespace or DEFAULT_NAMESPACE, request.id)
        return dead_letter_service_pb2.DeleteDeadLetterResponse(id=request.id)

    async def PurgeDeadLetters(
        self, request: dead_letter_service_pb2.PurgeDeadLettersRequest, context: Context
    ) -> dead_letter_service_pb2.PurgeDeadLettersResponse:
        """See the proto."""
        count = await self._letters.purge(choice_from(request), validate_only=request.validate_only)
        return dead_letter_service_pb2.PurgeDeadLettersResponse(count=count)


class PolicyDecisionServicer(PolicyDecisionServiceServicer):
    """chronos.history.v1.PolicyDecisionService."""

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions

    async def ListPolicyDecisions(
        self, request: policy_decision_service_pb2.ListPolicyDecisionsRequest, context: Context
    ) -> policy_decision_service_pb2.ListPolicyDecisionsResponse:
        """See the proto."""
        page = await self._decisions.list(decision_choice_from(request), request.page_size, request.page_token)
        return policy_decision_service_pb2.ListPolicyDecisionsResponse(
            decisions=decision_messages(page.decisions), next_page_token=page.next_page_token
        )

    async def RecordPolicyDecisions(
        self, request: policy_decision_service_pb2.RecordPolicyDecisionsRequest, context: Context
    ) -> policy_decision_service_pb2.RecordPolicyDecisionsResponse:
        """See the proto."""
        await self._decisions.record(decisions_from(request.decisions))
        return policy_decision_service_pb2.RecordPolicyDecisionsResponse()


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
