"""The account of decisions, kept at any history."""

from collections.abc import Sequence
from datetime import timedelta

from chronos.history.v1 import policy_decision_pb2, policy_decision_service_pb2, policy_decision_service_pb2_grpc

from libs.etcd.membership import MemberWatch
from libs.rpc.member_channels import OpenChannel
from services.scheduler.adapters.history_channels import HistoryChannels

RECORD_DEADLINE = timedelta(seconds=5)


class HistoryDecisions:
    """See ports.decisions.DecisionStore."""

    def __init__(self, members: MemberWatch, open_channel: OpenChannel) -> None:
        self._channels = HistoryChannels(members, open_channel)

    async def record(self, decisions: Sequence[policy_decision_pb2.PolicyDecision]) -> None:
        """See ports.decisions.DecisionStore."""
        request = policy_decision_service_pb2.RecordPolicyDecisionsRequest(decisions=decisions)
        async with self._channels.channel() as channel:
            stub = policy_decision_service_pb2_grpc.PolicyDecisionServiceStub(channel)
            await stub.RecordPolicyDecisions(request, timeout=RECORD_DEADLINE.total_seconds())

    async def close(self) -> None:
        """Closes every channel."""
        await self._channels.close()
