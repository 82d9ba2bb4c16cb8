"""Ids and namespaces: how they look, and how one is made from a person's words."""

import re
import unicodedata

DEFAULT_NAMESPACE = "default"
ID_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LONGEST_ID = 63


def is_id(text: str) -> bool:
    """Whether `text` can be the id of a resource: lower-case letters, digits and inner hyphens, at most 63."""
    return ID_PATTERN.fullmatch(text) is not None


def slug(name: str) -> str:
    """The id made of a name: `Nightly Büro report!` gives `nightly-buro-report`. Empty when nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_ID].strip("-")
