"""Webhooks over TLS with options of the job's own, and over HTTP/2; against a real nginx."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

import pytest
import trustme
from pyreqwest.client import Client

from services.dispatcher.adapters.http import HttpSender
from services.dispatcher.adapters.http_clients import LinkedClients, client_builder
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.targets.http_options import PLAIN_LINK, HttpVersion, Link
from services.dispatcher.domain.targets.tls import Tls
from tests.contract.targets.webhook_sender import (
    PATIENCE,
    answer_of,
    failure_of,
    make_request,
    open_checked,
    open_sender,
    trust,
)
from tests.receiver import Receiver, Reply
from tests.servers.nginx import NginxServer

PATIENCE_SECONDS = 10.0
STRANGER = trustme.CA()


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    async with open_sender() as sender:
        yield sender


def client_of(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("chronos@example.com")


async def test_an_authority_of_the_jobs_own_is_trusted(sender: HttpSender, shared_nginx: NginxServer) -> None:
    request = make_request(shared_nginx.url("tls"), tls=trust(shared_nginx.authority))
    assert (await answer_of(sender, request)).body == b"HTTP/1.1 POST NONE"


async def test_a_bundle_of_authorities_is_trusted(sender: HttpSender, shared_nginx: NginxServer) -> None:
    bundle = STRANGER.cert_pem.bytes() + shared_nginx.authority.cert_pem.bytes()
    request = make_request(shared_nginx.url("tls"), tls=Tls(ca_cert=bundle.decode()))
    assert (await answer_of(sender, request)).status_code == 200


async def test_what_one_job_trusts_another_does_not(sender: HttpSender, shared_nginx: NginxServer) -> None:
    url = shared_nginx.url("tls")
    assert (await answer_of(sender, make_request(url, tls=trust(shared_nginx.authority)))).status_code == 200
    for tls in (None, trust(STRANGER)):
        failure = await failure_of(sender, make_request(url, tls=tls))
        words = f"TLS: the certificate of localhost:{shared_nginx.port('tls')}: its issuer is unknown"
        assert failure == Failure(kind=FailureKind.CERTIFICATE, error=words)


async def test_an_expired_certificate_is_told(sender: HttpSender, shared_nginx: NginxServer) -> None:
    failure = await failure_of(sender, make_request(shared_nginx.url("expired"), tls=trust(shared_nginx.authority)))
    words = f"TLS: the certificate of localhost:{shared_nginx.port('expired')}: it has expired"
    assert failure == Failure(kind=FailureKind.CERTIFICATE, error=words)


@pytest.mark.parametrize("name", ["tls", "expired"])
async def test_any_certificate_is_accepted_where_the_job_says_so(
    name: str, sender: HttpSender, shared_nginx: NginxServer
) -> None:
    request = make_request(shared_nginx.url(name), tls=Tls(is_verified=False))
    assert (await answer_of(sender, request)).status_code == 200


async def test_a_client_certificate_is_shown(sender: HttpSender, shared_nginx: NginxServer) -> None:
    tls = trust(shared_nginx.authority, client_of(shared_nginx.authority))
    answer = await answer_of(sender, make_request(shared_nginx.url("mutual"), tls=tls))
    assert (answer.status_code, answer.body) == (200, b"HTTP/1.1 POST SUCCESS")


async def test_a_missing_or_strange_client_certificate_is_refused(
    sender: HttpSender, shared_nginx: NginxServer
) -> None:
    for client, words in ((None, b"No required SSL certificate was sent"), (client_of(STRANGER), b"certificate error")):
        tls = trust(shared_nginx.authority, client)
        answer = await answer_of(sender, make_request(shared_nginx.url("mutual"), tls=tls))
        assert answer.status_code == 400
        assert words in answer.body


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("is_shown", [False, True])
async def test_a_handshake_that_ends_over_the_client_certificate_is_no_matter_of_patience(
    version: ssl.TLSVersion, is_shown: bool, sender: HttpSender
) -> None:
    authority = trustme.CA()
    tls = trust(authority, client_of(STRANGER) if is_shown else None)
    with strict_server(authority, version) as port:
        failure = await failure_of(sender, make_request(f"https://localhost:{port}/", tls=tls))
    if version is ssl.TLSVersion.TLSv1_2 and not is_shown:
        # A server of that age says no more than that it does not like the handshake.
        assert failure.kind is FailureKind.TLS
    else:
        assert failure.kind is FailureKind.CREDENTIALS
        assert f"TLS: localhost:{port} asks for a client certificate that it trusts" in failure.error
        assert "see webhook.tls" in failure.error


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        (
            Tls(client_cert="nonsense", client_key="nonsense"),
            "the request cannot be built: tls.client_cert and tls.client_key are no certificate in PEM and its key",
        ),
        (
            Tls(ca_cert="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "the request cannot be built: the TLS options cannot be used: ",
        ),
    ],
)
async def test_useless_tls_options_are_told(
    tls: Tls, words: str, sender: HttpSender, shared_nginx: NginxServer
) -> None:
    failure = await failure_of(sender, make_request(shared_nginx.url("tls"), tls=tls))
    assert failure.kind is FailureKind.INVALID
    assert failure.error.startswith(words)


async def test_a_key_of_another_certificate_is_told(sender: HttpSender, shared_nginx: NginxServer) -> None:
    one, other = trust(STRANGER, client_of(STRANGER)), trust(STRANGER, client_of(STRANGER))
    tls = Tls(client_cert=one.client_cert, client_key=other.client_key)
    failure = await failure_of(sender, make_request(shared_nginx.url("tls"), tls=tls))
    assert failure.kind is FailureKind.INVALID
    assert "KeyMismatch" in failure.error


@pytest.mark.parametrize("name", ["plain_h2", "tls", "mutual"])
async def test_http_2_is_spoken_with_and_without_tls(name: str, sender: HttpSender, shared_nginx: NginxServer) -> None:
    tls = None if name == "plain_h2" else trust(shared_nginx.authority, client_of(shared_nginx.authority))
    answer = await answer_of(sender, make_request(shared_nginx.url(name), tls=tls, version=HttpVersion.HTTP_2))
    assert answer.body.startswith(b"HTTP/2.0 POST")


@pytest.mark.parametrize("name", ["plain", "expired"])
async def test_an_endpoint_without_http_2_is_told(name: str, sender: HttpSender, shared_nginx: NginxServer) -> None:
    request = make_request(shared_nginx.url(name), tls=Tls(is_verified=False), version=HttpVersion.HTTP_2)
    failure = await failure_of(sender, request)
    assert failure.kind is FailureKind.INVALID
    assert failure.error.endswith(f":{shared_nginx.port(name)} does not speak HTTP/2; leave out webhook.http_version")


async def test_private_addresses_stay_closed_whatever_the_options(shared_nginx: NginxServer) -> None:
    before = len(shared_nginx.calls())
    async with open_checked() as sender:
        for host in ("localhost", "127.0.0.1"):
            url = shared_nginx.url("tls", host=host)
            request = make_request(url, tls=Tls(is_verified=False), version=HttpVersion.HTTP_2)
            assert (await failure_of(sender, request)).kind is FailureKind.BLOCKED
    assert len(shared_nginx.calls()) == before


async def test_an_allowed_network_is_reached_with_tls_options(shared_nginx: NginxServer) -> None:
    async with open_checked("127.0.0.0/8", "::1/128") as sender:
        for host in ("localhost", "127.0.0.1"):
            for tls in (trust(shared_nginx.authority), Tls(is_verified=False)):
                answer = await answer_of(sender, make_request(shared_nginx.url("tls", host=host), tls=tls))
                assert answer.status_code == 200


async def test_a_client_that_is_put_aside_finishes_what_it_has(shared_nginx: NginxServer) -> None:
    hold = asyncio.Event()
    clients = LinkedClients(lambda: client_builder(max_idle_per_host=8), limit=1)
    async with Receiver() as receiver, asyncio.TaskGroup() as group:
        url = receiver.reply("/slow", Reply(hold=hold, body=b"at last"))
        pending = group.create_task(read(clients.find(Link(version=HttpVersion.HTTP_1_1, tls=Tls())), url))
        await receiver.wait_for_count(1)
        for version in (HttpVersion.HTTP_2, HttpVersion.HTTP_1_1):
            tls = trust(shared_nginx.authority)
            clients.find(Link(version=version, tls=tls))
        hold.set()
        assert await pending == b"at last"
    await clients.close()


def test_equal_links_share_a_client_and_others_do_not() -> None:
    clients = LinkedClients(lambda: client_builder(max_idle_per_host=8))
    insecure = clients.find(Link(tls=Tls(is_verified=False)))
    assert clients.find(Link(tls=Tls(is_verified=False))) is insecure
    assert clients.find(Link(tls=Tls(is_verified=False), version=HttpVersion.HTTP_2)) is not insecure
    assert clients.find(Link()) is clients.find(PLAIN_LINK)
    assert clients.find(PLAIN_LINK) is not insecure


async def read(client: Client, url: str) -> bytes:
    response = await client.post(url).timeout(PATIENCE).build().send()
    return bytes(await response.bytes())


@contextmanager
def strict_server(authority: trustme.CA, version: ssl.TLSVersion) -> Iterator[int]:
    """Ends handshakes without a client certificate of that authority, and says why."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_SECONDS)
        thread = threading.Thread(target=_shake_hands, args=(context, listener))
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE_SECONDS)


def _shake_hands(context: ssl.SSLContext, listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(PATIENCE_SECONDS)
        with suppress(OSError):
            context.wrap_socket(connection, server_side=True).close()
        # What the client still sends is read, lest its end resets the connection before it has read why.
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
