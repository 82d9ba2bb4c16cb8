"""TLS towards targets: contexts from PEM text, in real handshakes in memory."""

import ssl
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from chronos.scheduler.v1 import target_tls_pb2
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from services.dispatcher.adapters.tls_contexts import ssl_context
from services.dispatcher.convert_targets.tls import read_tls
from services.dispatcher.domain.targets.tls import Tls

HOST = "broker.example"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> Tls:
    return Tls(ca_cert=authority.cert_pem.bytes().decode())


def shown(authority: trustme.CA, tls: Tls) -> Tls:
    leaf = authority.issue_cert("client")
    chain = "".join(part.bytes().decode() for part in leaf.cert_chain_pems)
    return replace(tls, client_cert=chain, client_key=leaf.private_key_pem.bytes().decode())


def server_context(authority: trustme.CA, *, is_mutual: bool = False, name: str = HOST) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    if is_mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    return context


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> ssl.SSLObject:
    """A handshake without a network; gives the server's end. Raises what either end raises."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(back, there, server_hostname=HOST)
    far = server.wrap_bio(there, back, server_side=True)
    waiting = [near, far]
    for _ in range(20):
        for end in list(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)
        if not waiting:
            return far
    raise AssertionError("the handshake does not end")


def test_a_certificate_of_the_given_authority_is_accepted(authority: trustme.CA, trusting: Tls) -> None:
    assert shake_hands(ssl_context(trusting), server_context(authority)).version() in ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize(("name", "reason"), [(HOST, "certificate verify failed"), ("other.example", "mismatch")])
def test_another_authority_or_name_is_refused(name: str, reason: str, authority: trustme.CA, trusting: Tls) -> None:
    issuer = trustme.CA() if name == HOST else authority
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        shake_hands(ssl_context(trusting), server_context(issuer, name=name))


def test_the_authorities_of_a_file_count_where_the_job_names_none(authority: trustme.CA, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.cert_pem.bytes())
    shake_hands(ssl_context(Tls(), ca_file=str(path)), server_context(authority))
    own = Tls(ca_cert=trustme.CA().cert_pem.bytes().decode())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(ssl_context(own, ca_file=str(path)), server_context(authority))


def test_any_certificate_is_accepted_only_on_request(authority: trustme.CA) -> None:
    shake_hands(ssl_context(Tls(is_verified=False)), server_context(authority, name="other.example"))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(ssl_context(Tls()), server_context(authority))


def test_the_certificate_of_the_client_is_shown(authority: trustme.CA, trusting: Tls) -> None:
    seen = shake_hands(ssl_context(shown(authority, trusting)), server_context(authority, is_mutual=True))
    assert seen.getpeercert()
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake_hands(ssl_context(trusting), server_context(authority, is_mutual=True))


def test_tls_1_1_is_not_spoken(authority: trustme.CA, trusting: Tls) -> None:
    assert ssl_context(trusting).minimum_version is ssl.TLSVersion.TLSv1_2


def test_equal_values_share_a_context(authority: trustme.CA, trusting: Tls) -> None:
    assert ssl_context(trusting) is ssl_context(replace(trusting))
    assert ssl_context(trusting) is not ssl_context(replace(trusting, is_verified=False))


def test_the_key_leaves_no_file_behind(
    authority: trustme.CA, trusting: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mutual = shown(authority, trusting)
    ssl_context(mutual)
    with pytest.raises(ValueError, match="are no certificate in PEM and its key"):
        ssl_context(replace(mutual, client_key=shown(authority, trusting).client_key))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["nonsense", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----", "ünïcode"])
def test_an_authority_that_is_no_certificate_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"^tls\.ca_cert is no certificate in PEM \("):
        ssl_context(Tls(ca_cert=text))


def test_a_key_with_a_passphrase_is_told_and_nobody_is_asked(authority: trustme.CA, trusting: Tls) -> None:
    mutual = shown(authority, trusting)
    key = load_pem_private_key(mutual.client_key.encode(), None)
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")).decode()
    with pytest.raises(ValueError, match="the key has a passphrase; give it without"):
        ssl_context(replace(mutual, client_key=sealed))


def test_secrets_do_not_show() -> None:
    assert "pem" not in repr(Tls(ca_cert="pem", client_cert="pem", client_key="pem"))


def test_a_job_that_says_nothing_of_tls_has_none() -> None:
    assert read_tls(target_tls_pb2.TargetTls()) is None


def test_what_a_job_says_of_tls_is_read() -> None:
    message = target_tls_pb2.TargetTls(
        enabled=True, ca_cert="a", client_cert="b", client_key="c", server_name="d", insecure_skip_verify=True
    )
    assert read_tls(message) == Tls(ca_cert="a", client_cert="b", client_key="c", server_name="d", is_verified=False)
    assert read_tls(target_tls_pb2.TargetTls(ca_cert="a")) == Tls(is_enabled=False, ca_cert="a")
