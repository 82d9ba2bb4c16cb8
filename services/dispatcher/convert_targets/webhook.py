"""Webhooks."""

from dataclasses import replace
from datetime import timedelta

from chronos.scheduler.v1 import target_pb2

from services.dispatcher.convert_targets.tls import read_tls
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.targets.http_options import HttpVersion, Link, Redirects
from services.dispatcher.domain.targets.tls import Tls
from services.dispatcher.domain.targets.webhook import (
    BasicCredentials,
    BearerCredentials,
    Credentials,
    KeyCredentials,
    Webhook,
    WebhookPlan,
    compile_webhook,
)

_VERSIONS = {target_pb2.WebhookTarget.HTTP_2: HttpVersion.HTTP_2}
_REDIRECTS = {
    target_pb2.WebhookTarget.SAME_ORIGIN: Redirects.SAME_ORIGIN,
    target_pb2.WebhookTarget.ANY: Redirects.ANY,
}


def read_webhook(
    message: target_pb2.WebhookTarget, *, timeout: timedelta, contract: Contract, user_agent: str
) -> WebhookPlan:
    """The plan of a webhook."""
    webhook = Webhook(
        url=message.url,
        method=message.method,
        headers=dict(message.headers),
        body=message.body,
        credentials=_credentials(message.auth),
        success_codes=frozenset(message.success_codes),
        link=Link(tls=_tls(message), version=_VERSIONS.get(message.http_version, HttpVersion.HTTP_1_1)),
        redirects=_REDIRECTS.get(message.redirects, Redirects.NONE),
    )
    return compile_webhook(webhook, timeout=timeout, user_agent=user_agent, contract=contract)


def _tls(message: target_pb2.WebhookTarget) -> Tls | None:
    """What changes the usual way; `https://` alone switches TLS on."""
    tls = read_tls(message.tls)
    return None if tls is None or replace(tls, is_enabled=True) == Tls() else replace(tls, is_enabled=True)


def _credentials(message: target_pb2.WebhookAuth) -> Credentials | None:
    match message.WhichOneof("kind"):
        case "basic":
            return BasicCredentials(username=message.basic.username, password=message.basic.password)
        case "bearer":
            return BearerCredentials(token=message.bearer.token)
        case "api_key":
            return KeyCredentials(header=message.api_key.header, key=message.api_key.key)
        case _:
            return None
