"""Secret fields of messages whose value is encrypted: how it is marked, and how all of them are changed at once."""

import re

from google.protobuf.message import Message

from libs.secret_fields import change_secrets

MARK = "enc:v1:"
ENVELOPE = re.compile(r"enc:v1:([0-9a-f]{8}):([A-Za-z0-9+/]+={0,2})")


def is_sealed(text: str) -> bool:
    """Whether a value is encrypted: `enc:v1:<key id>:<Base64>`."""
    return text.startswith(MARK) and ENVELOPE.fullmatch(text) is not None


def sealed_paths(message: Message) -> list[str]:
    """Where secrets stand that nobody could decrypt, for example `webhook.auth.bearer.token`."""
    found: list[str] = []

    def look(path: str, secret: str) -> str:
        if is_sealed(secret):
            found.append(path)
        return secret

    change_secrets(message, look)
    return found


def replace_sealed(message: Message, stand_in: str) -> None:
    """Puts `stand_in` in the places of the secrets that nobody could decrypt."""
    change_secrets(message, lambda _, secret: stand_in if is_sealed(secret) else secret)
