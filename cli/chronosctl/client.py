"""The REST API, as calls that return decoded JSON."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from cli.chronosctl.errors import CommandError, ErrorAnswer, RefusedError, UnreachableError
from cli.chronosctl.settings import Connection, is_loopback

Json = dict[str, Any]
Pause = Callable[[timedelta], None]
Warn = Callable[[str], None]
PAGE_SIZE = 500
CALL_TIMEOUT = timedelta(seconds=30)
# The server sends something at least every 15 s; a watch that is silent for longer was cut.
WATCH_TIMEOUT = timedelta(seconds=40)
# What policies warn of, beside an answer: a JSON list of texts.
WARNINGS = "chronos-policy-warnings"
MOST_TRIES = 6
LONGEST_PAUSE = timedelta(seconds=10)


class ApiClient:
    """One server, one caller, one namespace. Waits and repeats what the edge refused as too fast (429).

    What policies warn of is passed on to `warn`.
    """

    def __init__(self, http: httpx.Client, target: Connection, pause: Pause, warn: Warn) -> None:
        self._http = http
        self._target = target
        self.pause = pause
        self._warn = warn

    @property
    def namespace(self) -> str:
        """The chosen namespace; empty when nobody chose one: the server then takes the job's."""
        return self._target.namespace or ""

    def path(self, *parts: str) -> str:
        """The path of a resource in the chosen namespace: `path("jobs", "a")` is `/api/v1/jobs/a`."""
        namespace = self._target.namespace
        scope = ("namespaces", namespace) if namespace else ()
        return resource_path(*scope, *parts)

    def call(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Json | None = None) -> Json:
        """Makes a call and returns the decoded answer. Raises UnreachableError or RefusedError."""
        response = self._send(method, path, query or {}, body)
        if response.is_success:
            for warning in _warnings(response):
                self._warn(warning)
            return _decoded(response)
        raise RefusedError(ErrorAnswer.of(response))

    def pages(self, path: str, key: str, query: Mapping[str, Any], limit: int | None) -> Iterator[Json]:
        """The items of a list, page after page, at most `limit` of them."""
        token = ""
        count = 0
        while limit is None or count < limit:
            size = PAGE_SIZE if limit is None else min(PAGE_SIZE, limit - count)
            page = self.call(
                "GET", path, query={**query, "page_size": size, **({"page_token": token} if token else {})}
            )
            yield from page.get(key, ())
            count += len(page.get(key, ()))
            token = page.get("next_page_token", "")
            if not token:
                return

    @contextmanager
    def lines(self, path: str, query: Mapping[str, str]) -> Iterator[Iterator[Json]]:
        """Opens a stream of JSON objects, one a line. Raises UnreachableError or RefusedError, also while read."""
        timeout = httpx.Timeout(CALL_TIMEOUT.total_seconds(), read=WATCH_TIMEOUT.total_seconds())
        try:
            with self._http.stream("GET", with_query(path, query), timeout=timeout) as response:
                if not response.is_success:
                    response.read()
                    raise RefusedError(ErrorAnswer.of(response))
                yield _objects(response)
        except httpx.TransportError as error:
            raise UnreachableError(self._target.server, error) from error

    def _send(self, method: str, path: str, query: Mapping[str, Any], body: Json | None) -> httpx.Response:
        for attempt in range(1, MOST_TRIES + 1):
            try:
                response = self._http.request(method, with_query(path, query), json=body)
            except httpx.TransportError as error:
                raise UnreachableError(self._target.server, error) from error
            if not _is_too_fast(response) or attempt == MOST_TRIES:
                break
            self.pause(_retry_after(response))
        return response


@contextmanager
def open_client(
    target: Connection, pause: Pause, warn: Warn, transport: httpx.BaseTransport | None = None
) -> Iterator[ApiClient]:
    """A client whose connections are closed at the end."""
    key = target.api_key.get_secret_value()
    headers = {"User-Agent": "chronosctl", **({"X-API-Key": key} if key else {})}
    timeout = CALL_TIMEOUT.total_seconds()
    through_proxy = not is_loopback(target.server)
    with httpx.Client(
        base_url=target.server, headers=headers, timeout=timeout, transport=transport, trust_env=through_proxy
    ) as http:
        yield ApiClient(http, target, pause, warn)


def resource_path(*parts: str) -> str:
    """The path of a resource, whatever namespace was chosen."""
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)


def with_query(path: str, query: Mapping[str, Any]) -> str:
    """A path with its query. A blank is `%20`, which everybody reads as one; not everybody reads a plus so."""
    return f"{path}?{urlencode(query, doseq=True, quote_via=quote)}" if query else path


def _objects(response: httpx.Response) -> Iterator[Json]:
    for line in response.iter_lines():
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise httpx.RemoteProtocolError("the stream was cut within a line") from error


def _decoded(response: httpx.Response) -> Json:
    try:
        decoded = response.json()
    except ValueError:
        decoded = None
    if not isinstance(decoded, dict):
        raise CommandError(f"{response.url} did not answer in JSON; is it the address of a Chronos edge?")
    return decoded


def _warnings(response: httpx.Response) -> list[str]:
    try:
        texts = json.loads(response.headers.get(WARNINGS, "[]"))
    except ValueError:
        texts = None
    return [str(text) for text in texts] if isinstance(texts, list) else []


def _is_too_fast(response: httpx.Response) -> bool:
    """Whether waiting helps. A quota that is used up is a 429 too, with a reason and without a time to wait."""
    if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
        return False
    return "Retry-After" in response.headers or not ErrorAnswer.of(response).reason


def _retry_after(response: httpx.Response) -> timedelta:
    try:
        asked = timedelta(seconds=float(response.headers.get("Retry-After", "1")))
    except (ValueError, OverflowError):
        asked = timedelta(seconds=1)
    return min(max(asked, timedelta(milliseconds=100)), LONGEST_PAUSE)
