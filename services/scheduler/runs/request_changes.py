"""Changes that somebody wishes to what was recorded for an execution."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from chronos.scheduler.v1 import job_pb2, run_service_pb2, target_pb2, target_tls_pb2

from libs.faults import InvalidArgument, Violation
from libs.redaction import MASK
from libs.rpc.validation import violations_of
from libs.secret_references import has_references
from services.scheduler.domain import rules
from services.scheduler.jobs.targets import cloud_event
from services.scheduler.jobs.targets.registry import target_violations
from services.scheduler.runs.recorded_requests import TEXTS, escape, headers_of, target_of

Changes = run_service_pb2.RequestChanges
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
BODILESS = ("GET", "HEAD")
# They are as recorded; changes cannot have made them wrong.
EVENT_TEXTS = frozenset({"cloud_event.source", "cloud_event.type", "cloud_event.subject"})
DEFAULT_PORTS = {"http": 80, "https": 443}


def change(recorded: job_pb2.Job, changes: Changes) -> None:
    """Changes what `filled_in` gave. Its texts are templates from then on. Raises InvalidArgument.

    Credentials go only to the host that they were recorded for: for another one they must be given anew, or taken away.
    """
    if wrong := list(_references(changes)):
        raise InvalidArgument(wrong)
    if recorded.HasField("webhook"):
        _change_webhook(recorded, changes)
    else:
        _change_message(recorded, changes)


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an HTTP address: what credentials belong to."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme)


def credential_header(auth: target_pb2.WebhookAuth) -> str:
    """The header that credentials are sent in; empty when there are none."""
    kind = auth.WhichOneof("kind")
    if kind is None:
        return ""
    return (auth.api_key.header or "X-API-Key") if kind == "api_key" else "Authorization"


def _references(changes: Changes) -> Iterator[Violation]:
    """Who may replay need not be one who may read what jobs refer to."""
    texts = {"url": changes.url, "body": changes.body}
    texts |= {f"headers[{name!r}]": value for name, value in changes.headers.items()}
    for field, text in texts.items():
        if has_references(text):
            yield Violation(field=f"changes.{field}", description="cannot refer to secrets; only jobs can")


def _change_webhook(recorded: job_pb2.Job, changes: Changes) -> None:
    webhook = recorded.webhook
    if _leads_elsewhere(webhook, changes):
        _check_credentials(webhook, changes)
        webhook.tls.ClearField("client_cert")
        webhook.tls.ClearField("client_key")
        if webhook.tls == target_tls_pb2.TargetTls() or not changes.url.startswith("https:"):
            webhook.ClearField("tls")
        # What the secrets sign would be taken for genuine where they are known.
        recorded.ClearField("signing")
    webhook.url = changes.url or webhook.url
    webhook.method = changes.method or webhook.method
    given = {name.lower() for name, value in changes.headers.items() if value != MASK}
    if credential_header(webhook.auth).lower() in given:
        webhook.ClearField("auth")
    _set_headers(recorded, changes)
    _set_body(recorded, changes)
    _check_webhook(webhook, changes)
    escape(recorded, but_body=changes.HasField("body"))
    if changes.method or changes.headers:
        wrong = [found for found in cloud_event.violations(recorded) if found.field not in EVENT_TEXTS]
        if wrong:
            raise InvalidArgument([_as_change(found, recorded) for found in wrong])


def _change_message(recorded: job_pb2.Job, changes: Changes) -> None:
    if wrong := list(_impossible(recorded, changes)):
        raise InvalidArgument(wrong)
    _set_headers(recorded, changes)
    _set_body(recorded, changes)
    if changes.headers or changes.HasField("body"):
        shape = [Violation(field=f"{recorded.WhichOneof('target')}.{found.field}", description=found.description)
                 for found in violations_of(target_of(recorded))]  # fmt: skip
        escape(recorded, but_body=changes.HasField("body"))
        if wrong := shape or list(target_violations(recorded)):
            raise InvalidArgument([_as_change(found, recorded) for found in wrong])
    else:
        escape(recorded)


def _impossible(recorded: job_pb2.Job, changes: Changes) -> Iterator[Violation]:
    kind = recorded.WhichOneof("target")
    for name in ("url", "method"):
        if getattr(changes, name):
            description = f"can be changed for webhooks only, and this execution went to a {kind} target; leave it out"
            yield Violation(field=f"changes.{name}", description=description)
    if changes.headers and headers_of(recorded) is None:
        yield Violation(field="changes.headers", description=f"cannot be given for a {kind} target; leave it out")
    if changes.HasField("body") and recorded.grpc.raw_payload:
        description = "cannot take the place of a raw_payload, whose type is not known; leave it out"
        yield Violation(field="changes.body", description=description)


def _set_headers(recorded: job_pb2.Job, changes: Changes) -> None:
    headers = headers_of(recorded)
    for name, value in changes.headers.items():
        if value == MASK:
            continue
        for known in [known for known in headers if known.lower() == name.lower()]:
            del headers[known]
        if value:
            headers[name] = value


def _set_body(recorded: job_pb2.Job, changes: Changes) -> None:
    if changes.HasField("body"):
        setattr(target_of(recorded), TEXTS[recorded.WhichOneof("target") or ""][0], changes.body)


def _as_change(found: Violation, recorded: job_pb2.Job) -> Violation:
    """The violation of a target, told of the field of the changes that causes it."""
    kind = recorded.WhichOneof("target") or ""
    field = found.field.removeprefix(f"{kind}.")
    if field == TEXTS[kind][0]:
        field = "body"
    elif field == "cloud_event.mode":
        field = "method"
    elif field.startswith("metadata"):
        field = "headers" + field.removeprefix("metadata")
    return Violation(field=f"changes.{field}", description=found.description)


def _leads_elsewhere(webhook: target_pb2.WebhookTarget, changes: Changes) -> bool:
    if not changes.url or list(rules.url_violations("changes.url", changes.url)):
        return False
    return origin(changes.url) != origin(webhook.url)


def _check_credentials(webhook: target_pb2.WebhookTarget, changes: Changes) -> None:
    credentials = {
        name
        for name, value in webhook.headers.items()
        if name.lower() in SECRET_HEADERS or value == MASK or has_references(value)
    } | {credential_header(webhook.auth)}
    given = {name.lower() for name, value in changes.headers.items() if value != MASK}
    if kept := sorted(name for name in credentials if name and name.lower() not in given):
        raise InvalidArgument.of(
            "changes.url",
            f"leads to another host, and the recorded credentials ({', '.join(kept)}) are not sent there; give them in "
            f'changes.headers, or take them away: {{"{kept[0]}": ""}}',
        )
    if has_references(webhook.body) and not changes.HasField("body"):
        raise InvalidArgument.of(
            "changes.url", "leads to another host, and the recorded body refers to secrets, which are not sent there; "
            "give changes.body",
        )  # fmt: skip


def _check_webhook(webhook: target_pb2.WebhookTarget, changes: Changes) -> None:
    violations = list(rules.url_violations("changes.url", changes.url)) if changes.url else []
    violations += rules.header_violations("changes.headers", dict(changes.headers))
    violations += rules.template_violations("changes.body", [changes.body])
    if webhook.body and webhook.method in BODILESS:
        field = "changes.method" if changes.method else "changes.body"
        description = f'cannot be {webhook.method} with a body; use POST, or send none: "body": ""'
        violations.append(Violation(field=field, description=description))
    if not violations:
        violations = [
            Violation(field=f"changes.{found.field}", description=found.description) for found in violations_of(webhook)
        ]
    if violations:
        raise InvalidArgument(violations)
