"""A process as a member of the mesh: its connection to etcd, its lease, its name, its server."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata

import grpc
from chronos.cluster.v1.cluster_pb2 import Member

from libs.clock import Clock, SystemClock
from libs.etcd.api_keys import EtcdKeyDirectory
from libs.etcd.client import EtcdClient
from libs.etcd.endpoints import EtcdTls
from libs.etcd.lease import Lease
from libs.etcd.membership import Membership, MemberWatch
from libs.etcd.port import Etcd
from libs.log import get_logger
from libs.metrics import serve_metrics
from libs.rpc.auth import Authenticator
from libs.rpc.channel import open_channel
from libs.rpc.server import RpcServer, Service
from libs.rpc.tls import tls_files
from libs.settings import ServiceSettings

Loop = Callable[[], Awaitable[None]]
DISTRIBUTION = "chronos-scheduler"
GUARDS_PER_LEASE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What every service has. `member` has its addresses only after `start`."""

    settings: ServiceSettings
    clock: Clock
    etcd: Etcd
    lease: Lease
    keys: EtcdKeyDirectory
    member: Member
    membership: Membership

    @property
    def loops(self) -> dict[str, Loop]:
        """What must run for as long as the process is a member."""
        guard = partial(self.etcd.guard, self.settings.lease_ttl / GUARDS_PER_LEASE)
        return {"lease": self.lease.run, "membership": self.membership.run, "api keys": self.keys.run, "guard": guard}

    def server(self, services: Sequence[Service]) -> RpcServer:
        """The gRPC server that answers for this process."""
        return RpcServer(
            self.settings.listen,
            services,
            authenticator=Authenticator(self.keys, self.clock),
            clock=self.clock,
            mesh_token=self.settings.mesh_token.get_secret_value(),
            tls=tls_files(self.settings),
        )

    def channel(self, address: str) -> grpc.aio.Channel:
        """A channel to another service."""
        return open_channel(
            address, mesh_token=self.settings.mesh_token.get_secret_value(), tls=tls_files(self.settings)
        )

    def watch(self, service: str) -> MemberWatch:
        """The live members of a service; its `run` must be among the loops."""
        return MemberWatch(self.etcd, service)

    async def start(self, server: RpcServer) -> None:
        """Answers calls and serves metrics; from then on the addresses are known."""
        bound = await server.start()
        self.member.address = self.settings.advertise or bound
        self.member.metrics_address = await serve_metrics(self.settings.metrics_listen, lambda: server.is_serving)


OpenNode = Callable[[str, ServiceSettings], AbstractAsyncContextManager[Node]]
"""How a service becomes a member; see `open_node`. The simulation brings its own."""


@asynccontextmanager
async def open_node(service: str, settings: ServiceSettings) -> AsyncIterator[Node]:
    """Waits for etcd, and leaves the mesh at the end: the lease is revoked, the connection closed."""
    clock = SystemClock()
    tls = EtcdTls.of_files(settings.etcd_ca_file, settings.etcd_cert_file, settings.etcd_key_file)
    etcd = EtcdClient(settings.etcd_endpoints, tls=tls, clock=clock)
    try:
        await etcd.wait_until_ready(get_logger())
        lease = Lease(etcd, settings.lease_ttl, clock)
        member = Member(
            service=service,
            instance=f"{settings.replica}-{uuid.uuid4().hex[:8]}",
            replica=settings.replica,
            version=metadata.version(DISTRIBUTION),
        )
        member.started_at.FromDatetime(clock.now())
        try:
            yield Node(
                settings=settings,
                clock=clock,
                etcd=etcd,
                lease=lease,
                keys=EtcdKeyDirectory(etcd),
                member=member,
                membership=Membership(etcd, lease, member, clock),
            )
        finally:
            await lease.close()
    finally:
        await etcd.close()
