"""The secrets that deliveries are signed with."""

from collections.abc import Iterator

from chronos.scheduler.v1 import signing_pb2

from libs.faults import Violation
from libs.redaction import MASK
from libs.signing_secrets import LONGEST, PREFIX, SHORTEST, parse_secret


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
        parse_secret(text)
    except ValueError:
        return False
    return True
