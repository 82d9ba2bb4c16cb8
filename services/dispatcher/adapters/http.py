"""HTTP requests through pyreqwest (Rust's reqwest): pooled connections, checked redirects, bounded answers."""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import BuilderError, PyreqwestError
from pyreqwest.response import Response

from services.dispatcher.adapters.http_clients import LinkedClients
from services.dispatcher.adapters.http_errors import Endpoint, describe_error, describe_timeout
from services.dispatcher.adapters.http_redirects import follow
from services.dispatcher.domain.results import Answer, Failure, FailureKind
from services.dispatcher.domain.targets.http_options import PLAIN_LINK, Link, Redirects
from services.dispatcher.domain.targets.webhook import HttpRequest


class Clients(Protocol):
    """Where the client for a request comes from."""

    async def find(self, endpoint: Endpoint, link: Link, timeout: timedelta) -> Client | Failure:
        """A client that connects that way to that endpoint, if that is allowed, or why there is none.

        Raises TimeoutError, and ValueError for TLS options that cannot be used.
        """

    async def close(self) -> None:
        """Closes all connections."""


class SharedClients:
    """Clients for all endpoints: whatever an endpoint's name means to the system is allowed."""

    def __init__(self, new_builder: Callable[[], ClientBuilder]) -> None:
        self._clients = LinkedClients(new_builder)

    async def find(self, endpoint: Endpoint, link: Link, timeout: timedelta) -> Client | Failure:
        """See Clients."""
        del endpoint, timeout
        return self._clients.find(link)

    async def close(self) -> None:
        """See Clients."""
        await self._clients.close()


class HttpSender:
    """Sends requests. The timeout covers connecting, sending, and the answer with its body.

    Of a body, `max_response_bytes` are kept, and up to `longest_response_bytes` are read; then the answer counts as
    oversized and its connection is closed.
    Where addresses are checked, looking up a name that is not known yet may take as long again.
    """

    def __init__(self, clients: Clients, *, max_response_bytes: int, longest_response_bytes: int) -> None:
        self._clients = clients
        self._limit = max_response_bytes
        self._longest = max(longest_response_bytes, max_response_bytes)

    async def send(self, request: HttpRequest) -> Answer | Failure:
        """The answer, or why there is none, within the request's timeout."""
        link, options = PLAIN_LINK, request.options
        if options is not None:
            if options.redirects is not Redirects.NONE:
                return await follow(self.send, request, options)
            link = options.link
        try:
            endpoint = Endpoint.of(request.url)
        except ValueError as error:
            return Failure(kind=FailureKind.INVALID, error=f"the URL is not valid: {error}")
        try:
            client = await self._clients.find(endpoint, link, request.timeout)
            return client if isinstance(client, Failure) else await self._exchange(client, endpoint, request)
        except TimeoutError:
            return describe_timeout(request.timeout)
        except (BuilderError, ValueError) as error:
            return Failure(kind=FailureKind.INVALID, error=f"the request cannot be built: {error}")
        except PyreqwestError as error:
            return describe_error(error, endpoint)

    async def close(self) -> None:
        """Closes all connections."""
        await self._clients.close()

    async def _exchange(self, client: Client, endpoint: Endpoint, request: HttpRequest) -> Answer:
        builder = client.request(request.method, endpoint.url).timeout(request.timeout).headers(request.headers)
        if request.body is not None:
            builder = builder.body_bytes(request.body)
        # Leaving the block closes the connection if the body was not read to its end, so that no receiver can keep
        # sending; a connection whose answer was read whole goes back to the pool.
        async with builder.streamed_read_buffer_limit(self._limit + 1).build_streamed() as response:
            return await self._read(response)

    async def _read(self, response: Response) -> Answer:
        read = await response.body_reader.read(self._limit + 1)
        body = bytes(read) if read is not None else b""
        is_truncated = len(body) > self._limit
        is_oversized = is_truncated and await self._is_longer(response, len(body))
        return Answer(
            status_code=response.status,
            body=body[: self._limit] if is_truncated else body,
            is_truncated=is_truncated,
            longest_bytes=self._longest if is_oversized else 0,
            retry_after=response.get_header("retry-after") or "",
            location=response.get_header("location") or "",
        )

    async def _is_longer(self, response: Response, length: int) -> bool:
        """Reads on, without keeping anything, until the end or the bound."""
        while length <= self._longest:
            chunk = await response.body_reader.read_chunk()
            if chunk is None:
                return False
            length += len(chunk)
        return True
