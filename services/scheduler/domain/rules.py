"""What a job must be besides well-formed. Shape rules stand in the proto; these need meaning."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from libs.faults import Violation
from libs.templates import VARIABLES, unknown_variables

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
RESERVED_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "idempotency-key", "traceparent", "tracestate"}
)
RESERVED_PREFIXES = ("x-chronos-", "x-qhronos-", "webhook-")


def url_violations(field: str, url: str) -> Iterator[Violation]:
    """An address that an HTTP client could not call."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        yield Violation(field=field, description=f"is not a URL ({error}); write for example https://example.com/hook")
        return
    if parts.scheme not in ("http", "https") or not host:
        yield Violation(field=field, description="must begin with http:// or https:// and name a host")
    elif any(character.isspace() or ord(character) < 0x20 for character in url):
        yield Violation(field=field, description="holds white space; write %20 for a blank")
    elif parts.username is not None or parts.password is not None:
        yield Violation(field=field, description="holds credentials, which would be shown; put them into webhook.auth")
    elif parts.fragment:
        yield Violation(field=field, description="holds a #fragment, which is never sent; leave it out")


def header_violations(field: str, headers: Mapping[str, str]) -> Iterator[Violation]:
    """Headers that HTTP does not allow, or that are Chronos's own."""
    for name, value in sorted(headers.items()):
        path = f"{field}[{name!r}]"
        if HEADER_NAME.fullmatch(name) is None:
            yield Violation(field=path, description="is no header name; use letters, digits and hyphens")
        elif name.lower() in RESERVED_HEADERS or name.lower().startswith(RESERVED_PREFIXES):
            yield Violation(field=path, description="is set by Chronos itself; leave it out")
        elif not value.isprintable() or not value.isascii():
            yield Violation(field=path, description="has a value with control or non-ASCII characters; encode it")


def template_violations(field: str, texts: Iterable[str]) -> Iterator[Violation]:
    """Template variables that do not exist."""
    for text in texts:
        for name in unknown_variables(text):
            known = ", ".join(f"{{{{.{variable}}}}}" for variable in VARIABLES)
            yield Violation(field=field, description=f"names the unknown variable {{{{.{name}}}}}; there are {known}")


def retry_violations(field: str, initial: timedelta, longest: timedelta) -> Iterator[Violation]:
    """Waits that contradict each other."""
    if initial > longest:
        yield Violation(
            field=f"{field}.max_interval",
            description=f"is shorter than initial_interval ({initial.total_seconds():g}s); make it at least as long",
        )
