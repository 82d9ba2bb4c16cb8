"""The request of one execution, as it was first sent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import quote

from libs.templates import parse_template
from services.history.domain.moments import EPOCH

FIRST_ATTEMPT = "1"
JSON = "application/json"
# How the attributes of a CloudEvent are spelt in headers: HTTP, gRPC and NATS; Kafka; AMQP.
QUOTED_PREFIX = "ce-"
EVENT_PREFIXES = (QUOTED_PREFIX, "ce_", "cloudEvents:")
# Printable ASCII without the blank, the double quote and the per cent sign: the rest is quoted in such headers.
UNQUOTED = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request or message. In a definition, the variables of its body are not yet filled in.

    Nor are headers that are empty there, among those that dispatchers set themselves.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(repr=False)

    @property
    def is_http(self) -> bool:
        """Whether it goes to a web address; the headers of other protocols are in lower case."""
        return self.url.lower().startswith(("http:", "https:"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a receiver is told about the execution. Times count microseconds since 1970; not begun means None."""

    namespace: str
    job_id: str
    job_name: str
    execution_id: str
    scheduled_us: int
    started_us: int | None = None


def fill_in(request: Request, facts: Facts) -> Request:
    """The request of an execution's first attempt: what dispatchers fill in for each execution is in its place."""
    scheduled_time = _rfc3339(facts.scheduled_us)
    values = {
        "JobID": facts.job_id,
        "JobName": json.dumps(facts.job_name)[1:-1] if _is_json(request) else facts.job_name,
        "Namespace": facts.namespace,
        "ExecutionID": facts.execution_id,
        "ScheduledTime": scheduled_time,
        "Attempt": FIRST_ATTEMPT,
    }
    own = {
        "X-Chronos-Job-ID": facts.job_id,
        "X-Chronos-Execution-ID": facts.execution_id,
        "X-Chronos-Scheduled-Time": scheduled_time,
        "X-Chronos-Attempt": FIRST_ATTEMPT,
        "Idempotency-Key": facts.execution_id,
    }
    if not request.is_http:
        own = {name.lower(): value for name, value in own.items()}
    own_names = {name.lower() for name in own}
    given = {name: value for name, value in request.headers.items() if name.lower() not in own_names}
    headers = {**given, **own, **_signed(given, facts), **_event(given, facts, {**values, "JobName": facts.job_name})}
    body = parse_template(request.body).render(values)
    return Request(method=request.method, url=request.url, headers=headers, body=body)


def _signed(given: Mapping[str, str], facts: Facts) -> Mapping[str, str]:
    if "webhook-id" not in given:
        return {}
    timestamp = "" if facts.started_us is None else str(facts.started_us // 1_000_000)
    return {"webhook-id": facts.execution_id, "webhook-timestamp": timestamp}


def _event(given: Mapping[str, str], facts: Facts, values: Mapping[str, str]) -> Mapping[str, str]:
    # A job may set such a header itself: then it is not empty.
    prefix = next((prefix for prefix in EVENT_PREFIXES if given.get(f"{prefix}id") == ""), None)
    if prefix is None:
        return {}
    found = {f"{prefix}id": facts.execution_id, f"{prefix}time": _rfc3339(facts.scheduled_us)}
    subject = f"{prefix}subject"
    if subject in given:
        rendered = parse_template(given[subject]).render(values)
        found[subject] = quote(rendered, safe=UNQUOTED) if prefix == QUOTED_PREFIX else rendered
    return found


def _rfc3339(us: int) -> str:
    return (EPOCH + timedelta(microseconds=us)).replace(tzinfo=None).isoformat() + "Z"


def _is_json(request: Request) -> bool:
    content_type = next((value for name, value in request.headers.items() if name.lower() == "content-type"), "")
    if not content_type and not request.is_http:
        return request.body.lstrip().startswith(("{", "["))
    essence = content_type.partition(";")[0].strip().lower()
    return essence == JSON or essence.endswith("+json")
