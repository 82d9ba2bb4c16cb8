"""The RPC edge for circuit breakers."""

from typing import Any

import grpc
from chronos.dispatcher.v1 import circuit_breaker_service_pb2 as breaker_pb2
from chronos.dispatcher.v1 import circuit_breaker_service_pb2_grpc as breaker_grpc

from services.dispatcher.ports import BreakerBoard

Context = grpc.aio.ServicerContext[Any, Any]


class BreakerServicer(breaker_grpc.CircuitBreakerServiceServicer):
    """Serves CircuitBreakerService."""

    def __init__(self, board: BreakerBoard) -> None:
        self._board = board

    async def ListCircuitBreakers(
        self, request: breaker_pb2.ListCircuitBreakersRequest, context: Context
    ) -> breaker_pb2.ListCircuitBreakersResponse:
        """See the contract."""
        found = [breaker for breaker in self._board.breakers() if request.host in ("", breaker.host)]
        found.sort(key=lambda breaker: (breaker.host, breaker.dispatcher))
        return breaker_pb2.ListCircuitBreakersResponse(circuit_breakers=found)
