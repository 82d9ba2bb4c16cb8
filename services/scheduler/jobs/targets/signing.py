"""The secrets that deliveries are signed with."""

import base64
from collections.abc import Iterator

from chronos.scheduler.v1 import signing_pb2

from libs.faults import Violation
from libs.redaction import MASK

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64


def violations(signing: signing_pb2.Signing) -> Iterator[Violation]:
    """Secrets that are not of the form of Standard Webhooks."""
    for place, secret in enumerate(signing.secrets):
        if secret != MASK and not _is_secret(secret):
            yield Violation(
                field=f"signing.secrets[{place}]",
                description=f"must be {PREFIX} and {SHORTEST} to {LONGEST} random bytes in Base64; make one with for "
                "example: openssl rand -base64 32",
            )


def _is_secret(text: str) -> bool:
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except ValueError:
        return False
    return text.startswith(PREFIX) and SHORTEST <= len(key) <= LONGEST
