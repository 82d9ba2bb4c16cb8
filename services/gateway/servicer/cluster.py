"""The RPC edge for the cluster."""

from typing import Any

import grpc
from chronos.gateway.v1 import cluster_service_pb2, cluster_service_pb2_grpc

from services.gateway.cluster import Clusters
from services.gateway.convert import cluster_status

Context = grpc.aio.ServicerContext[Any, Any]


class ClusterServicer(cluster_service_pb2_grpc.ClusterServiceServicer):
    """chronos.gateway.v1.ClusterService."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    async def GetClusterStatus(
        self, request: cluster_service_pb2.GetClusterStatusRequest, context: Context
    ) -> cluster_service_pb2.ClusterStatus:
        """See the proto."""
        return cluster_status(await self._clusters.diagnose())
