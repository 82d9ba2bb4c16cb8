"""HTTP clients: how each is set up, and one for each way to connect."""

from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import BuilderError

from services.dispatcher.domain.targets.http_options import PLAIN_LINK, HttpVersion, Link
from services.dispatcher.domain.targets.tls import Tls

IDLE_CONNECTION_LIFETIME = timedelta(seconds=30)
PING_INTERVAL, PING_TIMEOUT = timedelta(seconds=15), timedelta(seconds=10)
MOST_LINKS = 256
"""Ways to connect whose connections are kept."""


class LinkedClients:
    """A client for each way to connect.

    At most `limit` are kept beside the plain one, the least recently used go first; they finish the requests they have.
    """

    def __init__(self, new_builder: Callable[[], ClientBuilder], *, limit: int = MOST_LINKS) -> None:
        self._new_builder = new_builder
        self._limit = limit
        self._plain = new_builder().build()
        self._linked: OrderedDict[Link, Client] = OrderedDict()

    def find(self, link: Link) -> Client:
        """The client for a way to connect. Raises ValueError for TLS options that cannot be used."""
        if link is PLAIN_LINK or link == PLAIN_LINK:
            return self._plain
        client = self._linked.get(link)
        if client is None:
            client = self._linked[link] = build(self._new_builder(), link)
            while len(self._linked) > self._limit:
                self._linked.popitem(last=False)
        else:
            self._linked.move_to_end(link)
        return client

    async def close(self) -> None:
        """Closes all connections."""
        await self._plain.close()
        for client in self._linked.values():
            await client.close()
        self._linked.clear()


def client_builder(*, max_idle_per_host: int, ca_file: str = "") -> ClientBuilder:
    """How every client is set up. `ca_file` names a PEM file with authorities to trust beside the system's.

    Proxies of the environment are not used: they would decide where a request goes after it was checked. Answers come
    as they are, since a small compressed one may be a huge one. Redirects are followed one by one, after a check.
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


def build(builder: ClientBuilder, link: Link) -> Client:
    """A client that connects that way. Raises ValueError, for the job's owner, for TLS options that cannot be used."""
    if link.version is HttpVersion.HTTP_2:
        # All requests share a connection: one that has died must not swallow them until the last has timed out.
        builder = builder.http2_prior_knowledge().http2_keep_alive_interval(PING_INTERVAL)
        builder = builder.http2_keep_alive_timeout(PING_TIMEOUT)
    try:
        return (_secure(builder, link.tls) if link.tls is not None else builder).build()
    except BuilderError as error:
        causes = [cause["message"] for cause in error.details["causes"] or ()] if error.details else []
        raise ValueError(f"the TLS options cannot be used: {causes[-1] if causes else error.message}") from None


def _secure(builder: ClientBuilder, tls: Tls) -> ClientBuilder:
    if not tls.is_verified:
        builder = builder.danger_accept_invalid_certs(True)
    if tls.ca_cert:
        builder = builder.add_root_certificate_pem(tls.ca_cert.encode())
    if tls.client_cert:
        try:
            builder = builder.identity_pem(f"{tls.client_cert}\n{tls.client_key}\n".encode())
        except ValueError:
            raise ValueError("tls.client_cert and tls.client_key are no certificate in PEM and its key") from None
    return builder
