"""Deliveries as CloudEvents."""

import re
from collections.abc import Iterator

from chronos.scheduler.v1 import job_pb2, signing_pb2

from libs.faults import Violation
from services.scheduler.domain import rules

CloudEvent = signing_pb2.CloudEvent
DEFAULT_TYPE = "io.chronos.execution.due"
# RFC 3986: what a URI reference is made of.
URI_REFERENCE = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
PREFIXES = ("ce-", "ce_", "cloudevents:", "cloudevents_")
BODILESS = ("GET", "HEAD")


def fill(job: job_pb2.Job) -> None:
    """Says what fields that were left out mean; not the source, so that a copy of the job gets its own."""
    if job.HasField("cloud_event"):
        job.cloud_event.mode = job.cloud_event.mode or CloudEvent.BINARY
        job.cloud_event.type = job.cloud_event.type or DEFAULT_TYPE


def violations(job: job_pb2.Job) -> Iterator[Violation]:
    """What is wrong with the events, or with the target for events."""
    if not job.HasField("cloud_event"):
        return
    event = job.cloud_event
    if URI_REFERENCE.fullmatch(event.source) is None:
        description = "is no URI reference; write for example /billing or https://example.com/billing, blanks as %20"
        yield Violation(field="cloud_event.source", description=description)
    for name, text in (("type", event.type), ("subject", event.subject)):
        if not text.isprintable():
            yield Violation(field=f"cloud_event.{name}", description="holds control characters; take them out")
    yield from rules.template_violations("cloud_event.subject", [event.subject])
    yield from _header_violations(job)
    if event.mode == CloudEvent.STRUCTURED:
        yield from _envelope_violations(job)


def _header_violations(job: job_pb2.Job) -> Iterator[Violation]:
    kind = job.WhichOneof("target")
    if kind is None:
        return
    field = "metadata" if kind == "grpc" else "headers"
    for name in sorted(getattr(getattr(job, kind), field, ())):
        if name.lower().startswith(PREFIXES):
            description = "is set by Chronos, since the job has a cloud_event; leave it out"
            yield Violation(field=f"{kind}.{field}[{name!r}]", description=description)


def _envelope_violations(job: job_pb2.Job) -> Iterator[Violation]:
    problem = ""
    if job.HasField("grpc"):
        problem = "a gRPC method, whose messages have types of their own"
    elif job.HasField("webhook") and job.webhook.method in BODILESS:
        problem = f"{job.webhook.method}, which has no body"
    elif job.HasField("rabbitmq") and job.rabbitmq.content_encoding:
        problem = "content_encoding, since the envelope is not encoded"
    if problem:
        yield Violation(field="cloud_event.mode", description=f"cannot be STRUCTURED with {problem}; use BINARY")
