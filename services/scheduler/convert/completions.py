"""How executions are completed whose targets only accept the work, between messages and values."""

from datetime import datetime, timedelta

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2

Execution = execution_pb2.Execution
USUAL_DEADLINE = timedelta(hours=1)  # the contract's default (completion.proto)


def span_of(definition: bytes) -> timedelta:
    """How long targets have to complete the runs of a job, from the job as it is handed on."""
    return job_pb2.Job.FromString(definition).completion.deadline.ToTimedelta() or USUAL_DEADLINE


def completed(
    execution: Execution,
    status: execution_pb2.Execution.Status.ValueType,
    *,
    response: str,
    error: str,
    reason: str,
    now: datetime,
) -> stored_job_pb2.StoredCompletion:
    """The end of an execution that the ledger has, as its target tells it."""
    end = Execution(
        id=execution.id,
        namespace=execution.namespace,
        job_id=execution.job_id,
        job_uid=execution.job_uid,
        job_name=execution.job_name,
        job_version=execution.job_version,
        cause=execution.cause,
        scheduled_time=execution.scheduled_time,
        delivery=execution.delivery,
        status=status,
        status_code=execution.status_code,
        response=response,
        error=error,
        reason=reason,
    )
    end.completed_at.FromDatetime(now)
    return stored_job_pb2.StoredCompletion(execution=end)
