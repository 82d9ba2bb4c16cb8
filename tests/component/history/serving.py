"""History behind a real gRPC server on a free port of the loopback, without etcd."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chronos.auth.v1.api_key_pb2 import ApiKey
from chronos.history.v1.execution_service_pb2_grpc import ExecutionServiceStub
from chronos.history.v1.ledger_service_pb2_grpc import LedgerServiceStub

from libs.clock import Clock, SystemClock
from libs.rpc.auth import Authenticator
from libs.rpc.channel import open_channel
from libs.rpc.credentials import new_key
from libs.rpc.server import RpcServer
from services.history.app import History, wire
from services.history.ports import Archive, Ledger
from services.history.settings import HistorySettings

if TYPE_CHECKING:
    from chronos.history.v1.execution_service_pb2_grpc import ExecutionServiceAsyncStub
    from chronos.history.v1.ledger_service_pb2_grpc import LedgerServiceAsyncStub

MESH_TOKEN = "a secret of the mesh"


class Keys:
    """A directory of a few keys."""

    is_ready = True

    def __init__(self, *keys: ApiKey) -> None:
        self._keys = {key.id: key for key in keys}

    def find(self, key_id: str) -> ApiKey | None:
        return self._keys.get(key_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running server and clients of it."""

    address: str
    server: RpcServer
    history: History
    ledger: "LedgerServiceAsyncStub"
    executions: "ExecutionServiceAsyncStub"
    key: str

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What callers from outside must send."""
        return (("x-api-key", self.key),)


@asynccontextmanager
async def serving(
    ledger: Ledger,
    archive: Archive,
    *,
    settings: HistorySettings | None = None,
    clock: Clock | None = None,
    permissions: Sequence[str] = ("execution:read",),
) -> AsyncIterator[Served]:
    """Serves, and runs the feed and the write health."""
    clock = clock or SystemClock()
    text, key = new_key("test", permissions, ["default", "ops"], SystemClock())
    history = wire(settings or HistorySettings(), ledger, archive, clock)
    server = RpcServer(
        "127.0.0.1:0",
        history.services,
        authenticator=Authenticator(Keys(key), SystemClock()),
        clock=SystemClock(),
        mesh_token=MESH_TOKEN,
    )
    address = await server.start()
    tell = server.set_serving
    async with open_channel(address, mesh_token=MESH_TOKEN) as channel, asyncio.TaskGroup() as group:
        loops = [group.create_task(loop()) for loop in (history.feed.run, lambda: history.health.run(ledger, tell))]
        try:
            yield Served(
                address=address,
                server=server,
                history=history,
                ledger=LedgerServiceStub(channel),
                executions=ExecutionServiceStub(channel),
                key=text,
            )
        finally:
            for loop in loops:
                loop.cancel()
            await server.drain(settings.drain_timeout if settings else HistorySettings().drain_timeout)
