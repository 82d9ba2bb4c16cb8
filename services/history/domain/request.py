"""The request of one execution, as it was first sent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from libs.templates import parse_template
from services.history.domain.moments import EPOCH

FIRST_ATTEMPT = "1"
JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request. In a definition the variables of its body are not yet filled in."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a receiver is told about the execution. `scheduled_us` counts microseconds since 1970."""

    namespace: str
    job_id: str
    job_name: str
    execution_id: str
    scheduled_us: int


def fill_in(request: Request, facts: Facts) -> Request:
    """The request of an execution's first attempt: what dispatchers fill in for each execution is in its place."""
    scheduled_time = _rfc3339(facts.scheduled_us)
    own = {
        "X-Chronos-Job-ID": facts.job_id,
        "X-Chronos-Execution-ID": facts.execution_id,
        "X-Chronos-Scheduled-Time": scheduled_time,
        "X-Chronos-Attempt": FIRST_ATTEMPT,
        "Idempotency-Key": facts.execution_id,
    }
    own_names = {name.lower() for name in own}
    given = {name: value for name, value in request.headers.items() if name.lower() not in own_names}
    values = {
        "JobID": facts.job_id,
        "JobName": json.dumps(facts.job_name)[1:-1] if _is_json(given) else facts.job_name,
        "Namespace": facts.namespace,
        "ExecutionID": facts.execution_id,
        "ScheduledTime": scheduled_time,
        "Attempt": FIRST_ATTEMPT,
    }
    body = parse_template(request.body).render(values)
    return Request(method=request.method, url=request.url, headers={**given, **own}, body=body)


def _rfc3339(us: int) -> str:
    return (EPOCH + timedelta(microseconds=us)).replace(tzinfo=None).isoformat() + "Z"


def _is_json(headers: Mapping[str, str]) -> bool:
    content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    essence = content_type.partition(";")[0].strip().lower()
    return essence == JSON or essence.endswith("+json")
