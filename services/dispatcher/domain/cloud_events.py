"""CloudEvents 1.0: an execution as an event, in headers (binary mode) or in one JSON envelope (structured mode).

Follows the CloudEvents specification 1.0.2 with its JSON format, and its bindings for HTTP, Kafka, AMQP and NATS.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn
from urllib.parse import quote

from services.dispatcher.domain.facts import Facts, Text, is_json, rfc3339

SPEC_VERSION = "1.0"
DEFAULT_TYPE = "io.chronos.execution.due"
ENVELOPE_TYPE = "application/cloudevents+json"
# Printable ASCII without the blank, the double quote and the per cent sign: what the HTTP binding leaves as it is.
UNQUOTED = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
# Attributes hold no control characters.
CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ")


class HeaderStyle(StrEnum):
    """How a protocol spells headers."""

    HTTP = "http"
    GRPC = "grpc"
    KAFKA = "kafka"
    NATS = "nats"
    AMQP = "amqp"


@dataclass(frozen=True, slots=True)
class _Binding:
    """How a protocol carries attributes; `is_quoted` where its headers are ASCII.

    `names_content_type` where the type of the data is an attribute like the others, besides being the content type.
    """

    prefix: str
    is_quoted: bool
    names_content_type: bool = False


# There is no binding for gRPC metadata; it is HTTP/2 headers, so HTTP's is taken. AMQP's later drafts allow and prefer
# `cloudEvents_`; this prefix is in the release, too: all receivers know it.
_BINDINGS: Mapping[HeaderStyle, _Binding] = {
    HeaderStyle.HTTP: _Binding("ce-", is_quoted=True),
    HeaderStyle.GRPC: _Binding("ce-", is_quoted=True),
    HeaderStyle.NATS: _Binding("ce-", is_quoted=True, names_content_type=True),
    HeaderStyle.KAFKA: _Binding("ce_", is_quoted=False),
    HeaderStyle.AMQP: _Binding("cloudEvents:", is_quoted=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """What the events of a job have in common. `source` is a URI reference; no `subject` means that they have none."""

    source: str
    type: str = DEFAULT_TYPE
    subject: Text | None = None
    is_structured: bool = False

    def attributes(self, facts: Facts) -> dict[str, str]:
        """The attributes of the event that an execution is, but for the type of its data."""
        found = {
            "specversion": SPEC_VERSION,
            "id": facts.execution_id,
            "source": self.source,
            "type": self.type,
            "time": rfc3339(facts.scheduled_time),
        }
        subject = self.subject.fill(facts).decode().translate(CONTROLS).strip() if self.subject is not None else ""
        return {**found, "subject": subject} if subject else found


def event_headers(attributes: Mapping[str, str], content_type: str, style: HeaderStyle) -> dict[str, str]:
    """The headers of an event in binary mode, besides the content type."""
    binding = _BINDINGS[style]
    if binding.names_content_type and content_type:
        attributes = {**attributes, "datacontenttype": content_type}
    return {
        binding.prefix + name: quote(value, safe=UNQUOTED) if binding.is_quoted else value
        for name, value in attributes.items()
    }


def envelope(attributes: Mapping[str, str], body: bytes, content_type: str) -> bytes:
    """An event in the JSON format. JSON data goes in as it stands, other text as a string, other bytes in Base64.

    No `content_type` means JSON. What claims to be JSON and is not goes in like other bytes.
    """
    head = {**attributes, "datacontenttype": content_type} if content_type else dict(attributes)
    if not body:
        return _json(head)
    if not content_type or is_json(content_type):
        if _holds_json(body):
            return _json(head)[:-1] + b',"data":' + body + b"}"
    else:
        try:
            return _json({**head, "data": body.decode()})
        except UnicodeDecodeError:
            pass
    return _json({**head, "data_base64": base64.b64encode(body).decode()})


def _json(value: Mapping[str, str]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _holds_json(body: bytes) -> bool:
    try:
        json.loads(body.decode(), parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
