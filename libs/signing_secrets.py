"""The secrets of Standard Webhooks, as people write them: `whsec_` and Base64."""

import base64

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64


def parse_secret(text: str) -> bytes:
    """The key inside a secret like `whsec_…`. Raises ValueError, which does not show it."""
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except ValueError:
        raise ValueError(f"must be {PREFIX} and Base64") from None
    if not text.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"must be {PREFIX} and {SHORTEST} to {LONGEST} bytes in Base64")
    return key
