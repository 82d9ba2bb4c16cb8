"""Events for connected programs, handed to the gateway that holds the connection."""

import asyncio
from collections import OrderedDict
from datetime import timedelta

import grpc
from chronos.gateway.v1 import socket_service_pb2 as socket_pb2
from chronos.gateway.v1 import socket_service_pb2_grpc as socket_grpc

from libs.etcd.membership import MemberWatch
from libs.faults import Fault
from libs.log import get_logger
from libs.rpc.member_channels import MemberChannels, OpenChannel
from services.dispatcher.adapters.gateway_failures import failure_of, unanswered
from services.dispatcher.domain.results import Failure, FailureKind, Receipt, Result
from services.dispatcher.domain.targets.websocket import SocketRequest

MOST_REMEMBERED = 10_000
COPY_SECONDS = 2.0
MOST_COPIES_UNDER_WAY = 1_000
Outcome = socket_pb2.DeliverEventResponse

logger = get_logger()


class Gateways:
    """Asks the gateways in turn which of them holds a client, the one that had it last first.

    `run` must be running: it owns the copies, which nobody waits for.
    """

    def __init__(self, members: MemberWatch, open_channel: OpenChannel) -> None:
        self._channels = MemberChannels(members, open_channel)
        self._last: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._copies: asyncio.Queue[SocketRequest] = asyncio.Queue(MOST_COPIES_UNDER_WAY)

    async def send(self, request: SocketRequest) -> Result:
        """See Sender."""
        message = _event(request)
        if request.tags and not self._copies.full():
            self._copies.put_nowait(request)
        try:
            async with asyncio.timeout(request.timeout.total_seconds()):
                return await self._deliver(request, message)
        except TimeoutError:
            error = f"the client {request.client_name} did not acknowledge within {request.timeout.total_seconds():g} s"
            return Failure(kind=FailureKind.TIMEOUT, error=error)

    async def run(self) -> None:
        """Sends copies to the listeners of all gateways, until cancelled."""
        while True:
            request = await self._copies.get()
            async with asyncio.TaskGroup() as group:
                for address in self._channels.addresses():
                    group.create_task(self._copy(address, _event(request)))

    async def close(self) -> None:
        """Closes all connections."""
        await self._channels.close()

    async def _deliver(self, request: SocketRequest, event: socket_pb2.SocketEvent) -> Result:
        key = (request.namespace, request.client_name)
        asked = socket_pb2.DeliverEventRequest(client_name=request.client_name, event=event)
        missing: Failure | None = None
        for address in self._in_turn(key):
            answer = await self._ask(address, asked, request.timeout)
            if isinstance(answer, Failure):
                if answer.kind is FailureKind.BROKEN:
                    return answer
                missing = answer
            elif answer.outcome != Outcome.NOT_CONNECTED:
                self._remember(key, address)
                return failure_of(answer, request) or Receipt(response=answer.message or "acknowledged")
        return missing or Failure(
            kind=FailureKind.UNREADY,
            error=f'no client "{request.client_name}" of the namespace {request.namespace} is connected to /ws',
        )

    async def _ask(self, address: str, asked: socket_pb2.DeliverEventRequest, timeout: timedelta) -> Outcome | Failure:
        """What one gateway says; BROKEN when it may have passed the event on all the same."""
        try:
            async with self._channels.to(address) as channel:
                return await _stub(channel).DeliverEvent(asked, timeout=timeout.total_seconds())
        except Fault as fault:
            return unanswered(fault)

    async def _copy(self, address: str, event: socket_pb2.SocketEvent) -> None:
        try:
            async with self._channels.to(address) as channel:
                await _stub(channel).CopyEvent(socket_pb2.CopyEventRequest(event=event), timeout=COPY_SECONDS)
        except Fault as fault:
            logger.warning("no copies for listeners", gateway=address, error=fault.message)

    def _in_turn(self, key: tuple[str, str]) -> list[str]:
        last = self._last.get(key)
        return sorted(self._channels.addresses(), key=lambda address: address != last)

    def _remember(self, key: tuple[str, str], address: str) -> None:
        self._last[key] = address
        self._last.move_to_end(key)
        while len(self._last) > MOST_REMEMBERED:
            self._last.popitem(last=False)


def _stub(channel: grpc.aio.Channel) -> "socket_grpc.SocketServiceAsyncStub":
    return socket_grpc.SocketServiceStub(channel)


def _event(request: SocketRequest) -> socket_pb2.SocketEvent:
    return socket_pb2.SocketEvent(
        namespace=request.namespace,
        event_id=request.job_id,
        occurrence_id=request.execution_id,
        payload=request.payload,
        tags=request.tags,
        headers=request.headers,
    )
