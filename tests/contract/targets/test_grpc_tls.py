"""gRPC over TLS, mutual or not, with whom it should be and with whom it should not."""

import datetime
import json
from typing import Any

import pytest
import trustme
from chronos.scheduler.v1.target_tls_pb2 import TargetTls

from services.dispatcher.domain.outcome import judge_failure
from services.dispatcher.domain.results import FailureKind
from tests.contract.targets.grpc_rig import failure_of, open_sender, pem_of, reply_of, request_of, server_credentials
from tests.servers.grpc import GrpcServer

PAYLOAD = '{"customer": "ann"}'
CA, OTHER_CA = trustme.CA(), trustme.CA()
LOCAL = CA.issue_cert("localhost", "127.0.0.1")
CLIENT_KEY, CLIENT_CERT = pem_of(CA.issue_cert("dispatcher"))
OTHER_KEY, OTHER_CERT = pem_of(OTHER_CA.issue_cert("dispatcher"))


def tls(ca: trustme.CA | None = CA, **fields: Any) -> TargetTls:
    text = ca.cert_pem.bytes().decode() if ca is not None else ""
    return TargetTls(enabled=True, ca_cert=text, **fields)


def serving(leaf: trustme.LeafCert = LOCAL, clients: trustme.CA | None = None) -> GrpcServer:
    return GrpcServer(credentials=server_credentials(leaf, clients))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_server_of_a_trusted_authority_is_called(host: str) -> None:
    async with open_sender() as sender, serving() as server:
        reply = await reply_of(sender, request_of(f"{host}:{server.port}", payload=PAYLOAD, tls=tls()))
    assert json.loads(reply.body) == {"orderId": "order of ann"}


async def test_a_server_may_have_another_name_than_its_address() -> None:
    async with open_sender() as sender, serving(CA.issue_cert("billing.example")) as server:
        request = request_of(server.address, payload=PAYLOAD, tls=tls(server_name="billing.example"))
        assert (await reply_of(sender, request)).code == 0


async def test_a_client_certificate_is_shown() -> None:
    async with open_sender() as sender, serving(clients=CA) as server:
        request = request_of(server.address, payload=PAYLOAD, tls=tls(client_cert=CLIENT_CERT, client_key=CLIENT_KEY))
        assert (await reply_of(sender, request)).code == 0


@pytest.mark.parametrize(
    ("shown", "hint"),
    [
        ({}, "does it ask for a client certificate (tls.client_cert)?"),
        ({"client_cert": OTHER_CERT, "client_key": OTHER_KEY}, "does it ask for another one than tls.client_cert?"),
    ],
)
async def test_without_the_right_client_certificate_nothing_is_sent(shown: dict[str, Any], hint: str) -> None:
    async with open_sender() as sender, serving(clients=CA) as server:
        failure = await failure_of(sender, request_of(server.address, payload=PAYLOAD, tls=tls(**shown)))
        assert server.calls == []
    assert failure.kind is FailureKind.TLS
    assert failure.error == f"TLS: {server.address} broke the handshake off; {hint}"
    assert judge_failure(failure).is_unsent


@pytest.mark.parametrize(
    ("leaf", "ca", "words"),
    [
        (LOCAL, OTHER_CA, "its issuer is unknown"),
        (LOCAL, None, "its issuer is unknown"),
        (CA.issue_cert("elsewhere.example"), CA, "is certified for another name; give that in tls.server_name"),
        (
            CA.issue_cert("127.0.0.1", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)),
            CA,
            "it has expired",
        ),
    ],
)
async def test_a_server_that_is_not_to_be_trusted_gets_nothing(
    leaf: trustme.LeafCert, ca: trustme.CA | None, words: str
) -> None:
    async with open_sender() as sender, serving(leaf) as server:
        failure = await failure_of(sender, request_of(server.address, payload=PAYLOAD, tls=tls(ca)))
        assert server.calls == []
    assert failure.kind is FailureKind.CERTIFICATE
    assert words in failure.error
    assert not judge_failure(failure).is_retryable


