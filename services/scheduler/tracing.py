"""The trace of an execution: begins with its firing, goes on in the dispatcher and in the webhook."""

from libs import telemetry
from services.scheduler.domain.occurrence import Cause


def firing_traceparent(execution_id: str, job_id: str, cause: Cause, *, parent: str = "") -> str:
    """The W3C trace context to hand on with a run; sends a span "fire" where the trace is sampled.

    A scheduled run begins a trace of its own, whose id is the execution's UUID. A run that was asked for goes on in
    `parent`, the trace of the call.
    """
    root = parent or telemetry.execution_traceparent(execution_id, telemetry.is_sampled(execution_id))
    if not telemetry.is_exporting():
        return root
    attributes = {"chronos.execution_id": execution_id, "chronos.job_id": job_id, "chronos.cause": cause.value}
    with telemetry.span("fire", telemetry.SpanKind.PRODUCER, root, attributes):
        return telemetry.traceparent()
