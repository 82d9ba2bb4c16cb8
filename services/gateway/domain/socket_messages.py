"""What programs and the gateway say to each other over `/ws`, as JSON texts.

program → `{"type": "client-hook", "client_name": …, "token": …, "namespace": …}`
or `{"type": "tag-listener", "tags": […], "token": …, "namespace": …}`
gateway → `{"type": "ack", "message": "subscription registered"}`
gateway → `{"type": "event", "event_id": …, "occurrence_id": …, "payload": …, "tags": […], "headers": {…}}`
program → `{"type": "ack", "event_id": …, "occurrence_id": …}`, or "nack" with a "message"
gateway → `{"type": "error", "message": …}` whenever it does not agree
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CLIENT_HOOK = "client-hook"
TAG_LISTENER = "tag-listener"
CLIENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MOST_TAGS = 100
LONGEST_TAG = 128
LONGEST_NOTE = 1024
DEFAULT_NAMESPACE = "default"


class SocketMessageError(ValueError):
    """A message that means nothing; its text says what would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Who has connected: a client by its name, or a listener by its tags."""

    token: str = field(repr=False)
    namespace: str
    client_name: str = ""
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """What a client says of an event."""

    occurrence_id: str
    is_accepted: bool
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketEvent:
    """What programs are sent. `headers` are the delivery contract."""

    namespace: str
    event_id: str
    occurrence_id: str
    payload: str
    tags: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


def parse_hello(text: str) -> Hello:
    """The first message of a program. Raises SocketMessageError."""
    message = _object(text)
    token, namespace = message.get("token"), message.get("namespace", DEFAULT_NAMESPACE)
    if not isinstance(token, str) or not token:
        raise SocketMessageError('"token" is missing; give an API key')
    if not isinstance(namespace, str) or not namespace:
        raise SocketMessageError('"namespace" must be the id of a namespace')
    match message.get("type"):
        case "client-hook":
            name = message.get("client_name")
            if not isinstance(name, str) or CLIENT_NAME.fullmatch(name) is None:
                raise SocketMessageError('"client_name" must be 1 to 128 letters, digits, dots, hyphens, underscores')
            return Hello(token=token, namespace=namespace, client_name=name)
        case "tag-listener":
            return Hello(token=token, namespace=namespace, tags=_tags(message.get("tags")))
        case _:
            raise SocketMessageError(f'"type" of the first message must be "{CLIENT_HOOK}" or "{TAG_LISTENER}"')


def parse_acknowledgement(text: str) -> Acknowledgement:
    """A later message of a client. Raises SocketMessageError."""
    message = _object(text)
    kind, occurrence, note = message.get("type"), message.get("occurrence_id"), message.get("message", "")
    if kind not in ("ack", "nack"):
        raise SocketMessageError('"type" must be "ack" or "nack"')
    if not isinstance(occurrence, str) or not occurrence:
        raise SocketMessageError('"occurrence_id" is missing; give back that of the event')
    return Acknowledgement(occurrence_id=occurrence, is_accepted=kind == "ack", note=str(note)[:LONGEST_NOTE])


def event_text(event: SocketEvent) -> str:
    """What an event looks like. A payload that is JSON is part of the message, any other one a string in it."""
    return _text(
        type="event",
        namespace=event.namespace,
        event_id=event.event_id,
        occurrence_id=event.occurrence_id,
        payload=_payload(event.payload),
        tags=list(event.tags),
        headers=dict(event.headers),
    )


def ack_text(note: str) -> str:
    """The gateway has understood."""
    return _text(type="ack", message=note)


def error_text(note: str) -> str:
    """The gateway has not understood, or does not agree."""
    return _text(type="error", message=note)


def _object(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise SocketMessageError("the message is not JSON") from None
    if not isinstance(message, dict):
        raise SocketMessageError("the message is not a JSON object")
    return message


def _tags(tags: Any) -> frozenset[str]:
    is_list = isinstance(tags, list) and 0 < len(tags) <= MOST_TAGS
    if not is_list or not all(isinstance(tag, str) and 0 < len(tag) <= LONGEST_TAG for tag in tags):
        raise SocketMessageError(f'"tags" must be a list of 1 to {MOST_TAGS} texts of at most {LONGEST_TAG} characters')
    return frozenset(tags)


def _payload(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return text


def _text(**fields: Any) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
