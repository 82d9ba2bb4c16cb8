"""Keys that the secrets of stored jobs are encrypted with."""

import base64
import binascii
import hashlib

KEY_BYTES = 32
PLAIN = "plain"
"""Stands in the place of a key: nothing is encrypted."""


def parse_key(text: str) -> bytes:
    """A key from its Base64. Raises ValueError, which does not show it."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"must be {KEY_BYTES} random bytes in Base64; make one with: openssl rand -base64 32")
    return key


def key_id(key: bytes) -> str:
    """What tells keys apart in what they have encrypted."""
    return hashlib.sha256(b"chronos sealing key" + key).hexdigest()[:8]
