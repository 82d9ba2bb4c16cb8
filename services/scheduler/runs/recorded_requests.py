"""The request that was recorded for an execution, made ready to be sent once more."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, run_service_pb2, target_pb2

from libs.faults import InvalidArgument, Violation
from libs.rpc.validation import violations_of
from libs.templates import parse_template
from services.scheduler.domain import rules
from services.scheduler.domain.redaction import MASK
from services.scheduler.jobs.secrets import has_secret

SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
BODILESS = ("GET", "HEAD")
DEFAULT_PORTS = {"http": 80, "https": 443}


def filled_in(job: job_pb2.Job, execution: execution_pb2.Execution) -> target_pb2.WebhookTarget:
    """The request that a recorded job made for an execution at first: its variables replaced, its timeout written out.

    The body is plain text, no template.
    """
    webhook = target_pb2.WebhookTarget()
    webhook.CopyFrom(job.webhook)
    if not webhook.HasField("timeout") and job.HasField("timeout"):
        webhook.timeout.CopyFrom(job.timeout)
    name = job.name
    if _is_json(webhook):
        name = json.dumps(name)[1:-1]
    webhook.body = parse_template(webhook.body).render(
        {
            "JobID": job.id,
            "JobName": name,
            "Namespace": job.namespace,
            "ExecutionID": execution.id,
            "ScheduledTime": _rfc3339(execution.scheduled_time.ToDatetime(UTC)),
            "Attempt": "1",
        }
    )
    return webhook


def escaped(body: str) -> str:
    """The template that renders to a plain body."""
    return body.replace("{{", '{{"{{"}}')


def change(webhook: target_pb2.WebhookTarget, changes: run_service_pb2.RequestChanges) -> None:
    """Changes a recorded request. Its body is a template from then on. Raises InvalidArgument.

    Credentials go only to the host that they were recorded for: for another one they must be given anew, or taken away.
    """
    _check_origin(webhook, changes)
    webhook.url = changes.url or webhook.url
    webhook.method = changes.method or webhook.method
    new_headers = {name: value for name, value in changes.headers.items() if value != MASK}
    if credential_header(webhook.auth).lower() in map(str.lower, new_headers):
        webhook.ClearField("auth")
    for name, value in new_headers.items():
        for known in [known for known in webhook.headers if known.lower() == name.lower()]:
            del webhook.headers[known]
        if value:
            webhook.headers[name] = value
    plain_body = webhook.body
    webhook.body = changes.body if changes.HasField("body") else escaped(plain_body)
    _check(webhook, changes, changes.body if changes.HasField("body") else plain_body)


def credential_header(auth: target_pb2.WebhookAuth) -> str:
    """The header that credentials are sent in; empty when there are none."""
    kind = auth.WhichOneof("kind")
    if kind is None:
        return ""
    return (auth.api_key.header or "X-API-Key") if kind == "api_key" else "Authorization"


def unmask(webhook: target_pb2.WebhookTarget, sources: Sequence[job_pb2.Job]) -> str:
    """Puts secrets in the places of their masks, from the first job that has them all.

    Answers what is missing, in words; empty when nothing is.
    """
    hidden = [name for name, value in webhook.headers.items() if value == MASK]
    kind = webhook.auth.WhichOneof("kind") if has_secret(webhook.auth) else None
    for source in sources:
        headers = {name.lower(): value for name, value in source.webhook.headers.items()}
        is_alike = kind in (None, source.webhook.auth.WhichOneof("kind"))
        if is_alike and all(name.lower() in headers for name in hidden):
            for name in hidden:
                webhook.headers[name] = headers[name.lower()]
            if kind is not None:
                webhook.auth.CopyFrom(source.webhook.auth)
            return ""
    return " and ".join(
        ([f"its {kind} credentials"] if kind else []) + [f"the value of its header {name}" for name in sorted(hidden)]
    )


def _check_origin(webhook: target_pb2.WebhookTarget, changes: run_service_pb2.RequestChanges) -> None:
    if not changes.url or list(rules.url_violations("changes.url", changes.url)):
        return
    if _origin(changes.url) == _origin(webhook.url):
        return
    credentials = {
        name for name, value in webhook.headers.items() if name.lower() in SECRET_HEADERS or value == MASK
    } | {credential_header(webhook.auth)}
    given = {name.lower() for name, value in changes.headers.items() if value != MASK}
    if kept := sorted(name for name in credentials if name and name.lower() not in given):
        raise InvalidArgument.of(
            "changes.url",
            f"leads to another host, and the recorded credentials ({', '.join(kept)}) are not sent there; give them in "
            f'changes.headers, or take them away: {{"{kept[0]}": ""}}',
        )


def _check(webhook: target_pb2.WebhookTarget, changes: run_service_pb2.RequestChanges, body: str) -> None:
    violations = list(rules.url_violations("changes.url", changes.url)) if changes.url else []
    violations += rules.header_violations("changes.headers", dict(changes.headers))
    violations += rules.template_violations("changes.body", [changes.body])
    if body and webhook.method in BODILESS:
        field = "changes.method" if changes.method else "changes.body"
        description = f'cannot be {webhook.method} with a body; use POST, or send none: "body": ""'
        violations.append(Violation(field=field, description=description))
    if not violations:
        whole = target_pb2.WebhookTarget()
        whole.CopyFrom(webhook)
        whole.body = body
        violations = [
            Violation(field=f"changes.{found.field}", description=found.description) for found in violations_of(whole)
        ]
    if violations:
        raise InvalidArgument(violations)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme)


def _is_json(webhook: target_pb2.WebhookTarget) -> bool:
    """Whether the dispatcher quoted names for JSON: the body's type is JSON unless a header says otherwise."""
    given = [value for name, value in webhook.headers.items() if name.lower() == "content-type"]
    essence = (given[-1] if given else "application/json").partition(";")[0].strip().lower()
    return essence == "application/json" or essence.endswith("+json")


def _rfc3339(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat() + "Z"
