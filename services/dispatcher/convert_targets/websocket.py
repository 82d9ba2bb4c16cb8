"""Events for programs that are connected over WebSocket."""

from datetime import timedelta

from chronos.scheduler.v1 import websocket_target_pb2

from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.targets.websocket import SocketMessage, SocketPlan, compile_socket


def read_websocket(
    message: websocket_target_pb2.WebsocketTarget, *, namespace: str, timeout: timedelta, contract: Contract
) -> SocketPlan:
    """The plan of an event."""
    event = SocketMessage(
        namespace=namespace, client_name=message.client_name, payload=message.payload, tags=tuple(message.tags)
    )
    return compile_socket(event, timeout=timeout, contract=contract)
