"""When an execution ends whose target tells later."""

from chronos.scheduler.v1 import job_pb2

from services.dispatcher.convert_targets.spans import span_or
from services.dispatcher.domain.completion import HTTP_ACCEPTED, USUAL_DEADLINE, Completion


def read_completion(job: job_pb2.Job) -> Completion | None:
    """How the target completes executions of a job; None when its answer is the end."""
    if not job.HasField("completion"):
        return None
    codes = tuple(job.completion.accepted_codes)
    if job.HasField("webhook"):
        codes = codes or (HTTP_ACCEPTED,)
    return Completion(deadline=span_or(job.completion.deadline, USUAL_DEADLINE), accepted_codes=frozenset(codes))
