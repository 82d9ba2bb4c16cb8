"""RabbitMQ."""

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from chronos.scheduler.v1 import rabbitmq_target_pb2

from libs.faults import Violation
from services.scheduler.domain import rules
from services.scheduler.jobs.targets import tls

GUEST = "guest"
LONGEST_SHORT_TEXT = 255
"""Bytes; AMQP's own bound for names."""
EXCHANGE = re.compile(r"[a-zA-Z0-9_.:@#,/+ -]{1,127}")
ROUTING_HEADERS = ("CC", "BCC")
EXAMPLE = "write for example amqp://rabbitmq.example.com:5672/orders"


def fill(target: rabbitmq_target_pb2.RabbitmqTarget) -> None:
    """Says what fields that were left out mean."""
    target.username = target.username or GUEST
    target.content_type = target.content_type or "application/json"
    if not target.HasField("mandatory"):
        target.mandatory = True
    if not target.HasField("persistent"):
        target.persistent = True


def violations(target: rabbitmq_target_pb2.RabbitmqTarget) -> Iterator[Violation]:
    """What is wrong, beyond its shape."""
    yield from _url_violations(target.url)
    if target.username not in ("", GUEST) and not target.password:
        yield Violation(field="rabbitmq.password", description=f"is missing: give that of the user {target.username}")
    yield from _destination_violations(target)
    yield from _header_violations(target)
    yield from rules.template_violations("rabbitmq.payload", [target.payload])
    yield from rules.template_violations("rabbitmq.routing_key", [target.routing_key])
    yield from rules.template_violations("rabbitmq.message_id", [target.message_id])
    yield from tls.violations("rabbitmq.tls", target.tls, is_implied=target.url.lower().startswith("amqps:"))


def _url_violations(url: str) -> Iterator[Violation]:
    field = "rabbitmq.url"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        yield Violation(field=field, description=f"is not a URL ({error}); {EXAMPLE}")
        return
    if parts.scheme not in ("amqp", "amqps") or not host:
        yield Violation(field=field, description=f"must begin with amqp:// or amqps:// and name a host; {EXAMPLE}")
    elif port == 0:
        yield Violation(field=field, description="names port 0; leave it out, or give the broker's")
    elif any(character.isspace() or ord(character) < 0x20 for character in url):
        yield Violation(field=field, description="holds white space; write %20 for a blank")
    elif parts.username is not None or parts.password is not None:
        yield Violation(
            field=field,
            description="holds credentials, which would be shown; put them into rabbitmq.username and .password",
        )
    elif parts.query or parts.fragment:
        yield Violation(field=field, description="holds more than host, port and virtual host; leave out ?… and #…")
    elif "/" in parts.path[1:]:
        yield Violation(field=field, description="names a virtual host with a slash; write %2F for it")
    elif len(unquote(parts.path[1:]).encode()) > LONGEST_SHORT_TEXT:
        yield Violation(field=field, description=f"names a virtual host of more than {LONGEST_SHORT_TEXT} bytes")


def _destination_violations(target: rabbitmq_target_pb2.RabbitmqTarget) -> Iterator[Violation]:
    if target.queue and target.exchange:
        yield Violation(field="rabbitmq.queue", description="cannot go with exchange; give one of them")
    elif target.queue and target.routing_key:
        yield Violation(
            field="rabbitmq.routing_key", description="cannot go with queue, which is the routing key; give one of them"
        )
    elif not target.queue and not target.exchange:
        yield Violation(field="rabbitmq.exchange", description="is missing: give an exchange or a queue to publish to")
    elif target.exchange and EXCHANGE.fullmatch(target.exchange) is None:
        yield Violation(
            field="rabbitmq.exchange",
            description="may hold letters, digits, blanks and - _ . : @ # , / + only, 127 at most",
        )


def _header_violations(target: rabbitmq_target_pb2.RabbitmqTarget) -> Iterator[Violation]:
    yield from rules.header_violations("rabbitmq.headers", dict(target.headers))
    for name in sorted(target.headers):
        field = f"rabbitmq.headers[{name!r}]"
        if name.lower() == "content-type":
            yield Violation(field=field, description="is a property of the message; give rabbitmq.content_type")
        elif name in ROUTING_HEADERS:
            yield Violation(
                field=field, description="is a list of routing keys for RabbitMQ; leave it out, and bind the queues"
            )
        elif len(name) > LONGEST_SHORT_TEXT:
            yield Violation(field=field, description=f"has a name of more than {LONGEST_SHORT_TEXT} bytes; shorten it")
