"""Requests and senders for the tests of webhooks."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import trustme

from services.dispatcher.adapters.checked_clients import CheckedClients
from services.dispatcher.adapters.http import Clients, HttpSender, SharedClients
from services.dispatcher.adapters.http_clients import client_builder
from services.dispatcher.domain.addresses import AddressPolicy, parse_networks
from services.dispatcher.domain.results import Answer, Failure
from services.dispatcher.domain.targets.http_options import HttpOptions, HttpVersion, Link, Redirects
from services.dispatcher.domain.targets.tls import Tls
from services.dispatcher.domain.targets.webhook import HttpRequest
from tests.fakes.clock import FakeClock

LIMIT = 1024
LONGEST = 1_000_000
PATIENCE = timedelta(seconds=10)
SECRETS = frozenset({"Authorization", "X-Key"})


def make_request(
    url: str,
    *,
    method: str = "POST",
    body: bytes | None = b"{}",
    headers: Mapping[str, str] | None = None,
    timeout: timedelta = PATIENCE,
    tls: Tls | None = None,
    version: HttpVersion = HttpVersion.HTTP_1_1,
    redirects: Redirects = Redirects.NONE,
) -> HttpRequest:
    options = HttpOptions(link=Link(tls=tls, version=version), redirects=redirects, secret_headers=SECRETS)
    return HttpRequest(method=method, url=url, headers=headers or {}, body=body, timeout=timeout, options=options)


def trust(authority: trustme.CA, client: trustme.LeafCert | None = None) -> Tls:
    """TLS options that trust an authority, and show a certificate if there is one."""
    chain = client.cert_chain_pems if client is not None else []
    return Tls(
        ca_cert=authority.cert_pem.bytes().decode(),
        client_cert="".join(each.bytes().decode() for each in chain),
        client_key=client.private_key_pem.bytes().decode() if client is not None else "",
    )


@asynccontextmanager
async def open_sender() -> AsyncIterator[HttpSender]:
    """To which every address is allowed."""
    async with _open(SharedClients(lambda: client_builder(max_idle_per_host=8))) as sender:
        yield sender


@asynccontextmanager
async def open_checked(*networks: str) -> AsyncIterator[HttpSender]:
    """To which public addresses and these networks are allowed."""
    policy = AddressPolicy(allowed_networks=parse_networks(networks))
    clients = CheckedClients(
        policy, lambda: client_builder(max_idle_per_host=8), FakeClock(), lifetime=timedelta(seconds=30), limit=2
    )
    async with _open(clients) as sender:
        yield sender


@asynccontextmanager
async def _open(clients: Clients) -> AsyncIterator[HttpSender]:
    sender = HttpSender(clients, max_response_bytes=LIMIT, longest_response_bytes=LONGEST)
    yield sender
    await sender.close()


async def answer_of(sender: HttpSender, request: HttpRequest) -> Answer:
    result = await sender.send(request)
    assert isinstance(result, Answer), result
    return result


async def failure_of(sender: HttpSender, request: HttpRequest) -> Failure:
    result = await sender.send(request)
    assert isinstance(result, Failure), result
    return result
