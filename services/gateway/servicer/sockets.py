"""The RPC edge for dispatchers: events for connected programs."""

from typing import Any

import grpc
from chronos.gateway.v1 import socket_service_pb2 as socket_pb2
from chronos.gateway.v1 import socket_service_pb2_grpc as socket_grpc

from services.gateway.domain.socket_messages import SocketEvent
from services.gateway.sockets import Outcome, Sockets

Context = grpc.aio.ServicerContext[Any, Any]
Response = socket_pb2.DeliverEventResponse
OUTCOMES = {outcome: Response.Outcome.Value(outcome.name) for outcome in Outcome}


class SocketServicer(socket_grpc.SocketServiceServicer):
    """Serves SocketService."""

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets

    async def DeliverEvent(self, request: socket_pb2.DeliverEventRequest, context: Context) -> Response:
        """See the contract."""
        delivered = await self._sockets.deliver(request.client_name, _event(request.event))
        return Response(outcome=OUTCOMES[delivered.outcome], message=delivered.note)

    async def CopyEvent(self, request: socket_pb2.CopyEventRequest, context: Context) -> socket_pb2.CopyEventResponse:
        """See the contract."""
        return socket_pb2.CopyEventResponse(copies=self._sockets.copy(_event(request.event)))


def _event(message: socket_pb2.SocketEvent) -> SocketEvent:
    return SocketEvent(
        namespace=message.namespace,
        event_id=message.event_id,
        occurrence_id=message.occurrence_id,
        payload=message.payload,
        tags=tuple(message.tags),
        headers=dict(message.headers),
    )
