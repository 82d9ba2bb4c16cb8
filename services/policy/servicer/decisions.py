"""The RPC edge for the services that enforce policies."""

from typing import Any

import grpc
from chronos.policy.v1 import decision_service_pb2, decision_service_pb2_grpc

from services.policy.convert import answer_from, question_from
from services.policy.decisions import Decisions

Context = grpc.aio.ServicerContext[Any, Any]


class DecisionServicer(decision_service_pb2_grpc.DecisionServiceServicer):
    """chronos.policy.v1.DecisionService."""

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions

    async def Decide(
        self, request: decision_service_pb2.DecideRequest, context: Context
    ) -> decision_service_pb2.DecideResponse:
        """See the proto."""
        draft = request.draft if request.HasField("draft") else None
        decided = await self._decisions.decide(map(question_from, request.questions), draft)
        return decision_service_pb2.DecideResponse(
            answers=map(answer_from, decided.judgements), revision=decided.revision
        )
