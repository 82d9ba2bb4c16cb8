"""The RPC edge of dead letters that are repeated."""

from typing import Any

import grpc
from chronos.history.v1 import dead_letter_service_pb2, execution_pb2
from chronos.scheduler.v1 import dead_letter_replay_service_pb2 as pb
from chronos.scheduler.v1.dead_letter_replay_service_pb2_grpc import DeadLetterReplayServiceServicer

from libs.rpc import context as calls
from services.scheduler.runs.dead_letters import DeadLetterReplays, ReplayedPage, Wish
from services.scheduler.servicer.policy_warnings import tells_warnings

Context = grpc.aio.ServicerContext[Any, Any]


class DeadLetterReplayServicer(DeadLetterReplayServiceServicer):
    """chronos.scheduler.v1.DeadLetterReplayService."""

    def __init__(self, replays: DeadLetterReplays) -> None:
        self._replays = replays

    @tells_warnings
    async def ReplayDeadLetter(self, request: pb.ReplayDeadLetterRequest, context: Context) -> execution_pb2.Execution:
        """See the proto."""
        return await self._replays.replay(request.namespace, request.id, _wish(request))

    @tells_warnings
    async def ReplayDeadLetters(
        self, request: pb.ReplayDeadLettersRequest, context: Context
    ) -> pb.ReplayDeadLettersResponse:
        """See the proto."""
        page = await self._replays.replay_page(_listing(request), _wish(request), validate_only=request.validate_only)
        return _answer(page)


def _wish(request: pb.ReplayDeadLetterRequest | pb.ReplayDeadLettersRequest) -> Wish:
    return Wish(skip_retries=request.skip_retries, request_id=request.request_id, actor=calls.current().principal.id)


def _listing(request: pb.ReplayDeadLettersRequest) -> dead_letter_service_pb2.ListDeadLettersRequest:
    listing = dead_letter_service_pb2.ListDeadLettersRequest(
        namespace=request.namespace,
        job_id=request.job_id,
        status=request.status,
        reason=request.reason,
        page_size=request.page_size,
        page_token=request.page_token,
    )
    if request.HasField("from"):
        getattr(listing, "from").CopyFrom(getattr(request, "from"))  # `from` is a keyword of Python
    if request.HasField("to"):
        listing.to.CopyFrom(request.to)
    return listing


def _answer(page: ReplayedPage) -> pb.ReplayDeadLettersResponse:
    return pb.ReplayDeadLettersResponse(
        dead_letter_ids=page.ids,
        execution_ids=page.execution_ids,
        failures=[pb.ReplayDeadLettersResponse.Failure(id=each, error=fault.message) for each, fault in page.failures],
        next_page_token=page.next_page_token,
    )
