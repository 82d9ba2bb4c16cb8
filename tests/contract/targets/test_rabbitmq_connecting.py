"""The way to a real RabbitMQ: names, ports, logins, TLS."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from services.dispatcher.adapters.checked_addresses import CheckedAddresses
from services.dispatcher.adapters.rabbitmq import RabbitmqSender
from services.dispatcher.domain.addresses import AddressPolicy, parse_networks
from services.dispatcher.domain.results import Failure, FailureKind, Receipt
from services.dispatcher.domain.targets.rabbitmq import Broker
from services.dispatcher.domain.targets.tls import Tls
from tests.contract.targets.rabbitmq_rig import (
    broker,
    failure_of,
    make_request,
    open_reader,
    open_sender,
    receipt_of,
    secure,
    send_all,
)
from tests.servers.rabbitmq import RabbitmqServer

SHORT = timedelta(milliseconds=200)


@pytest.fixture
async def sender() -> AsyncIterator[RabbitmqSender]:
    async with open_sender() as sender:
        yield sender


@pytest.fixture
async def queue(rabbitmq: RabbitmqServer) -> AsyncIterator[str]:
    async with open_reader(rabbitmq) as reader:
        yield await reader.queue()


async def test_a_wrong_password_is_told_to_all_who_wait(rabbitmq: RabbitmqServer, sender: RabbitmqSender) -> None:
    to = broker(rabbitmq, user="writer", password="wrong")
    results = await send_all(sender, [make_request(to, exchange="allowed") for _ in range(50)])
    error = f"127.0.0.1:{rabbitmq.port} refused the login of the user writer; check username and password"
    assert {(result.kind, result.error) for result in results if not isinstance(result, Receipt)} == {
        (FailureKind.CREDENTIALS, error)
    }


async def test_guest_is_told_that_it_may_be_local_only(rabbitmq: RabbitmqServer, sender: RabbitmqSender) -> None:
    to = broker(rabbitmq, password="wrong")
    error = await failure_of(sender, make_request(to, queue="q"), FailureKind.CREDENTIALS)
    assert error.endswith("(guest may log in only on the broker's own machine)")


async def test_an_unknown_virtual_host_is_refused(rabbitmq: RabbitmqServer, sender: RabbitmqSender) -> None:
    to = broker(rabbitmq, vhost="no/where")
    error = await failure_of(sender, make_request(to, queue="q"), FailureKind.REFUSED)
    assert error == f"there is no virtual host no/where at 127.0.0.1:{rabbitmq.port}; create it there"


async def test_a_virtual_host_of_others_is_a_matter_of_credentials(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender
) -> None:
    to = broker(rabbitmq, user="outsider")
    error = await failure_of(sender, make_request(to, queue="q"), FailureKind.CREDENTIALS)
    assert "lets the user outsider not into the virtual host /" in error


async def test_a_name_that_does_not_resolve_is_told(sender: RabbitmqSender) -> None:
    request = make_request(Broker(host="x.invalid", port=5672), queue="q")
    assert await failure_of(sender, request, FailureKind.NAME) == "name x.invalid does not resolve"


async def test_a_port_where_nobody_listens_is_told(sender: RabbitmqSender) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        request = make_request(Broker(host="127.0.0.1", port=port), queue="q")
        error = await failure_of(sender, request, FailureKind.CONNECT)
    assert error == f"connection refused by 127.0.0.1:{port}"


async def answer_in_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()
    await writer.wait_closed()


async def test_something_that_is_no_broker_is_told(sender: RabbitmqSender) -> None:
    async with await asyncio.start_server(answer_in_http, "127.0.0.1", 0) as server:
        to = Broker(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        error = await failure_of(sender, make_request(to, queue="q"), FailureKind.CONNECT)
    assert "does not speak AMQP 0-9-1; does it want TLS (amqps://)?" in error


async def test_something_that_says_nothing_times_out(sender: RabbitmqSender) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        to = Broker(host="127.0.0.1", port=mute.getsockname()[1])
        error = await failure_of(sender, make_request(to, queue="q", timeout=SHORT), FailureKind.CONNECT)
    assert error == f"timed out after 200ms while connecting to 127.0.0.1:{to.port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_a_private_address_is_blocked(host: str, rabbitmq: RabbitmqServer, queue: str) -> None:
    async with open_sender(CheckedAddresses(AddressPolicy())) as sender:
        request = make_request(broker(rabbitmq, host=host), queue=queue)
        assert "is a private address" in await failure_of(sender, request, FailureKind.BLOCKED)


async def test_an_allowed_network_is_reached_by_address_and_by_name(rabbitmq: RabbitmqServer, queue: str) -> None:
    policy = AddressPolicy(allowed_networks=parse_networks(["127.0.0.0/8", "::1/128"]))
    tls = Tls(ca_cert=rabbitmq.certificates.ca_cert)
    async with open_sender(CheckedAddresses(policy)) as sender:
        for to in (broker(rabbitmq), broker(rabbitmq, host="localhost"), secure(rabbitmq, tls)):
            await receipt_of(sender, make_request(to, queue=queue))


async def test_a_certificate_of_an_authority_of_the_job_is_trusted(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, queue: str
) -> None:
    tls = Tls(ca_cert=rabbitmq.certificates.ca_cert)
    await receipt_of(sender, make_request(secure(rabbitmq, tls), queue=queue))
    named = replace(tls, server_name="localhost")
    await receipt_of(sender, make_request(secure(rabbitmq, named, host="127.0.0.1"), queue=queue))


async def test_an_authority_of_the_dispatcher_is_trusted(rabbitmq: RabbitmqServer, queue: str, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(rabbitmq.certificates.ca_cert)
    async with open_sender(ca_file=str(path)) as sender:
        await receipt_of(sender, make_request(secure(rabbitmq, Tls()), queue=queue))


async def test_any_certificate_is_trusted_where_the_job_says_so(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, queue: str
) -> None:
    await receipt_of(sender, make_request(secure(rabbitmq, Tls(is_verified=False)), queue=queue))


async def test_a_certificate_that_cannot_be_trusted_is_told(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender, queue: str
) -> None:
    stranger = Tls(ca_cert=trustme.CA().cert_pem.bytes().decode())
    error = await failure_of(sender, make_request(secure(rabbitmq, stranger), queue=queue), FailureKind.CERTIFICATE)
    assert error.startswith(f"TLS: the certificate of localhost:{rabbitmq.tls_port}: ")
    misnamed = Tls(ca_cert=rabbitmq.certificates.ca_cert, server_name="other.example")
    error = await failure_of(sender, make_request(secure(rabbitmq, misnamed), queue=queue), FailureKind.CERTIFICATE)
    assert "other.example" in error


async def test_tls_where_there_is_none_is_told_and_the_other_way_round(
    rabbitmq: RabbitmqServer, sender: RabbitmqSender
) -> None:
    request = make_request(broker(rabbitmq, tls=Tls()), queue="q")
    assert "does not speak TLS; is it amqp:// rather?" in await failure_of(sender, request, FailureKind.TLS)
    request = make_request(broker(rabbitmq, port=rabbitmq.tls_port), queue="q")
    assert "does it want TLS (amqps://)?" in await failure_of(sender, request, FailureKind.CONNECT)


async def test_a_broker_that_wants_a_certificate_gets_it(
    mutual_rabbitmq: RabbitmqServer, sender: RabbitmqSender
) -> None:
    mine = mutual_rabbitmq.certificates
    tls = Tls(ca_cert=mine.ca_cert, client_cert=mine.client_cert, client_key=mine.client_key)
    async with open_reader(mutual_rabbitmq) as reader:
        queue = await reader.queue()
        await receipt_of(sender, make_request(secure(mutual_rabbitmq, tls), queue=queue))


async def test_a_broker_that_gets_no_certificate_or_a_strangers_refuses(
    mutual_rabbitmq: RabbitmqServer, sender: RabbitmqSender
) -> None:
    mine = mutual_rabbitmq.certificates
    stranger = trustme.CA().issue_cert("client.example")
    without = Tls(ca_cert=mine.ca_cert)
    wrong = replace(
        without,
        client_cert=stranger.cert_chain_pems[0].bytes().decode(),
        client_key=stranger.private_key_pem.bytes().decode(),
    )
    for tls in (without, wrong):
        result = await sender.send(make_request(secure(mutual_rabbitmq, tls), queue="q"))
        # The broker's alert may be lost with the connection; then it can only be guessed.
        assert isinstance(result, Failure)
        assert result.kind in (FailureKind.CREDENTIALS, FailureKind.CONNECT)
        assert "client certificate" in result.error


async def test_certificates_that_cannot_be_read_are_invalid(rabbitmq: RabbitmqServer, sender: RabbitmqSender) -> None:
    request = make_request(secure(rabbitmq, Tls(ca_cert="nonsense")), queue="q")
    assert "tls.ca_cert is no certificate in PEM" in await failure_of(sender, request, FailureKind.INVALID)
