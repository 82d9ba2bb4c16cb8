"""The HTTP request of an execution: compiled once per version of a job, then filled in for each attempt."""

import base64
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from libs.templates import Template, parse_template

# Ours in every request, whatever the job says: a receiver must be able to rely on them.
OWN_HEADERS = frozenset({"idempotency-key", "traceparent"})
OWN_PREFIX = "x-chronos-"
# They describe the connection, not the request: the client sets them. One set wrongly by a job would garble the next
# request on the same connection.
CONNECTION_HEADERS = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"}
    | {"transfer-encoding"}
)
DEFAULT_KEY_HEADER = "X-API-Key"
# They hold credentials also where a job gives them as plain headers.
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
JSON = "application/json"
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicCredentials:
    """User name and password (RFC 7617)."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BearerCredentials:
    """A token (RFC 6750)."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCredentials:
    """A key in a header of its own; an empty `header` means X-API-Key."""

    key: str = field(repr=False)
    header: str = ""


Credentials = BasicCredentials | BearerCredentials | KeyCredentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """The request as the job describes it. An empty `method` means POST."""

    url: str
    method: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str = field(default="", repr=False)
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a receiver is told about the attempt that it sees."""

    job_id: str
    job_name: str
    namespace: str
    execution_id: str
    scheduled_time: datetime
    attempt: int
    traceparent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request, ready to send. `timeout` spans from connecting to the end of the answer."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    timeout: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPlan:
    """What all requests of one version of a job share. The body is fixed, or a template, or None.

    `endpoint` is the host and port of the URL. `secret_headers` are the names of those that hold credentials.
    """

    method: str
    url: str
    endpoint: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | Template | None = field(repr=False)
    is_json: bool
    timeout: timedelta
    secret_headers: Set[str] = frozenset()

    @property
    def weight(self) -> int:
        """Bytes that it keeps in memory, roughly."""
        literals = self.body.literals if isinstance(self.body, Template) else (self.body or b"",)
        return len(self.url) + sum(map(len, literals)) + sum(map(len, self.headers.values()))

    def request(self, facts: Facts) -> Request:
        """The request of one attempt."""
        scheduled_time = rfc3339(facts.scheduled_time)
        headers = {
            **self.headers,
            "X-Chronos-Job-ID": facts.job_id,
            "X-Chronos-Execution-ID": facts.execution_id,
            "X-Chronos-Scheduled-Time": scheduled_time,
            "X-Chronos-Attempt": str(facts.attempt),
            "Idempotency-Key": facts.execution_id,
            "Traceparent": facts.traceparent,
        }
        body = self.body
        if isinstance(body, Template):
            body = self._render(body, facts, scheduled_time)
        return Request(method=self.method, url=self.url, headers=headers, body=body, timeout=self.timeout)

    def _render(self, template: Template, facts: Facts, scheduled_time: str) -> bytes:
        values = {
            "JobID": facts.job_id,
            "JobName": json.dumps(facts.job_name)[1:-1] if self.is_json else facts.job_name,
            "Namespace": facts.namespace,
            "ExecutionID": facts.execution_id,
            "ScheduledTime": scheduled_time,
            "Attempt": str(facts.attempt),
        }
        return template.render(values).encode()


def compile_request(webhook: Webhook, *, timeout: timedelta, user_agent: str) -> RequestPlan:
    """What all requests of this webhook share."""
    headers = {"user-agent": ("User-Agent", user_agent)}
    if webhook.body:
        headers["content-type"] = ("Content-Type", JSON)
    headers |= {name.lower(): (name, value) for name, value in webhook.headers.items() if not _is_ours(name)}
    secret_names = set(SECRET_HEADERS)
    if webhook.credentials is not None:
        name, value = _authorize(webhook.credentials)
        headers[name.lower()] = (name, value)
        secret_names.add(name.lower())
    return RequestPlan(
        method=webhook.method or "POST",
        url=webhook.url,
        endpoint=_endpoint(webhook.url),
        headers=dict(headers.values()),
        body=_compile_body(webhook.body),
        is_json=_is_json(headers.get("content-type", ("", ""))[1]),
        timeout=timeout,
        secret_headers=frozenset(name for key, (name, _) in headers.items() if key in secret_names),
    )


def rfc3339(moment: datetime) -> str:
    """A moment in UTC as RFC 3339; fractions of a second only where there are any."""
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _endpoint(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2].lower().removesuffix(":")
        if not host or parts.port is not None:
            return host
        return f"{host}:{DEFAULT_PORTS.get(parts.scheme, 0)}"
    except ValueError:
        return ""


def _is_ours(name: str) -> bool:
    lower = name.lower()
    return lower in OWN_HEADERS or lower in CONNECTION_HEADERS or lower.startswith(OWN_PREFIX)


def _authorize(credentials: Credentials) -> tuple[str, str]:
    match credentials:
        case BasicCredentials(username=username, password=password):
            return "Authorization", "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        case BearerCredentials(token=token):
            return "Authorization", f"Bearer {token}"
        case KeyCredentials(header=header, key=key):
            return header or DEFAULT_KEY_HEADER, key


def _compile_body(body: str) -> bytes | Template | None:
    if not body:
        return None
    template = parse_template(body)
    return template if template.names else template.literals[0].encode()


def _is_json(content_type: str) -> bool:
    essence = content_type.partition(";")[0].strip().lower()
    return essence == JSON or essence.endswith("+json")
