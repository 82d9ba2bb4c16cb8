"""How a connection to a target is secured."""

from collections.abc import Iterator

from chronos.scheduler.v1 import target_tls_pb2

from libs.faults import Violation
from libs.redaction import MASK

CERTIFICATE = ("-----BEGIN CERTIFICATE-----", "-----BEGIN TRUSTED CERTIFICATE-----")
KEY = "PRIVATE KEY-----"


def violations(field: str, tls: target_tls_pb2.TargetTls, *, is_implied: bool = False) -> Iterator[Violation]:
    """What contradicts itself, or is no PEM. `is_implied` says that the target's address asks for TLS already."""
    if tls.ListFields() and not tls.enabled and not is_implied:
        yield Violation(field=f"{field}.enabled", description="must be true for the rest of it to have an effect")
    yield from _pair_violations(field, tls)
    yield from _pem_violations(field, tls)
    if tls.insecure_skip_verify and (tls.ca_cert or tls.server_name):
        given = "ca_cert" if tls.ca_cert else "server_name"
        yield Violation(
            field=f"{field}.insecure_skip_verify", description=f"trusts any certificate, and {given} does not; drop one"
        )


def _pair_violations(field: str, tls: target_tls_pb2.TargetTls) -> Iterator[Violation]:
    if tls.client_cert and not tls.client_key:
        yield Violation(field=f"{field}.client_key", description="is missing: give the private key of client_cert")
    if tls.client_key and not tls.client_cert:
        yield Violation(field=f"{field}.client_cert", description="is missing: give the certificate of client_key")


def _pem_violations(field: str, tls: target_tls_pb2.TargetTls) -> Iterator[Violation]:
    for name in ("ca_cert", "client_cert"):
        text = getattr(tls, name)
        if text and not any(begin in text for begin in CERTIFICATE):
            yield Violation(field=f"{field}.{name}", description=_not_pem(CERTIFICATE[0]))
    if tls.client_key and tls.client_key != MASK:
        if "-----BEGIN " not in tls.client_key or KEY not in tls.client_key:
            yield Violation(field=f"{field}.client_key", description=_not_pem("-----BEGIN PRIVATE KEY-----"))
        elif "ENCRYPTED" in tls.client_key:
            yield Violation(
                field=f"{field}.client_key",
                description="has a passphrase; give it without: openssl pkey -in key.pem -out plain.pem",
            )


def _not_pem(begin: str) -> str:
    return f"is no PEM: give the text of the file, with its line {begin}, not the file's name"
