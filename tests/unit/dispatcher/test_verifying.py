"""The functions of docs/delivery-contract.md that verify deliveries, run as they stand there."""

from datetime import UTC, datetime

import pytest

from libs.signing_secrets import parse_secret
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Facts
from tests.doc_blocks import python_function

OLD, NEW = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "bmV3" * 8
OTHER = "whsec_" + "b3Ro" * 8
BODY = '{"amount": "1 €"}'.encode()
SENT_AT = datetime(2026, 1, 1, 12, 0, 1, 500_000, tzinfo=UTC)
FACTS = Facts(
    job_id="report", job_name="Report", namespace="default", execution_id="e-1", scheduled_time=SENT_AT, attempt=1,
    traceparent="00-a-b-01", sent_at=SENT_AT,
)  # fmt: skip
NOW = SENT_AT.timestamp()
is_genuine = python_function("delivery-contract.md", "is_genuine")
is_from_qhronos = python_function("delivery-contract.md", "is_from_qhronos")


def signed(*secrets: str) -> dict[str, str]:
    """The headers of a delivery as servers give them."""
    contract = Contract(secrets=[parse_secret(secret) for secret in secrets], qhronos_secret=b"qhronos.io")
    return {name.lower(): value for name, value in contract.dress(FACTS, BODY, "application/json").headers.items()}


def test_a_delivery_is_genuine_for_each_secret_that_signs_it() -> None:
    headers = signed(OLD, NEW)
    assert is_genuine(OLD, headers, BODY, now=NOW)
    assert is_genuine(NEW, headers, BODY, now=NOW)
    assert not is_genuine(OTHER, headers, BODY, now=NOW)


def test_a_reference_signature_is_genuine() -> None:
    wrong, right = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": f"{wrong} v2,x {right}",
    }
    assert is_genuine(OLD, headers, b'{"test": 2432232314}', now=1614265330)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_delivery_that_lacks_something_is_not_genuine(name: str) -> None:
    headers = signed(OLD)
    for value in ("", "é", "1", None):
        changed = {**headers, name: value} if value is not None else {k: v for k, v in headers.items() if k != name}
        assert not is_genuine(OLD, changed, BODY, now=NOW)


def test_a_changed_body_is_not_genuine() -> None:
    assert not is_genuine(OLD, signed(OLD), BODY + b" ", now=NOW)


@pytest.mark.parametrize(("drift", "is_taken"), [(299, True), (-299, True), (302, False), (-302, False)])
def test_a_delivery_is_genuine_for_five_minutes(drift: float, is_taken: bool) -> None:
    assert is_genuine(OLD, signed(OLD), BODY, now=NOW + drift) is is_taken


def test_a_delivery_can_be_verified_as_of_qhronos() -> None:
    headers = signed()
    assert is_from_qhronos("qhronos.io", headers, BODY)
    assert not is_from_qhronos("qhronos.io", headers, BODY + b" ")
    assert not is_from_qhronos("other", headers, BODY)
    assert not is_from_qhronos("qhronos.io", {}, BODY)
