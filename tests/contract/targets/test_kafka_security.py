"""Credentials and certificates, against a real broker's listeners."""

import asyncio
from typing import Any

import pytest
import trustme
import uvloop

from services.dispatcher.domain.results import Failure, FailureKind, Result
from services.dispatcher.domain.targets.kafka import Broker, KafkaLink, Mechanism, Sasl
from services.dispatcher.domain.targets.tls import Tls
from tests.contract.targets.kafka_rig import accepted, link_to, make_request, make_topic, open_sender, refused
from tests.servers.kafka import PASSWORD, SERVER_NAME, STRANGER, STRANGERS_PASSWORD, USER, KafkaServer

WRITER = Sasl(mechanism=Mechanism.SCRAM_SHA_512, username=USER, password=PASSWORD)


@pytest.fixture(scope="module")
async def topic() -> str:
    from tests.servers.kafka import shared_kafka

    return await make_topic(shared_kafka())


def trusting(kafka: KafkaServer, **changes: Any) -> Tls:
    return Tls(**{"ca_cert": kafka.ca.cert_pem.bytes().decode(), **changes})


def with_certificate(kafka: KafkaServer, ca: trustme.CA) -> Tls:
    certificate = ca.issue_cert("client.test")
    return trusting(
        kafka,
        client_cert="".join(each.bytes().decode() for each in certificate.cert_chain_pems),
        client_key=certificate.private_key_pem.bytes().decode(),
    )


@pytest.mark.parametrize("mechanism", list(Mechanism))
@pytest.mark.parametrize("listener", ["sasl", "sasltls"])
async def test_each_mechanism_lets_a_client_in(
    kafka: KafkaServer, topic: str, mechanism: Mechanism, listener: str
) -> None:
    sasl = Sasl(mechanism=mechanism, username=USER, password=PASSWORD)
    tls = trusting(kafka) if listener == "sasltls" else None
    async with open_sender() as sender:
        accepted(await sender.send(make_request(link_to(kafka, listener, sasl=sasl, tls=tls), topic)))


@pytest.mark.parametrize("mechanism", list(Mechanism))
async def test_a_wrong_password_is_refused(kafka: KafkaServer, topic: str, mechanism: Mechanism) -> None:
    wrong = Sasl(mechanism=mechanism, username=USER, password="wrong")
    async with open_sender() as sender:
        link = link_to(kafka, "sasl", sasl=wrong)
        error = refused(await sender.send(make_request(link, topic)), FailureKind.CREDENTIALS)
    assert error == f"{link.brokers[0]} refused the user name or the password"


async def test_credentials_that_differ_have_connections_of_their_own(kafka: KafkaServer, topic: str) -> None:
    wrong = Sasl(mechanism=WRITER.mechanism, username=USER, password="wrong")
    async with open_sender() as sender:
        accepted(await sender.send(make_request(link_to(kafka, "sasl", sasl=WRITER), topic)))
        refused(await sender.send(make_request(link_to(kafka, "sasl", sasl=wrong), topic)), FailureKind.CREDENTIALS)
        accepted(await sender.send(make_request(link_to(kafka, "sasl", sasl=WRITER), topic)))


async def test_who_may_not_write_is_refused(kafka: KafkaServer, topic: str) -> None:
    stranger = Sasl(mechanism=Mechanism.PLAIN, username=STRANGER, password=STRANGERS_PASSWORD)
    async with open_sender() as sender:
        link = link_to(kafka, "sasl", sasl=stranger)
        error = refused(await sender.send(make_request(link, topic)), FailureKind.CREDENTIALS)
    assert f"may not see topic {topic}" in error


async def test_no_credentials_where_some_are_asked_for_do_not_connect(kafka: KafkaServer, topic: str) -> None:
    async with open_sender() as sender:
        error = refused(await sender.send(make_request(link_to(kafka, "sasl"), topic)), FailureKind.CONNECT)
    assert "does it expect sasl settings?" in error


async def test_credentials_where_none_are_asked_for_are_refused(kafka: KafkaServer, topic: str) -> None:
    async with open_sender() as sender:
        link = link_to(kafka, sasl=WRITER)
        error = refused(await sender.send(make_request(link, topic)), FailureKind.CREDENTIALS)
    assert "leave sasl out" in error


