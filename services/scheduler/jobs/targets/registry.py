"""The target of a job, whatever its protocol."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chronos.scheduler.v1 import job_pb2

from libs.faults import Violation
from services.scheduler.jobs.targets import (
    cloud_event,
    completion,
    grpc,
    kafka,
    nats,
    rabbitmq,
    signing,
    webhook,
    websocket,
)


@dataclass(frozen=True, slots=True)
class _Rules:
    """What is known of one kind of target: `fill` writes out what is left out, `violations` says what is wrong."""

    fill: Callable[[Any], None]
    violations: Callable[[Any], Iterator[Violation]]


_RULES: Mapping[str, _Rules] = {
    "grpc": _Rules(grpc.fill, grpc.violations),
    "kafka": _Rules(kafka.fill, kafka.violations),
    "nats": _Rules(nats.fill, nats.violations),
    "rabbitmq": _Rules(rabbitmq.fill, rabbitmq.violations),
    "webhook": _Rules(webhook.fill, webhook.violations),
    "websocket": _Rules(websocket.fill, websocket.violations),
}


def fill_target(job: job_pb2.Job) -> None:
    """Says what fields of the target that were left out mean."""
    kind = job.WhichOneof("target")
    if kind is not None:
        _RULES[kind].fill(getattr(job, kind))
    cloud_event.fill(job)


def target_violations(job: job_pb2.Job) -> Iterator[Violation]:
    """What is wrong with the target and the way it is delivered to, beyond shape."""
    kind = job.WhichOneof("target")
    if kind is not None:
        yield from _RULES[kind].violations(getattr(job, kind))
    yield from signing.violations(job.signing)
    yield from cloud_event.violations(job)
    yield from completion.violations(job)