async def test_authorities_of_the_operator_are_trusted_beside_the_systems() -> None:
    with CA.cert_pem.tempfile() as ca_file:
        async with open_sender(ca_file=ca_file) as sender, serving() as server:
            reply = await reply_of(sender, request_of(server.address, payload=PAYLOAD, tls=tls(None)))
    assert reply.code == 0


@pytest.mark.parametrize(
    "leaf",
    [
        LOCAL,
        CA.issue_cert("elsewhere.example"),
        CA.issue_cert("*.wild.example"),
        CA.issue_cert("10.9.8.7"),
    ],
)
async def test_anybody_is_trusted_where_the_job_says_so(leaf: trustme.LeafCert) -> None:
    async with open_sender() as sender, serving(leaf) as server:
        request = request_of(server.address, payload=PAYLOAD, tls=tls(None, insecure_skip_verify=True))
        assert (await reply_of(sender, request)).code == 0


async def test_a_certificate_without_a_name_cannot_be_used() -> None:
    async with open_sender() as sender, serving(CA.issue_cert(common_name="old.example")) as server:
        request = request_of(server.address, payload=PAYLOAD, tls=tls(None, insecure_skip_verify=True))
        failure = await failure_of(sender, request)
    assert failure.kind is FailureKind.CERTIFICATE
    assert "has a certificate without a name (subjectAltName)" in failure.error


async def test_one_that_trusts_anybody_shares_no_connection_with_one_that_does_not() -> None:
    async with open_sender() as sender, serving() as server:
        careless = request_of(server.address, payload=PAYLOAD, tls=tls(None, insecure_skip_verify=True))
        careful = request_of(server.address, payload=PAYLOAD, tls=tls(OTHER_CA))
        assert (await reply_of(sender, careless)).code == 0
        assert (await failure_of(sender, careful)).kind is FailureKind.CERTIFICATE
        assert (await reply_of(sender, careless)).code == 0


async def test_a_server_that_changes_its_certificate_is_still_anybody() -> None:
    async with open_sender() as sender, serving() as server:
        request = request_of(server.address, payload=PAYLOAD, tls=tls(None, insecure_skip_verify=True))
        assert (await reply_of(sender, request)).code == 0
        await server.stop()
        server.credentials = server_credentials(OTHER_CA.issue_cert("127.0.0.1"))
        await server.start()
        assert (await reply_of(sender, request)).code == 0


async def test_anybody_who_is_not_there_is_not_trusted() -> None:
    async with open_sender() as sender:
        failure = await failure_of(sender, request_of("127.0.0.1:9", tls=tls(None, insecure_skip_verify=True)))
    assert failure.kind is FailureKind.CONNECT
    assert failure.error == "127.0.0.1:9 refuses connections: nothing listens there"


async def test_a_plain_server_asked_for_tls_says_so() -> None:
    async with open_sender() as sender, GrpcServer() as server:
        for how in (tls(), tls(None, insecure_skip_verify=True)):
            failure = await failure_of(sender, request_of(server.address, payload=PAYLOAD, tls=how))
            assert failure.kind is FailureKind.TLS
            assert failure.error == f"{server.address} does not speak TLS; leave tls out if it is meant to be so"


async def test_a_tls_server_asked_in_plain_says_so() -> None:
    async with open_sender() as sender, serving() as server:
        failure = await failure_of(sender, request_of(server.address, payload=PAYLOAD))
    assert failure.kind is FailureKind.CONNECT
    assert failure.error == f"{server.address} hung up before it spoke gRPC; does it speak TLS? Then set tls.enabled"


async def test_certificates_that_cannot_be_used_say_so() -> None:
    async with open_sender() as sender, serving() as server:
        request = request_of(server.address, tls=tls(client_cert=CLIENT_CERT, client_key=OTHER_KEY))
        failure = await failure_of(sender, request)
    assert failure.kind is FailureKind.INVALID
    assert failure.error.startswith("tls.client_cert and tls.client_key are no certificate in PEM and its key")


async def test_keys_are_not_shown() -> None:
    request = request_of("a.example:1", tls=tls(client_cert=CLIENT_CERT, client_key=CLIENT_KEY))
    assert "PRIVATE" not in f"{request!r}"
