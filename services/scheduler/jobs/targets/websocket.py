"""Events for programs that are connected over WebSocket."""

from collections.abc import Iterator

from chronos.scheduler.v1 import websocket_target_pb2

from libs.faults import Violation
from services.scheduler.domain import rules


def fill(target: websocket_target_pb2.WebsocketTarget) -> None:
    """There is nothing that a field left out would mean."""
    del target


def violations(target: websocket_target_pb2.WebsocketTarget) -> Iterator[Violation]:
    """What is wrong, beyond its shape."""
    yield from rules.template_violations("websocket.payload", [target.payload])
