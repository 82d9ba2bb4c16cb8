"""References in texts to secrets that are kept elsewhere.

${secret:env:NAME}                   a variable of the environment
${secret:file:/PATH}                 a file
${secret:kubernetes:SECRET/KEY}      a key of a Kubernetes Secret
${secret:vault:PATH:FIELD}           a field of a secret in Vault or OpenBao
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

BEGIN = "${secret:"
REFERENCE = re.compile(r"\$\{secret:([^{}]*)\}")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
SECRET_AND_KEY = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/[A-Za-z0-9._-]{1,253}")
PATH_AND_FIELD = re.compile(r"[^\s:?#%\\/]+(/[^\s:?#%\\/]+)+:[^\s:/]+")
FILE = re.compile(r"(/[^\x00-\x1f/]+)+")
SHAPES: Mapping[str, tuple[re.Pattern[str], str]] = MappingProxyType({
    "env": (NAME, "NAME"),
    "file": (FILE, "/PATH"),
    "kubernetes": (SECRET_AND_KEY, "SECRET/KEY"),
    "vault": (PATH_AND_FIELD, "MOUNT/PATH:FIELD"),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference, well-formed: where the secret is, and what it is called there."""

    source: str
    name: str

    @property
    def place(self) -> str:
        """What rules speak about, for example `vault:secret/billing/stripe:key`."""
        return f"{self.source}:{self.name}"

    def __str__(self) -> str:
        return f"{BEGIN}{self.place}}}"


def has_references(text: str) -> bool:
    """Whether a text refers to secrets, or tries to."""
    return BEGIN in text


def is_reference(text: str) -> bool:
    """Whether a text is one reference and nothing else, so that it is no secret itself."""
    return BEGIN in text and REFERENCE.fullmatch(text) is not None


def references_in(text: str) -> Iterator[Reference]:
    """What a text refers to. Raises ValueError, with what is wrong and how to write it, for what is not well-formed."""
    matches = list(REFERENCE.finditer(text))
    if text.count(BEGIN) > len(matches):
        raise ValueError(f"holds {BEGIN} without its end; write for example {BEGIN}env:NAME}}")
    for match in matches:
        yield _parse(match.group(1))


def replace_references(text: str, value_of: Callable[[Reference], str]) -> str:
    """The text with its references, all of them well-formed, replaced; values are not looked into again."""
    return REFERENCE.sub(lambda match: value_of(_parse(match.group(1))), text) if BEGIN in text else text


def _parse(inner: str) -> Reference:
    source, _, name = inner.partition(":")
    if source not in SHAPES:
        raise ValueError(f'refers to a secret of the unknown source "{source}"; there are {", ".join(SHAPES)}')
    pattern, form = SHAPES[source]
    # Dots would lead out of what rules allow.
    parts = name.partition(":")[0].split("/") if source != "env" else []
    if pattern.fullmatch(name) is None or "." in parts or ".." in parts:
        raise ValueError(f"holds {BEGIN}{inner}}}, which is not of the form {BEGIN}{source}:{form}}}")
    return Reference(source, name)
