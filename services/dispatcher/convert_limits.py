"""How much the target of a job takes."""

from datetime import timedelta

from chronos.scheduler.v1 import job_pb2

from services.dispatcher.convert_targets.spans import span_or
from services.dispatcher.domain.limits import Limits

USUAL_PERIOD = timedelta(seconds=1)


def read_limits(job: job_pb2.Job) -> Limits | None:
    """The limits of a job; None without any. Schedulers send all that shares a key to one dispatcher."""
    message = job.limits
    if not (message.max_concurrent or message.max_per_period):
        return None
    return Limits(
        key=f"{job.namespace}/{message.name}" if message.name else job.uid,
        max_concurrent=message.max_concurrent,
        max_per_period=message.max_per_period,
        period=span_or(message.period, USUAL_PERIOD),
    )
