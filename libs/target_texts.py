"""The texts in a job's target: which of them may refer to secrets, and what becomes of those that do."""

import re
from collections.abc import Callable, Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from libs.secret_references import BEGIN

PACKAGE = "chronos.scheduler.v1."
URL = f"{PACKAGE}WebhookTarget.url"
AUTHORITY = re.compile(r"[^:/?#]*:?(//[^/?#]*)?")
# They say where a delivery goes, or which kind it is: people who look at a job must see it.
ADDRESSES = frozenset(
    PACKAGE + name
    for name in (
        "WebhookTarget.method", "ApiKeyAuth.header", "GrpcTarget.address", "GrpcTarget.method",
        "GrpcTarget.retryable_codes", "KafkaTarget.brokers", "KafkaTarget.topic", "NatsTarget.url",
        "NatsTarget.subject", "NatsTarget.reply_subject", "NatsJetStream.stream", "RabbitmqTarget.url",
        "RabbitmqTarget.exchange", "RabbitmqTarget.routing_key", "RabbitmqTarget.queue", "WebsocketTarget.client_name",
        "WebsocketTarget.tags", "TargetTls.server_name",
    )
)  # fmt: skip
# Their variables are filled in for each attempt.
TEMPLATES = frozenset(
    PACKAGE + name
    for name in (
        "WebhookTarget.body", "GrpcTarget.payload", "KafkaTarget.payload", "KafkaTarget.key", "NatsTarget.payload",
        "NatsJetStream.message_id", "RabbitmqTarget.payload", "RabbitmqTarget.message_id", "WebsocketTarget.payload",
    )
)  # fmt: skip
ChangeText = Callable[[str, str, str], str]


def change_texts(message: Message, change: ChangeText) -> None:
    """Puts `change(path, field, text)` in the place of every text that is there, values of maps included.

    `path` is where it stands (`headers["X-Key"]`, `auth.bearer.token`), `field` the full name of its field.
    """
    _change(message, change, "")


def refers_to_secrets(message: Message) -> bool:
    """Whether any text of it refers to a secret, or tries to."""
    return BEGIN.encode() in message.SerializeToString()


def after_authority(url: str) -> int:
    """Where the part of a URL begins that does not say which host is called."""
    match = AUTHORITY.match(url)
    return match.end() if match is not None else 0


def _change(message: Message, change: ChangeText, prefix: str) -> None:
    for field, value in message.ListFields():
        path = prefix + field.name
        nested = field.message_type
        if nested is not None and nested.GetOptions().map_entry:
            if nested.fields_by_name["value"].type == FieldDescriptor.TYPE_STRING:
                for key in list(value):
                    value[key] = change(f'{path}["{key}"]', field.full_name, value[key])
        elif nested is not None and nested.file.package.startswith("chronos."):
            for where, inner in _places(value, path):
                _change(inner, change, f"{where}.")
        elif field.type == FieldDescriptor.TYPE_STRING and field.is_repeated:
            value[:] = [change(f"{path}[{place}]", field.full_name, text) for place, text in enumerate(value)]
        elif field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, change(path, field.full_name, value))


def _places(value: object, path: str) -> Iterator[tuple[str, Message]]:
    if isinstance(value, Message):
        yield path, value
    else:
        for place, inner in enumerate(value):  # type: ignore[arg-type, var-annotated]
            yield f"{path}[{place}]", inner
