"""Signatures, held against those that the libraries of Standard Webhooks publish."""

import base64

import pytest

from libs.signing_secrets import parse_secret
from services.dispatcher.domain.signatures import qhronos_signature, standard_signature

# Of the specification's reference libraries, the same in each language.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
IDENTITY, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
# RFC 4231, test case 2.
RFC_4231 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def test_a_signature_is_the_one_of_the_reference() -> None:
    assert standard_signature([parse_secret(SECRET)], IDENTITY, TIMESTAMP, BODY) == SIGNATURE


def test_each_active_secret_signs_in_their_order() -> None:
    other = b"o" * 32
    both = standard_signature([other, parse_secret(SECRET)], IDENTITY, TIMESTAMP, BODY).split(" ")
    assert both == [standard_signature([other], IDENTITY, TIMESTAMP, BODY), SIGNATURE]


@pytest.mark.parametrize(
    "change", [("id", TIMESTAMP, BODY), (IDENTITY, "1614265331", BODY), (IDENTITY, TIMESTAMP, b"")]
)
def test_a_signature_covers_identity_time_and_body(change: tuple[str, str, bytes]) -> None:
    assert standard_signature([parse_secret(SECRET)], *change) != SIGNATURE


def test_a_qhronos_signature_is_the_hexadecimal_hmac_of_the_body() -> None:
    assert qhronos_signature(b"Jefe", b"what do ya want for nothing?") == RFC_4231


@pytest.mark.parametrize("length", [24, 64])
def test_a_secret_has_24_to_64_bytes(length: int) -> None:
    key = bytes(range(length))
    assert parse_secret("whsec_" + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize(
    "secret",
    [
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_not base64!", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_" + base64.b64encode(b"k" * 23).decode(), "whsec_" + base64.b64encode(b"k" * 65).decode(),
    ],
)  # fmt: skip
def test_what_is_no_secret_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_") as caught:
        parse_secret(secret)
    assert secret.removeprefix("whsec_") not in str(caught.value) or secret == "whsec_"
