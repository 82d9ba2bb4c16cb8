"""What the deliveries of a job carry."""

from collections.abc import Sequence

from chronos.scheduler.v1 import job_pb2, signing_pb2

from libs.signing_secrets import parse_secret
from services.dispatcher.domain.cloud_events import DEFAULT_TYPE, CloudEvent
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import compile_text


def read_contract(job: job_pb2.Job, *, usual_secrets: Sequence[str]) -> Contract:
    """The contract of a job; `usual_secrets` sign where it has none of its own. Raises ValueError for a bad secret."""
    return Contract(
        secrets=tuple(parse_secret(secret) for secret in job.signing.secrets or usual_secrets),
        qhronos_secret=job.signing.qhronos_secret.encode(),
        event=_event(job) if job.HasField("cloud_event") else None,
    )


def _event(job: job_pb2.Job) -> CloudEvent:
    given = job.cloud_event
    return CloudEvent(
        source=given.source or f"/namespaces/{job.namespace}/jobs/{job.id}",
        type=given.type or DEFAULT_TYPE,
        subject=compile_text(given.subject) if given.subject else None,
        is_structured=given.mode == signing_pb2.CloudEvent.STRUCTURED,
    )
