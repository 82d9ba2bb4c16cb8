"""HTTP requests through pyreqwest (Rust's reqwest): pooled connections, no redirects, bounded answers."""

from datetime import timedelta
from pathlib import Path
from typing import Protocol

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import BuilderError, PyreqwestError
from pyreqwest.response import Response

from services.dispatcher.adapters.http_errors import Endpoint, describe_error, describe_timeout
from services.dispatcher.domain.outcome import Answer, Failure, FailureKind
from services.dispatcher.domain.request import Request

IDLE_CONNECTION_LIFETIME = timedelta(seconds=30)


class Clients(Protocol):
    """Where the client for a request comes from."""

    async def find(self, endpoint: Endpoint, timeout: timedelta) -> Client | Failure:
        """A client whose connections to that endpoint are allowed, or why there is none. Raises TimeoutError."""

    async def close(self) -> None:
        """Closes all connections."""


class SharedClient:
    """One client for all endpoints: whatever an endpoint's name means to the system is allowed."""

    def __init__(self, builder: ClientBuilder) -> None:
        self._client = builder.build()

    async def find(self, endpoint: Endpoint, timeout: timedelta) -> Client | Failure:
        """See Clients."""
        del endpoint, timeout
        return self._client

    async def close(self) -> None:
        """See Clients."""
        await self._client.close()


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

    async def send(self, request: Request) -> Answer | Failure:
        """See Sender."""
        try:
            endpoint = Endpoint.of(request.url)
        except ValueError as error:
            return Failure(kind=FailureKind.INVALID, error=f"the URL is not valid: {error}")
        try:
            client = await self._clients.find(endpoint, request.timeout)
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

    async def _exchange(self, client: Client, endpoint: Endpoint, request: Request) -> Answer:
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


def client_builder(*, max_idle_per_host: int, ca_file: str = "") -> ClientBuilder:
    """How every client is set up. `ca_file` names a PEM file with authorities to trust beside the system's.

    Proxies of the environment are not used: they would decide where a request goes after it was checked. Answers come
    as they are, since a small compressed one may be a huge one.
    """
    builder = (
        ClientBuilder()
        .follow_redirects(False)
        .referer(False)
        .no_proxy()
        .gzip(False)
        .brotli(False)
        .zstd(False)
        .deflate(False)
        .pool_idle_timeout(IDLE_CONNECTION_LIFETIME)
        .pool_max_idle_per_host(max_idle_per_host)
        .tcp_keepalive(IDLE_CONNECTION_LIFETIME)
    )
    return builder.add_root_certificate_pem(Path(ca_file).read_bytes()) if ca_file else builder
