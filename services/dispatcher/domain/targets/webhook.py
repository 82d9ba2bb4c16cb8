"""The HTTP request of an execution (RFC 9110)."""

import base64
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from libs.redaction import MASK
from services.dispatcher.domain.cloud_events import HeaderStyle
from services.dispatcher.domain.contract import Contract, is_own
from services.dispatcher.domain.facts import Facts, Text, compile_text, is_json
from services.dispatcher.domain.outcome import Verdict
from services.dispatcher.domain.results import Result
from services.dispatcher.domain.targets.http_answers import judge
from services.dispatcher.domain.targets.http_options import PLAIN_LINK, HttpOptions, Link, Redirects
from services.dispatcher.domain.targets.plan import Shown
from services.dispatcher.domain.targets.shown import show

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
    """The request as the job describes it. An empty `method` means POST, empty `success_codes` mean 200 to 299."""

    url: str
    method: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str = field(default="", repr=False)
    credentials: Credentials | None = None
    success_codes: Set[int] = frozenset()
    link: Link = PLAIN_LINK
    redirects: Redirects = Redirects.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One HTTP request, ready to send. `timeout` spans from connecting to the end of the answer, redirects included.

    `options` is None where a plain request is all that is asked for.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    timeout: timedelta
    options: HttpOptions | None = None

    @property
    def traits(self) -> Mapping[str, str | int]:
        """See Request."""
        return {"http.request.method": self.method}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookPlan:
    """What all requests of one version of a job share. See TargetPlan.

    `endpoint` is the host and port of the URL. `secret_headers` are the names of those that hold credentials.
    """

    method: str
    url: str
    endpoint: str
    headers: Mapping[str, str] = field(repr=False)
    content_type: str = ""
    body: Text | None = field(repr=False)
    template: str = field(repr=False)
    timeout: timedelta
    contract: Contract
    success_codes: Set[int] = frozenset()
    secret_headers: Set[str] = frozenset()
    options: HttpOptions | None = None

    @property
    def weight(self) -> int:
        """See TargetPlan."""
        tls = self.options.link.tls if self.options is not None else None
        pem = tls.weight if tls is not None else 0
        return len(self.url) + 2 * len(self.template) + sum(map(len, self.headers.values())) + pem

    @property
    def shown(self) -> Shown:
        """See TargetPlan."""
        headers = {name: MASK if name in self.secret_headers else value for name, value in self.headers.items()}
        shown = show(self.contract, HeaderStyle.HTTP, headers, self.template)
        return Shown(method=self.method, url=self.url, headers=shown.headers, body=shown.body)

    def request(self, facts: Facts) -> HttpRequest:
        """See TargetPlan."""
        body = self.body.fill(facts) if self.body is not None else b""
        dressed = self.contract.dress(facts, body, self.content_type)
        headers = {**self.headers, **dressed.headers}
        if dressed.content_type != self.content_type:
            headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
            headers["Content-Type"] = dressed.content_type
        return HttpRequest(
            method=self.method,
            url=self.url,
            headers=headers,
            body=dressed.body if self.body is not None or dressed.body else None,
            timeout=self.timeout,
            options=self.options,
        )

    def judge(self, result: Result) -> Verdict:
        """See TargetPlan."""
        redirects = self.options.redirects if self.options is not None else Redirects.NONE
        return judge(result, self.success_codes, redirects)


def compile_webhook(webhook: Webhook, *, timeout: timedelta, user_agent: str, contract: Contract) -> WebhookPlan:
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
    content_type = headers.get("content-type", ("", ""))[1]
    secret_headers = frozenset(name for key, (name, _) in headers.items() if key in secret_names)
    return WebhookPlan(
        method=webhook.method or "POST",
        url=webhook.url,
        endpoint=_endpoint(webhook.url),
        headers=dict(headers.values()),
        content_type=content_type,
        body=compile_text(webhook.body, is_json=is_json(content_type)) if webhook.body else None,
        template=webhook.body,
        timeout=timeout,
        contract=contract,
        success_codes=webhook.success_codes,
        secret_headers=secret_headers,
        options=_options(webhook, secret_headers),
    )


def _options(webhook: Webhook, secret_headers: Set[str]) -> HttpOptions | None:
    if webhook.link == PLAIN_LINK and webhook.redirects is Redirects.NONE:
        return None
    return HttpOptions(link=webhook.link, redirects=webhook.redirects, secret_headers=secret_headers)


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
    return is_own(name) or name.lower() in CONNECTION_HEADERS


def _authorize(credentials: Credentials) -> tuple[str, str]:
    match credentials:
        case BasicCredentials(username=username, password=password):
            return "Authorization", "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        case BearerCredentials(token=token):
            return "Authorization", f"Bearer {token}"
        case KeyCredentials(header=header, key=key):
            return header or DEFAULT_KEY_HEADER, key
