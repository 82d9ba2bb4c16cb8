"""API keys: their text form `chronos_<id>_<secret>`, and what is stored of them."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from chronos.auth.v1.api_key_pb2 import ApiKey

from libs.clock import Clock

KEY = re.compile(r"chronos_([a-z2-7]{12})_([A-Za-z0-9_-]{43})")
ID_LENGTH = 12
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyText:
    """The two parts of a key. `secret` must not be logged."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"chronos_{self.id}_{self.secret}"

    def __repr__(self) -> str:
        return f"KeyText(id={self.id!r})"


def parse_key(text: str) -> KeyText | None:
    """The parts of a key, None when the text does not look like one."""
    match = KEY.fullmatch(text)
    return KeyText(id=match[1], secret=match[2]) if match else None


def new_key(
    name: str,
    permissions: Sequence[str],
    namespaces: Sequence[str],
    clock: Clock,
    *,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> tuple[str, ApiKey]:
    """A fresh key: its text, which is shown once and never kept, and what is stored of it."""
    identity = base64.b32encode(random_bytes(8)).decode().lower()[:ID_LENGTH]
    secret = base64.urlsafe_b64encode(random_bytes(SECRET_BYTES)).decode().rstrip("=")
    text = str(KeyText(id=identity, secret=secret))
    return text, stored_key(text, name, permissions, namespaces, clock)


def stored_key(text: str, name: str, permissions: Sequence[str], namespaces: Sequence[str], clock: Clock) -> ApiKey:
    """What is stored of the key in `text`. Raises ValueError when it does not look like a key."""
    parts = parse_key(text)
    if parts is None:
        raise ValueError("is not an API key; it must look like chronos_<12 characters>_<43 characters>")
    key = ApiKey(
        id=parts.id, name=name, secret_hash=_hashed(parts.secret), permissions=permissions, namespaces=namespaces
    )
    key.created_at.FromDatetime(clock.now())
    return key


def is_secret_of(key: ApiKey, secret: str) -> bool:
    """Whether `secret` is the key's, compared in constant time."""
    return hmac.compare_digest(_hashed(secret), key.secret_hash)


def is_expired(key: ApiKey, now: datetime) -> bool:
    """Whether the key has stopped working."""
    return key.HasField("expires_at") and key.expires_at.ToDatetime(now.tzinfo) <= now


def _hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