async def test_tls_with_a_trusted_authority(kafka: KafkaServer, topic: str) -> None:
    async with open_sender() as sender:
        accepted(await sender.send(make_request(link_to(kafka, "tls", tls=trusting(kafka)), topic)))


async def test_the_certificate_may_be_for_another_name_that_the_job_gives(kafka: KafkaServer, topic: str) -> None:
    async with open_sender() as sender:
        tls = trusting(kafka, server_name=SERVER_NAME)
        accepted(await sender.send(make_request(link_to(kafka, "tls", tls=tls), topic)))
        other = trusting(kafka, server_name="other.test")
        error = refused(
            await sender.send(make_request(link_to(kafka, "tls", tls=other), topic)), FailureKind.CERTIFICATE
        )
    assert "certificate" in error


async def test_an_unknown_authority_is_not_trusted(kafka: KafkaServer, topic: str) -> None:
    async with open_sender() as sender:
        for tls in (Tls(), Tls(ca_cert=trustme.CA().cert_pem.bytes().decode())):
            request = make_request(link_to(kafka, "tls", tls=tls), topic)
            refused(await sender.send(request), FailureKind.CERTIFICATE)
        accepted(await sender.send(make_request(link_to(kafka, "tls", tls=Tls(is_verified=False)), topic)))


async def test_tls_to_a_port_without_it_fails(kafka: KafkaServer, topic: str) -> None:
    async with open_sender() as sender:
        request = make_request(link_to(kafka, "plain", tls=trusting(kafka)), topic)
        assert (await sender.send(request)).kind in (FailureKind.TLS, FailureKind.CONNECT)  # type: ignore[union-attr]


async def test_no_tls_to_a_port_with_it_fails(kafka: KafkaServer, topic: str) -> None:
    async with open_sender() as sender:
        refused(await sender.send(make_request(link_to(kafka, "tls"), topic)), FailureKind.CONNECT)


async def test_a_client_certificate_lets_in_and_the_lack_of_one_does_not(kafka: KafkaServer, topic: str) -> None:
    async with open_sender() as sender:
        tls = with_certificate(kafka, kafka.ca)
        accepted(await sender.send(make_request(link_to(kafka, "mtls", tls=tls), topic)))
        for bad in (trusting(kafka), with_certificate(kafka, trustme.CA())):
            request = make_request(link_to(kafka, "mtls", tls=bad), topic)
            error = refused(await sender.send(request), FailureKind.CREDENTIALS)
            assert "refused the client's certificate" in error


async def test_certificates_that_are_none_are_invalid(kafka: KafkaServer, topic: str) -> None:
    async with open_sender() as sender:
        request = make_request(link_to(kafka, "tls", tls=Tls(ca_cert="nonsense")), topic)
        assert "ca_cert" in refused(await sender.send(request), FailureKind.INVALID)


async def test_what_goes_wrong_is_told_apart_on_the_loop_of_production_too(kafka: KafkaServer, topic: str) -> None:
    wrong = Sasl(mechanism=WRITER.mechanism, username=USER, password="wrong")
    expected = {
        link_to(kafka, "tls", tls=trusting(kafka, server_name=SERVER_NAME)): None,
        link_to(kafka, "mtls", tls=with_certificate(kafka, kafka.ca)): None,
        link_to(kafka, "tls", tls=trusting(kafka, server_name="other.test")): FailureKind.CERTIFICATE,
        link_to(kafka, "tls", tls=Tls()): FailureKind.CERTIFICATE,
        link_to(kafka, "mtls", tls=trusting(kafka)): FailureKind.CREDENTIALS,
        link_to(kafka, "sasl", sasl=wrong): FailureKind.CREDENTIALS,
        link_to(kafka, "sasl"): FailureKind.CONNECT,
        link_to(kafka, "tls"): FailureKind.CONNECT,
        KafkaLink(brokers=(Broker("no-such-host.invalid", 9092),)): FailureKind.NAME,
    }

    async def send_all() -> list[Result]:
        async with open_sender() as sender:
            return [await sender.send(make_request(link, topic)) for link in expected]

    results = await asyncio.to_thread(uvloop.run, send_all())
    assert [result.kind if isinstance(result, Failure) else None for result in results] == list(expected.values())
