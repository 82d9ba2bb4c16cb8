"""The RPC edge of policies that are tried out."""

from typing import Any

import grpc
from chronos.policy.v1 import decision_pb2
from chronos.scheduler.v1 import policy_trial_service_pb2 as pb
from chronos.scheduler.v1.policy_trial_service_pb2_grpc import PolicyTrialServiceServicer

from libs.rpc import context as calls
from services.scheduler.policies.trials import PolicyTrials

Context = grpc.aio.ServicerContext[Any, Any]


class PolicyTrialServicer(PolicyTrialServiceServicer):
    """chronos.scheduler.v1.PolicyTrialService."""

    def __init__(self, trials: PolicyTrials) -> None:
        self._trials = trials

    async def EvaluatePolicies(self, request: pb.EvaluatePoliciesRequest, context: Context) -> decision_pb2.Decision:
        """See the proto."""
        return await self._trials.evaluate(
            request.job,
            request.operation,
            request.policy if request.HasField("policy") else None,
            caller=calls.current().principal,
        )

    async def DryRunPolicy(self, request: pb.DryRunPolicyRequest, context: Context) -> pb.DryRunPolicyResponse:
        """See the proto."""
        return await self._trials.dry_run(
            request.namespace,
            request.id,
            request.policy if request.HasField("policy") else None,
            request.operation,
            caller=calls.current().principal,
        )
