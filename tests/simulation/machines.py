"""The processes of a simulated mesh: the real services, started, killed, paused and started again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import grpc
from chronos.cluster.v1.cluster_pb2 import Member

from libs.etcd.api_keys import EtcdKeyDirectory
from libs.etcd.lease import Lease
from libs.etcd.membership import Membership
from libs.etcd.port import Etcd
from libs.log import get_logger
from libs.mesh import Node
from libs.process import App, serve
from libs.rpc.auth import Authenticator
from libs.rpc.channel import MeshChannel
from libs.rpc.server import Service
from libs.settings import ServiceSettings
from tests.simulation.clock import TrueTime
from tests.simulation.loop import SimLoop, life_of, new_life, start_task
from tests.simulation.network import Network
from tests.simulation.rpc_channel import SimChannel
from tests.simulation.rpc_server import SimServer

MESH_TOKEN = "token"
DEADLINE = timedelta(seconds=30)
DRAIN = timedelta(seconds=20)
RESTART_PAUSE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SimNode(Node):
    """A member of the simulated mesh."""

    network: Network

    def server(self, services: "list[Service]") -> SimServer:  # type: ignore[override]
        """See Node."""
        return SimServer(
            self.network,
            self.member.replica,
            address_of(self.member.replica),
            services,
            authenticator=Authenticator(self.keys, self.clock),
            clock=self.clock,
            mesh_token=MESH_TOKEN,
        )

    def channel(self, address: str) -> grpc.aio.Channel:
        """See Node."""
        return open_channel(self.network, self.member.replica, address)

    async def start(self, server: SimServer) -> None:  # type: ignore[override]
        """See Node."""
        self.member.address = await server.start()


@dataclass(slots=True)
class Mesh:
    """What all machines share."""

    loop: SimLoop
    network: Network
    time: TrueTime
    connect_etcd: Callable[[str], Etcd]
    crashes: list[str] = field(default_factory=list)
    """Processes that ended although nobody asked them to."""


class Machine:
    """One replica, kept running as a supervisor does."""

    def __init__(
        self, mesh: Mesh, name: str, open_app: "Callable[[Machine], AbstractAsyncContextManager[App]]"
    ) -> None:
        self.name = name
        self._mesh = mesh
        self._open_app = open_app
        self._stop = asyncio.Event()
        self._is_up = False
        self._starts = 0
        self._lease: Lease | None = None

    def start(self) -> None:
        """Starts a new process, unless one runs."""
        if self._is_up:
            return
        self._is_up = True
        self._starts += 1
        self._stop = asyncio.Event()
        new_life(self.name)
        self._mesh.network.start(self.name)
        start_task(self.name, self._live(), f"{self.name}#{self._starts}").add_done_callback(self._on_end)

    def kill(self) -> None:
        """kill -9."""
        self._is_up = False
        self._lease = None
        self._mesh.loop.kill(life_of(self.name))
        self._mesh.network.kill(self.name)

    def stop(self) -> None:
        """SIGTERM: it drains and ends, and is started again."""
        self._stop.set()

    def pause(self) -> None:
        """SIGSTOP."""
        self._mesh.network.pause(self.name)
        self._mesh.loop.pause(life_of(self.name))

    def resume(self) -> None:
        """SIGCONT."""
        self._mesh.network.resume(self.name)
        self._mesh.loop.resume(life_of(self.name))

    def trusts(self, lease: int) -> bool:
        """Whether the process would act because it has that lease."""
        return self._lease is not None and self._lease.id == lease and self._lease.is_trusted()

    @asynccontextmanager
    async def enter(self, service: str, settings: ServiceSettings) -> AsyncIterator[Node]:
        """See libs.mesh.open_node, on the simulated etcd."""
        clock, etcd = self._mesh.time.clock_of(self.name), self._mesh.connect_etcd(self.name)
        await etcd.wait_until_ready(get_logger())
        self._lease = lease = Lease(etcd, settings.lease_ttl, clock)
        member = Member(
            service=service, instance=f"{settings.replica}-{self._starts}", replica=settings.replica, version="0"
        )
        member.started_at.FromDatetime(clock.now())
        try:
            yield SimNode(
                settings=settings,
                clock=clock,
                etcd=etcd,
                lease=lease,
                keys=EtcdKeyDirectory(etcd),
                member=member,
                membership=Membership(etcd, lease, member, clock),
                network=self._mesh.network,
            )
        finally:
            await lease.close()

    async def _live(self) -> None:
        async with self._open_app(self) as app:
            await serve(app, self._stop, DRAIN, self._mesh.time.clock_of(self.name))

    def _on_end(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None or not self._stop.is_set():
            self._mesh.crashes.append(f"{self.name}: {error!r}")
        self.kill()
        self._mesh.loop.call_later(RESTART_PAUSE, self.start)


def address_of(replica: str) -> str:
    """Where a replica listens."""
    return f"{replica}:1"


def open_channel(network: Network, node: str, address: str) -> grpc.aio.Channel:
    """A channel from a node to an address, with the mesh's token."""
    token = (("x-chronos-mesh-token", MESH_TOKEN),)
    return MeshChannel(SimChannel(network, node, address), token, DEADLINE)
