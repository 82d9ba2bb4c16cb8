"""What a job may say of the TLS of its target."""

import pytest
from chronos.scheduler.v1.target_tls_pb2 import TargetTls

from libs.redaction import MASK
from services.scheduler.jobs.targets import tls as rules

CERT = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n"


def fields(tls: TargetTls, *, is_implied: bool = False) -> list[str]:
    return [violation.field for violation in rules.violations("nats.tls", tls, is_implied=is_implied)]


@pytest.mark.parametrize(
    "tls",
    [
        TargetTls(),
        TargetTls(enabled=True),
        TargetTls(enabled=True, ca_cert=CERT, client_cert=CERT, client_key=KEY, server_name="broker.example"),
        TargetTls(enabled=True, client_cert=CERT, client_key=MASK),
        TargetTls(enabled=True, insecure_skip_verify=True),
    ],
)
def test_what_is_right_is_accepted(tls: TargetTls) -> None:
    assert fields(tls) == []


@pytest.mark.parametrize(
    ("tls", "field"),
    [
        (TargetTls(enabled=True, client_cert=CERT), "client_key"),
        (TargetTls(enabled=True, client_key=KEY), "client_cert"),
        (TargetTls(enabled=True, ca_cert="/etc/ssl/ca.pem"), "ca_cert"),
        (TargetTls(enabled=True, client_cert="client.pem", client_key=KEY), "client_cert"),
        (TargetTls(enabled=True, client_cert=CERT, client_key=CERT), "client_key"),
        (TargetTls(enabled=True, ca_cert=CERT, insecure_skip_verify=True), "insecure_skip_verify"),
        (TargetTls(enabled=True, server_name="a.example", insecure_skip_verify=True), "insecure_skip_verify"),
        (TargetTls(ca_cert=CERT), "enabled"),
    ],
)
def test_what_contradicts_itself_or_is_no_pem_is_refused(tls: TargetTls, field: str) -> None:
    assert fields(tls) == [f"nats.tls.{field}"]


def test_an_address_that_asks_for_tls_enables_it() -> None:
    assert fields(TargetTls(ca_cert=CERT), is_implied=True) == []


def test_a_key_with_a_passphrase_is_refused() -> None:
    sealed = KEY.replace("EC PRIVATE", "ENCRYPTED PRIVATE")
    violation = next(rules.violations("tls", TargetTls(enabled=True, client_cert=CERT, client_key=sealed)))
    assert violation.description.startswith("has a passphrase; give it without: openssl pkey")
