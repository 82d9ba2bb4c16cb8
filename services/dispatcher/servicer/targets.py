"""The RPC edge for trial deliveries."""

from collections.abc import Callable
from typing import Any

import grpc
from chronos.dispatcher.v1 import target_service_pb2 as target_pb2
from chronos.dispatcher.v1 import target_service_pb2_grpc as target_grpc

from libs.names import DEFAULT_NAMESPACE
from services.dispatcher.convert_trials import write_trial
from services.dispatcher.domain.targets.plan import TargetPlan
from services.dispatcher.trials import Trials

Context = grpc.aio.ServicerContext[Any, Any]


class TargetServicer(target_grpc.TargetServiceServicer):
    """Serves TargetService. `read` compiles what is asked for."""

    def __init__(self, trials: Trials, read: Callable[[target_pb2.TestTargetRequest], TargetPlan]) -> None:
        self._trials = trials
        self._read = read

    async def TestTarget(
        self, request: target_pb2.TestTargetRequest, context: Context
    ) -> target_pb2.TestTargetResponse:
        """See the contract."""
        target = self._read(request)
        trial = await self._trials.make(target, namespace=request.namespace or DEFAULT_NAMESPACE)
        return write_trial(trial, target)
