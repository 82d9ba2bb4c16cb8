"""What a webhook must be, beyond its shape."""

import pytest
import trustme
from chronos.scheduler.v1 import target_pb2

from libs.redaction import MASK
from services.scheduler.jobs.targets.webhook import fill, violations

Webhook = target_pb2.WebhookTarget
AUTHORITY = trustme.CA()
LEAF = AUTHORITY.issue_cert("chronos@example.com")
CA = AUTHORITY.cert_pem.bytes().decode()
CERT = LEAF.cert_chain_pems[0].bytes().decode()
KEY = LEAF.private_key_pem.bytes().decode()


def wrong(url: str = "https://example.com/", **fields: object) -> dict[str, str]:
    webhook = Webhook(url=url, **fields)  # type: ignore[arg-type]
    return {violation.field: violation.description for violation in violations(webhook)}


def test_what_is_left_out_is_written_out() -> None:
    webhook = Webhook(url="https://example.com/")
    fill(webhook)
    assert (webhook.method, webhook.http_version, webhook.redirects) == ("POST", Webhook.AUTO, Webhook.NONE)
    assert not webhook.HasField("tls")


def test_what_is_given_stays() -> None:
    webhook = Webhook(url="http://example.com/", http_version=Webhook.HTTP_2, redirects=Webhook.ANY)
    fill(webhook)
    assert (webhook.http_version, webhook.redirects) == (Webhook.HTTP_2, Webhook.ANY)


@pytest.mark.parametrize(
    "tls",
    [
        {"enabled": True},
        {"ca_cert": CA},
        {"ca_cert": CA, "client_cert": CERT, "client_key": KEY},
        {"client_cert": CERT, "client_key": MASK},
        {"insecure_skip_verify": True},
    ],
)
def test_tls_options_of_an_https_address_are_fine(tls: dict[str, object]) -> None:
    assert wrong(tls=tls) == {}
    assert wrong("HTTPS://example.com/", tls=tls) == {}


@pytest.mark.parametrize("tls", [{"enabled": True}, {"ca_cert": CA}, {"insecure_skip_verify": True}])
def test_tls_options_contradict_a_plain_address(tls: dict[str, object]) -> None:
    found = wrong("http://example.com/", tls=tls)
    assert found == {"webhook.tls": "is for https:// addresses; write https:// or leave it out"}


@pytest.mark.parametrize(
    ("tls", "field"),
    [
        ({"client_cert": CERT}, "webhook.tls.client_key"),
        ({"client_key": KEY}, "webhook.tls.client_cert"),
        ({"ca_cert": "/etc/ca.pem"}, "webhook.tls.ca_cert"),
        ({"client_cert": CERT, "client_key": "s3cret"}, "webhook.tls.client_key"),
        ({"ca_cert": CA, "insecure_skip_verify": True}, "webhook.tls.insecure_skip_verify"),
        ({"server_name": "other.example"}, "webhook.tls.server_name"),
    ],
)
def test_contradicting_tls_options_are_told(tls: dict[str, object], field: str) -> None:
    found = wrong(tls=tls)
    assert list(found) == [field]
    assert "s3cret" not in found[field]


@pytest.mark.parametrize("redirects", [Webhook.SAME_ORIGIN, Webhook.ANY])
def test_a_redirect_cannot_be_followed_and_be_the_success(redirects: "Webhook.Redirects.ValueType") -> None:
    found = wrong(redirects=redirects, success_codes=[200, 308, 302])
    assert found == {"webhook.success_codes": "holds 302, a redirect that is to be followed; drop one"}
    assert wrong(redirects=redirects, success_codes=[200, 304]) == {}
    assert wrong(redirects=Webhook.NONE, success_codes=[302]) == {}
