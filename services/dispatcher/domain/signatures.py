"""How a receiver can tell that a delivery is ours."""

import base64
import hashlib
import hmac
from collections.abc import Sequence


def standard_signature(keys: Sequence[bytes], identity: str, timestamp: str, body: bytes) -> str:
    """The header `webhook-signature` of the Standard Webhooks specification: `v1,` and Base64, one for each key."""
    content = f"{identity}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, content, hashlib.sha256) for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def qhronos_signature(key: bytes, body: bytes) -> str:
    """The header `X-Qhronos-Signature`: the lower-case hexadecimal HMAC-SHA256 of the body."""
    return hmac.digest(key, body, hashlib.sha256).hex()
