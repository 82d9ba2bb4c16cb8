"""What was recorded for an execution, made ready to be delivered once more."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2

from libs.templates import VARIABLES, parse_template

JSON = "application/json"
# The fields of each kind of target that may hold template variables, the body first. Identities that brokers know
# repetitions by are left out: like the idempotency key, they belong to the new execution.
TEXTS: Mapping[str, tuple[str, ...]] = {
    "webhook": ("body",),
    "grpc": ("payload",),
    "kafka": ("payload", "key"),
    "nats": ("payload",),
    "rabbitmq": ("payload", "routing_key"),
    "websocket": ("payload",),
}


def target_of(job: job_pb2.Job) -> Any:
    """The message that describes the target of a job that has one."""
    return getattr(job, job.WhichOneof("target") or "")


def headers_of(job: job_pb2.Job) -> Any:
    """The headers of a target, of a gRPC method its metadata; None where a target has none."""
    return job.grpc.metadata if job.HasField("grpc") else getattr(target_of(job), "headers", None)


def filled_in(job: job_pb2.Job, execution: execution_pb2.Execution) -> job_pb2.Job:
    """What a recorded job delivered for an execution at first: its variables replaced, its timeout written out.

    Holds the target, the signing and the cloud event of the job, and nothing else. Its texts are plain, no templates:
    `escape` makes them such again.
    """
    found = job_pb2.Job()
    for name in (job.WhichOneof("target"), "signing", "cloud_event"):
        if name is not None and job.HasField(name):
            getattr(found, name).CopyFrom(getattr(job, name))
    target = target_of(found)
    if not target.HasField("timeout") and job.HasField("timeout"):
        target.timeout.CopyFrom(job.timeout)
    values = _values(job, execution)
    quoted = {**values, "JobName": json.dumps(job.name)[1:-1]}
    body, *others = TEXTS[found.WhichOneof("target") or ""]
    setattr(target, body, _rendered(getattr(target, body), quoted if _is_json(found) else values))
    for name in others:
        setattr(target, name, _rendered(getattr(target, name), values))
    if found.cloud_event.subject:
        found.cloud_event.subject = _rendered(found.cloud_event.subject, values)
    return found


def escape(job: job_pb2.Job, *, but_body: bool = False) -> None:
    """Makes templates of the plain texts of what `filled_in` gave; of the body too, unless it is one already."""
    body, *others = TEXTS[job.WhichOneof("target") or ""]
    target = target_of(job)
    for name in others if but_body else [body, *others]:
        setattr(target, name, escaped(getattr(target, name)))
    if job.cloud_event.subject:
        job.cloud_event.subject = escaped(job.cloud_event.subject)


def escaped(body: str) -> str:
    """The template that renders to a plain body."""
    return body.replace("{{", '{{"{{"}}')


def _values(job: job_pb2.Job, execution: execution_pb2.Execution) -> Mapping[str, str]:
    scheduled = _rfc3339(execution.scheduled_time.ToDatetime(UTC))
    return dict(zip(VARIABLES, (job.id, job.name, job.namespace, execution.id, scheduled, "1"), strict=True))


def _rendered(text: str, values: Mapping[str, str]) -> str:
    return parse_template(text).render(values)


def _is_json(job: job_pb2.Job) -> bool:
    """Whether the dispatcher quoted names for JSON: as the target's content type says, where it has one."""
    headers = headers_of(job) or {}
    given = [value for name, value in headers.items() if name.lower() == "content-type"]
    match job.WhichOneof("target"):
        case "grpc" | "websocket":
            given = [JSON]
        case "rabbitmq":
            given = [job.rabbitmq.content_type or JSON]
        case "nats" if not given:
            return job.nats.payload.lstrip().startswith(("{", "["))
    essence = (given[-1] if given else JSON).partition(";")[0].strip().lower()
    return essence == JSON or essence.endswith("+json")


def _rfc3339(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat() + "Z"
