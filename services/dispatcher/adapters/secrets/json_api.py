"""Small JSON answers over HTTP, from services that the operator has named."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError

from services.dispatcher.domain.results import Failure, FailureKind

LONGEST_ANSWER = 1024 * 1024


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """The status, and the object that came with it; empty when there was none."""

    status: int
    content: Mapping[str, Any] = field(repr=False)


def open_client(authority: bytes = b"") -> Client:
    """A client that trusts the system's authorities, and one more (PEM). The caller bounds the time."""
    builder = ClientBuilder().follow_redirects(False).referer(False).no_proxy()
    return (builder.add_root_certificate_pem(authority) if authority else builder).build()


async def call(
    client: Client, method: str, url: str, headers: Mapping[str, str], body: Mapping[str, str] | None = None
) -> JsonAnswer | Failure:
    """What a service answers; a Failure when it does not, or at too great length."""
    try:
        builder = client.request(method, url).headers(dict(headers))
        if body is not None:
            builder = builder.body_json(dict(body))
        async with builder.build_streamed() as response:
            content = b""
            while len(content) <= LONGEST_ANSWER and (chunk := await response.body_reader.read_chunk()) is not None:
                content += bytes(chunk)
            status = response.status
    except PyreqwestError as error:
        return away(f"its source cannot be reached ({type(error).__name__})")
    except ValueError:
        return away("its source cannot be asked: the address or token that the operator has given is malformed")
    if len(content) > LONGEST_ANSWER:
        return away("its source answered with more than 1 MiB")
    return JsonAnswer(status, _object(content))


def away(error: str) -> Failure:
    """The source does not give it now, and may later."""
    return Failure(kind=FailureKind.UNREADY, error=error)


def missing(error: str) -> Failure:
    """There is no such secret."""
    return Failure(kind=FailureKind.INVALID, error=error)


def inner(content: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """An object inside an object; empty when it is not there."""
    found: Any = content
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
