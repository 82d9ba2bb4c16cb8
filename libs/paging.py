"""Pages of a list: sizes, and tokens that only the server reads."""

import base64
import binascii
import hashlib
import json

from libs.faults import InvalidArgument

DEFAULT_PAGE_SIZE = 50
LARGEST_PAGE_SIZE = 1000


def page_size(asked: int) -> int:
    """The number of items to return: 0 means 50, more than 1,000 means 1,000."""
    return min(asked, LARGEST_PAGE_SIZE) if asked > 0 else DEFAULT_PAGE_SIZE


def encode_token(position: list[str | int], *, query: list[str]) -> str:
    """A token that continues after `position` of the list that `query` (all other request fields) describes."""
    text = json.dumps([_fingerprint(query), *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_token(token: str, *, query: list[str]) -> list[str | int] | None:
    """The position in a token, None for the first page. Raises InvalidArgument for a token of another list."""
    if not token:
        return None
    try:
        padded = token + "=" * (-len(token) % 4)
        fingerprint, *position = json.loads(base64.urlsafe_b64decode(padded.encode()))
    except (ValueError, TypeError, binascii.Error) as error:
        raise InvalidArgument.of("page_token", "is not a token; pass next_page_token as it was returned") from error
    if fingerprint != _fingerprint(query):
        raise InvalidArgument.of("page_token", "belongs to another list; keep the other fields the same while paging")
    return list(position)


def _fingerprint(query: list[str]) -> str:
    return hashlib.sha256(json.dumps(query).encode()).hexdigest()[:12]
