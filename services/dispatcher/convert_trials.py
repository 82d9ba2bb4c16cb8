"""Trial deliveries, as callers ask for them and are told of them."""

from collections.abc import Mapping, Sequence

from chronos.dispatcher.v1 import target_service_pb2 as target_pb2
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2

from libs.faults import InvalidArgument, Violation
from libs.names import DEFAULT_NAMESPACE
from libs.redaction import MASK
from libs.secret_fields import unmask
from services.dispatcher.convert_contracts import read_contract
from services.dispatcher.convert_secrets import read_with_secrets
from services.dispatcher.convert_targets.targets import read_target
from services.dispatcher.domain.deferred import DeferredRequest
from services.dispatcher.domain.facts import compile_text
from services.dispatcher.domain.targets.plan import Request, Shown, TargetPlan
from services.dispatcher.protobuf_times import write_span
from services.dispatcher.trials import JOB, Trial

BODIES = ("body", "payload", "value")
"""What the requests of the protocols call what they carry."""


def read_trial(message: target_pb2.TestTargetRequest, *, user_agent: str, usual_secrets: Sequence[str]) -> TargetPlan:
    """How to deliver to what is to be tried out. Raises InvalidArgument."""
    kind = message.WhichOneof("target")
    assert kind is not None
    job = job_pb2.Job(namespace=message.namespace or DEFAULT_NAMESPACE, id=JOB, name=JOB)
    for name in (kind, "signing", "cloud_event", "timeout"):
        if message.HasField(name):
            getattr(job, name).CopyFrom(getattr(message, name))
    if masks := unmask(job, job_pb2.Job()):
        description = "is a mask, and nothing is stored for a trial; give the secret"
        raise InvalidArgument([Violation(field=path, description=description) for path in masks])
    try:
        target = read_with_secrets(
            job,
            lambda full: read_target(
                full, contract=read_contract(full, usual_secrets=usual_secrets), user_agent=user_agent
            ),
        )
    except ValueError as error:
        raise InvalidArgument.of(kind, f"cannot be delivered to: {error}") from error
    assert target is not None
    return target


def write_trial(trial: Trial, target: TargetPlan) -> target_pb2.TestTargetResponse:
    """What came of it."""
    verdict, shown, facts = trial.verdict, target.shown, trial.facts
    response = target_pb2.TestTargetResponse(
        success=verdict.is_success,
        is_retryable=verdict.is_retryable,
        status_code=verdict.status_code,
        response_body=verdict.response,
        is_response_truncated=verdict.is_response_truncated,
        error=verdict.error,
        execution_id=facts.execution_id,
        request=execution_pb2.Request(
            method=shown.method,
            url=shown.url,
            headers=_headers(shown, trial),
            body=_body(shown, trial),
        ),
    )
    write_span(trial.duration, response.duration)
    return response


def _headers(shown: Shown, trial: Trial) -> dict[str, str]:
    """The headers as they were sent, credentials and signatures masked, references to secrets as they stand."""
    sent = getattr(_outline(trial.request), "headers", None)
    if sent is None:
        return {name: value for name, value in shown.headers.items() if value}
    pairs = sent.items() if isinstance(sent, Mapping) else sent
    return {name: MASK if shown.headers.get(name) == MASK else _text(value) for name, value in pairs}


def _body(shown: Shown, trial: Trial) -> str:
    outline = _outline(trial.request)
    sent = next((found for name in BODIES if (found := getattr(outline, name, None))), None)
    return _text(sent if sent is not None else compile_text(shown.body).fill(trial.facts))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")


def _outline(request: Request) -> Request:
    return request.outline if isinstance(request, DeferredRequest) else request
