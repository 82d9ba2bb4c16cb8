"""The RPC edge of the scheduler."""

from typing import Any

import grpc
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from libs.rpc import context as calls
from services.scheduler.jobs.jobs import Jobs
from services.scheduler.runs.backfills import Backfills
from services.scheduler.runs.triggers import Triggers
from services.scheduler.servicer.policy_warnings import tells_warnings

Context = grpc.aio.ServicerContext[Any, Any]


class JobServicer(job_service_pb2_grpc.JobServiceServicer):
    """chronos.scheduler.v1.JobService."""

    def __init__(self, jobs: Jobs, triggers: Triggers, backfills: Backfills) -> None:
        self._jobs = jobs
        self._triggers = triggers
        self._backfills = backfills

    @tells_warnings
    async def CreateJob(self, request: job_service_pb2.CreateJobRequest, context: Context) -> job_pb2.Job:
        """See the proto."""
        return await self._jobs.create(
            request.job,
            namespace=request.namespace,
            request_id=request.request_id,
            validate_only=request.validate_only,
            author=_author(),
        )

    async def GetJob(self, request: job_service_pb2.GetJobRequest, context: Context) -> job_pb2.Job:
        """See the proto."""
        return await self._jobs.get(request.namespace, request.id)

    async def ListJobs(
        self, request: job_service_pb2.ListJobsRequest, context: Context
    ) -> job_service_pb2.ListJobsResponse:
        """See the proto."""
        jobs, token = await self._jobs.list(
            request.namespace, size=request.page_size, token=request.page_token, filter_text=request.filter
        )
        return job_service_pb2.ListJobsResponse(jobs=jobs, next_page_token=token)

    @tells_warnings
    async def ReplaceJob(self, request: job_service_pb2.ReplaceJobRequest, context: Context) -> job_pb2.Job:
        """See the proto."""
        return await self._jobs.replace(
            request.namespace,
            request.id,
            request.job,
            validate_only=request.validate_only,
            author=_author(),
            comment=request.comment,
        )

    @tells_warnings
    async def UpdateJob(self, request: job_service_pb2.UpdateJobRequest, context: Context) -> job_pb2.Job:
        """See the proto."""
        return await self._jobs.update(
            request.namespace,
            request.id,
            request.job,
            request.update_mask,
            validate_only=request.validate_only,
            author=_author(),
            comment=request.comment,
        )

    @tells_warnings
    async def DeleteJob(
        self, request: job_service_pb2.DeleteJobRequest, context: Context
    ) -> job_service_pb2.DeleteJobResponse:
        """See the proto."""
        await self._jobs.delete(request.namespace, request.id, etag=request.etag)
        return job_service_pb2.DeleteJobResponse(id=request.id)

    @tells_warnings
    async def TriggerJob(self, request: job_service_pb2.TriggerJobRequest, context: Context) -> execution_pb2.Execution:
        """See the proto."""
        return await self._triggers.trigger(
            request.namespace,
            request.id,
            request_id=request.request_id,
            concurrency=request.concurrency,
            actor=_author(),
        )

    @tells_warnings
    async def EnableJob(self, request: job_service_pb2.EnableJobRequest, context: Context) -> job_pb2.Job:
        """See the proto."""
        job = await self._jobs.set_enabled(request.namespace, request.id, is_enabled=True, author=_author())
        if request.catch_up:
            found = await self._jobs.find(request.namespace, request.id)
            await self._backfills.catch_up(found.stored, actor=_author())
        return job

    async def DisableJob(self, request: job_service_pb2.DisableJobRequest, context: Context) -> job_pb2.Job:
        """See the proto."""
        return await self._jobs.set_enabled(request.namespace, request.id, is_enabled=False, author=_author())


def _author() -> str:
    return calls.current().principal.id
