"""What a webhook may ask for beyond a plain request: its connection, and where its redirects may lead."""

from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum

from services.dispatcher.domain.targets.tls import Tls


class HttpVersion(StrEnum):
    """How requests are framed."""

    HTTP_1_1 = "1.1"
    HTTP_2 = "2"
    """Only this one, also where no TLS could negotiate it."""


class Redirects(StrEnum):
    """Which redirects are followed."""

    NONE = "none"
    SAME_ORIGIN = "same_origin"
    """Those to the scheme, host and port of the request."""
    ANY = "any"
    """All but those that give up TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How connections are made. Requests with equal links to one endpoint share theirs."""

    tls: Tls | None = None
    version: HttpVersion = HttpVersion.HTTP_1_1


PLAIN_LINK = Link()
"""HTTP/1.1, and for https the authorities that the dispatcher trusts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """Everything beyond a plain request. `secret_headers` hold credentials, spelt as in the request."""

    link: Link = PLAIN_LINK
    redirects: Redirects = Redirects.NONE
    secret_headers: Set[str] = frozenset()
