"""Wires the gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from chronos.gateway.v1.cluster_service_pb2_grpc import add_ClusterServiceServicer_to_server
from chronos.gateway.v1.socket_service_pb2_grpc import add_SocketServiceServicer_to_server
from prometheus_client import generate_latest

from libs.contract import read_contract
from libs.log import get_logger
from libs.mesh import open_node
from libs.process import App
from libs.rpc.auth import Authenticator
from services.gateway.adapters.body_rules import read_bodies
from services.gateway.adapters.etcd_cluster import EtcdClusterReader
from services.gateway.adapters.metrics_http import HttpMetricsReader
from services.gateway.cluster import Clusters
from services.gateway.http import GatewayHttp
from services.gateway.http_server import HttpServer
from services.gateway.metrics_page import MetricsPage
from services.gateway.servicer.cluster import ClusterServicer
from services.gateway.servicer.sockets import SocketServicer
from services.gateway.settings import GatewaySettings
from services.gateway.sockets import Sockets
from services.gateway.websocket import SocketEndpoint

CLUSTERS = "chronos.gateway.v1.ClusterService"
SOCKETS = "chronos.gateway.v1.SocketService"

logger = get_logger()


@asynccontextmanager
async def open_app(settings: GatewaySettings) -> AsyncIterator[App]:
    """The gateway, ready to start."""
    contract = read_contract(settings.descriptor_file.read_bytes())
    bodies = read_bodies(contract)
    openapi = settings.openapi_file.read_bytes()
    async with open_node("gateway", settings) as node, httpx.AsyncClient(trust_env=False) as client:
        clusters = Clusters(
            reader=EtcdClusterReader(node.etcd),
            clock=node.clock,
            expected_services=settings.expected_services or contract.owners,
            watermark_tolerance=settings.watermark_tolerance,
        )
        sockets = Sockets()
        endpoint = SocketEndpoint(sockets, Authenticator(node.keys, node.clock), node.clock)
        server = node.server([
            (add_ClusterServiceServicer_to_server, ClusterServicer(clusters), CLUSTERS),
            (add_SocketServiceServicer_to_server, SocketServicer(sockets), SOCKETS),
        ])  # fmt: skip
        metrics = MetricsPage(
            clusters=clusters,
            reader=HttpMetricsReader(client, settings.scrape_timeout),
            own_page=lambda: generate_latest().decode(),
            replica=settings.replica,
            instance=node.member.instance,
            freshness=settings.health_freshness,
        )
        gateway = GatewayHttp(
            bodies=bodies,
            clusters=clusters,
            metrics=metrics,
            openapi=openapi,
            is_live=lambda: server.is_serving,
            serve_socket=endpoint.serve,
            health_freshness=settings.health_freshness,
        )
        http = HttpServer(gateway.app(), settings.http_listen)

        async def start() -> None:
            logger.info("http bound", address=http.bind())
            await node.start(server)

        async def drain() -> None:
            await node.membership.withdraw()
            await server.drain(settings.drain_timeout / 2)
            await node.clock.sleep(settings.lame_duck)
            endpoint.close_all()
            await http.stop()

        yield App(start=start, loops={**node.loops, "http": http.run}, drain=drain)
