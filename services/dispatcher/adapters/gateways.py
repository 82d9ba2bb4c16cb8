"""Events for connected programs, handed to the gateway that holds the connection."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence

import grpc
from chronos.gateway.v1 import socket_service_pb2 as socket_pb2
from chronos.gateway.v1 import socket_service_pb2_grpc as socket_grpc

from libs.log import get_logger
from services.dispatcher.adapters.gateway_failures import broken, failure_of
from services.dispatcher.domain.results import Failure, FailureKind, Receipt, Result
from services.dispatcher.domain.targets.websocket import SocketRequest

MOST_REMEMBERED = 10_000
COPY_SECONDS = 2.0
MOST_COPIES_UNDER_WAY = 1_000
NOT_TAKEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
"""It is away, or stops."""
Outcome = socket_pb2.DeliverEventResponse

logger = get_logger()


class Gateways:
    """Asks the gateways in turn which of them holds a client, the one that had it last first.

    `run` must be running: it owns the copies, which nobody waits for.
    """

    def __init__(self, addresses: Callable[[], Sequence[str]], open_channel: Callable[[str], grpc.aio.Channel]) -> None:
        self._addresses = addresses
        self._open_channel = open_channel
        self._channels: dict[str, grpc.aio.Channel] = {}
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
                for address in self._addresses():
                    group.create_task(self._copy(address, _event(request)))

    async def close(self) -> None:
        """Closes all connections."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    async def _deliver(self, request: SocketRequest, event: socket_pb2.SocketEvent) -> Result:
        key = (request.namespace, request.client_name)
        asked = socket_pb2.DeliverEventRequest(client_name=request.client_name, event=event)
        missing: Failure | None = None
        for address in self._in_turn(key):
            try:
                stub = await self._stub(address)
                answer = await stub.DeliverEvent(asked, timeout=request.timeout.total_seconds())
            except grpc.aio.AioRpcError as error:
                if error.code() not in NOT_TAKEN:
                    return broken(error)
                missing = broken(error)
                continue
            if answer.outcome != Outcome.NOT_CONNECTED:
                self._remember(key, address)
                return failure_of(answer, request) or Receipt(response=answer.message or "acknowledged")
        return missing or Failure(
            kind=FailureKind.UNREADY,
            error=f'no client "{request.client_name}" of the namespace {request.namespace} is connected to /ws',
        )

    async def _copy(self, address: str, event: socket_pb2.SocketEvent) -> None:
        try:
            stub = await self._stub(address)
            await stub.CopyEvent(socket_pb2.CopyEventRequest(event=event), timeout=COPY_SECONDS)
        except grpc.aio.AioRpcError as error:
            logger.warning("no copies for listeners", gateway=address, error=error.details())

    def _in_turn(self, key: tuple[str, str]) -> list[str]:
        last = self._last.get(key)
        return sorted(self._addresses(), key=lambda address: address != last)

    def _remember(self, key: tuple[str, str], address: str) -> None:
        self._last[key] = address
        self._last.move_to_end(key)
        while len(self._last) > MOST_REMEMBERED:
            self._last.popitem(last=False)

    async def _stub(self, address: str) -> "socket_grpc.SocketServiceAsyncStub":
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = self._open_channel(address)
            for gone in self._channels.keys() - set(self._addresses()) - {address}:
                await self._channels.pop(gone).close()
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
