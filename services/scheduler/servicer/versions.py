"""The RPC edge of job versions."""

from typing import Any

import grpc
from chronos.scheduler.v1 import job_version_service_pb2, job_version_service_pb2_grpc

from libs.rpc import context as calls
from services.scheduler.domain.differences import Difference, DifferenceKind
from services.scheduler.jobs.versions import JobVersions
from services.scheduler.servicer.policy_warnings import tells_warnings

Context = grpc.aio.ServicerContext[Any, Any]
KINDS = {
    DifferenceKind.ADDED: job_version_service_pb2.Difference.ADDED,
    DifferenceKind.REMOVED: job_version_service_pb2.Difference.REMOVED,
    DifferenceKind.MODIFIED: job_version_service_pb2.Difference.MODIFIED,
}


class JobVersionServicer(job_version_service_pb2_grpc.JobVersionServiceServicer):
    """chronos.scheduler.v1.JobVersionService."""

    def __init__(self, versions: JobVersions) -> None:
        self._versions = versions

    async def ListJobVersions(
        self, request: job_version_service_pb2.ListJobVersionsRequest, context: Context
    ) -> job_version_service_pb2.ListJobVersionsResponse:
        """See the proto."""
        versions, token = await self._versions.list(
            request.namespace, request.job_id, size=request.page_size, token=request.page_token
        )
        return job_version_service_pb2.ListJobVersionsResponse(versions=versions, next_page_token=token)

    async def GetJobVersion(
        self, request: job_version_service_pb2.GetJobVersionRequest, context: Context
    ) -> job_version_service_pb2.JobVersion:
        """See the proto."""
        return await self._versions.get(request.namespace, request.job_id, request.version)

    async def DiffJobVersions(
        self, request: job_version_service_pb2.DiffJobVersionsRequest, context: Context
    ) -> job_version_service_pb2.DiffJobVersionsResponse:
        """See the proto."""
        old, found = await self._versions.compare(
            request.namespace, request.job_id, request.version, against=request.against
        )
        return job_version_service_pb2.DiffJobVersionsResponse(
            old_version=old, new_version=request.version, differences=[_difference(one) for one in found]
        )

    @tells_warnings
    async def RollbackJob(
        self, request: job_version_service_pb2.RollbackJobRequest, context: Context
    ) -> job_version_service_pb2.RollbackJobResponse:
        """See the proto."""
        job, old = await self._versions.rollback(
            request.namespace,
            request.job_id,
            request.version,
            etag=request.etag,
            comment=request.comment,
            author=calls.current().principal.id,
        )
        return job_version_service_pb2.RollbackJobResponse(job=job, rolled_back_from=old, new_version=job.version)


def _difference(found: Difference) -> job_version_service_pb2.Difference:
    return job_version_service_pb2.Difference(
        path=found.path, kind=KINDS[found.kind], old_value=found.old, new_value=found.new
    )
