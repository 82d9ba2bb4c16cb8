"""ClusterService at the RPC edge."""

from chronos.gateway.v1.cluster_service_pb2 import ClusterStatus, GetClusterStatusRequest
from chronos.gateway.v1.cluster_service_pb2_grpc import ClusterServiceServicer
from grpc.aio import ServicerContext

from services.gateway.cluster import Clusters
from services.gateway.convert import cluster_status


class ClusterServicer(ClusterServiceServicer):
    """See the contract."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    async def GetClusterStatus(  # noqa: N802 - gRPC's spelling
        self, request: GetClusterStatusRequest, context: ServicerContext
    ) -> ClusterStatus:
        """See the contract."""
        del request, context
        return cluster_status(await self._clusters.diagnose())
