"""What goes wrong with events for connected programs, in words for the owner of a job."""

from chronos.gateway.v1 import socket_service_pb2 as socket_pb2

from libs.faults import Fault, Unheard
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.targets.websocket import SocketRequest

Response = socket_pb2.DeliverEventResponse


def failure_of(answer: Response, request: SocketRequest) -> Failure | None:
    """Why an event was not acknowledged; None when it was."""
    client = f'the client "{request.client_name}"'
    match answer.outcome:
        case Response.ACKNOWLEDGED:
            return None
        case Response.REJECTED:
            said = f": {answer.message}" if answer.message else ""
            return Failure(kind=FailureKind.BROKEN, error=f"{client} refused the event{said}")
        case _:
            return Failure(kind=FailureKind.BROKEN, error=f"{client} was gone before it acknowledged the event")


def unanswered(fault: Fault) -> Failure:
    """A gateway did not answer. Nothing was sent only when it has not heard of the event."""
    kind = FailureKind.UNREADY if isinstance(fault, Unheard) else FailureKind.BROKEN
    return Failure(kind=kind, error=f"a gateway did not answer: {fault.message}")
