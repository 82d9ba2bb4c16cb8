"""Webhooks."""

from collections.abc import Iterator

from chronos.scheduler.v1 import target_pb2

from libs.faults import Violation
from services.scheduler.domain import rules
from services.scheduler.jobs.targets import tls

REDIRECT_CODES = frozenset({301, 302, 303, 307, 308})
_Webhook = target_pb2.WebhookTarget


def fill(webhook: target_pb2.WebhookTarget) -> None:
    """Says what fields that were left out mean."""
    webhook.method = webhook.method or "POST"
    webhook.http_version = webhook.http_version or _Webhook.AUTO
    webhook.redirects = webhook.redirects or _Webhook.NONE
    auth = webhook.auth
    if auth.WhichOneof("kind") == "api_key":
        auth.api_key.header = auth.api_key.header or "X-API-Key"


def violations(webhook: target_pb2.WebhookTarget) -> Iterator[Violation]:
    """What is wrong, beyond its shape."""
    yield from rules.url_violations("webhook.url", webhook.url)
    yield from rules.header_violations("webhook.headers", dict(webhook.headers))
    yield from rules.template_violations("webhook.body", [webhook.body])
    if webhook.body and webhook.method in ("GET", "HEAD"):
        yield Violation(field="webhook.body", description=f"cannot go with {webhook.method}; use POST, or leave it out")
    if webhook.auth.WhichOneof("kind") == "api_key":
        header = {webhook.auth.api_key.header: ""}
        for violation in rules.header_violations("webhook.auth.api_key.header", header):
            yield Violation(field="webhook.auth.api_key.header", description=violation.description)
    yield from _tls_violations(webhook)
    followed = sorted(REDIRECT_CODES.intersection(webhook.success_codes))
    if followed and webhook.redirects in (_Webhook.SAME_ORIGIN, _Webhook.ANY):
        yield Violation(
            field="webhook.success_codes",
            description=f"holds {followed[0]}, a redirect that is to be followed; drop one",
        )


def _tls_violations(webhook: target_pb2.WebhookTarget) -> Iterator[Violation]:
    if not webhook.tls.ListFields():
        return
    if not webhook.url.lower().startswith("https:"):
        yield Violation(field="webhook.tls", description="is for https:// addresses; write https:// or leave it out")
    yield from tls.violations("webhook.tls", webhook.tls, is_implied=True)
    if webhook.tls.server_name:
        yield Violation(
            field="webhook.tls.server_name",
            description="is not known to webhooks, whose certificate must be for the URL's host; leave it out",
        )
