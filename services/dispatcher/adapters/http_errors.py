"""What goes wrong with HTTP requests, in words for the owner of a job."""

import re
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from pyreqwest.exceptions import BodyDecodeError, DecodeError, DetailedPyreqwestError, PyreqwestError
from pyreqwest.http import Url

from libs.durations import format_duration
from services.dispatcher.domain.results import Failure, FailureKind

CONNECTING = "client error (Connect)"
CERTIFICATE = "invalid peer certificate: "
CERTIFICATE_REASONS = (
    (re.compile("UnknownIssuer|CaUsedAsEndEntity"), "its issuer is unknown"),
    (re.compile("certificate expired|^Expired"), "it has expired"),
    (re.compile("not valid yet|NotValidYet"), "it is not valid yet"),
    (re.compile("not valid for name|NotValidForName"), "it is for another name"),
    (re.compile("Revoked"), "it was revoked"),
)
CLOSED = (
    "connection closed", "Connection reset by peer", "Broken pipe", "unexpected EOF", "peer closed connection",
    "dispatch task is gone", "not a result of an error",
)  # fmt: skip
ALERT = "received fatal alert: "
# What a server says of the client certificate that it was shown, or was not. Where TLS 1.3 is spoken, it may say so
# only after the request came, of which it has read nothing.
IDENTITY_ALERTS = frozenset({
    "AccessDenied", "BadCertificate", "CertificateExpired", "CertificateRequired", "CertificateRevoked",
    "CertificateUnknown", "CertificateUnobtainable", "UnknownCA", "UnknownCa", "UnsupportedCertificate",
})  # fmt: skip
# What the beginning of an answer in HTTP/1 looks like to a client that expects HTTP/2 is a huge frame.
NO_HTTP_2 = ("frame with invalid size", "NoApplicationProtocol")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL as the HTTP client understands it, and where it leads."""

    url: Url
    host: str
    port: int

    @classmethod
    @lru_cache(maxsize=4096)
    def of(cls, url: str) -> "Endpoint":
        """Reads an absolute http or https URL. Raises ValueError with the reason."""
        parsed = Url(url)
        if parsed.scheme not in ("http", "https") or not parsed.host_str:
            raise ValueError("it must begin with http:// or https:// and name a host")
        return cls(parsed, parsed.host_str, parsed.port_or_known_default or 0)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def describe_timeout(timeout: timedelta) -> Failure:
    """The endpoint was too slow."""
    return Failure(kind=FailureKind.TIMEOUT, error=f"timed out after {format_duration(timeout)}")


def describe_error(error: PyreqwestError, endpoint: Endpoint) -> Failure:
    """What an error of the client means.

    NAME, CONNECT, TLS and CERTIFICATE stand for a connection that was never made: nothing of the request went out.
    """
    causes = _causes(error)
    text = "; ".join(causes) or error.message
    if any(sign in text for sign in NO_HTTP_2):
        words = f"{endpoint} does not speak HTTP/2; leave out webhook.http_version"
        return Failure(kind=FailureKind.INVALID, error=words)
    alert = text.partition(ALERT)[2]
    if alert in IDENTITY_ALERTS:
        words = f"TLS: {endpoint} asks for a client certificate that it trusts ({alert}); see webhook.tls"
        return Failure(kind=FailureKind.CREDENTIALS, error=words)
    # The class of the error does not tell: a ConnectError comes of connections that broke later, too.
    if CONNECTING in causes:
        return _not_connected(causes, error, endpoint)
    if isinstance(error, BodyDecodeError):
        return Failure(kind=FailureKind.BROKEN, error=f"the answer of {endpoint} broke off: {_last(causes, error)}")
    if isinstance(error, DecodeError):
        return Failure(kind=FailureKind.BROKEN, error=f"{endpoint} did not answer in HTTP: {_last(causes, error)}")
    if any(sign in text for sign in CLOSED):
        return Failure(kind=FailureKind.BROKEN, error=f"connection closed by {endpoint} before it answered")
    return Failure(kind=FailureKind.BROKEN, error=f"connection to {endpoint} broken: {_last(causes, error)}")


def _not_connected(causes: list[str], error: PyreqwestError, endpoint: Endpoint) -> Failure:
    text = "; ".join(causes) or error.message
    if "dns error" in causes:
        return Failure(kind=FailureKind.NAME, error=f"name {endpoint.host} does not resolve")
    if "Connection refused" in text:
        return Failure(kind=FailureKind.CONNECT, error=f"connection refused by {endpoint}")
    if CERTIFICATE in text:
        return _certificate(text.partition(CERTIFICATE)[2], endpoint)
    if "received corrupt message" in text:
        return Failure(kind=FailureKind.TLS, error=f"TLS: {endpoint} does not speak TLS; is it http:// rather?")
    if ALERT in text:
        alert = text.partition(ALERT)[2]
        return Failure(kind=FailureKind.TLS, error=f"TLS: {endpoint} refused the handshake ({alert})")
    if "tls handshake eof" in text:
        words = f"TLS: {endpoint} hung up during the handshake; it may want a client certificate"
        return Failure(kind=FailureKind.TLS, error=words)
    return Failure(kind=FailureKind.CONNECT, error=f"no connection to {endpoint}: {_last(causes, error)}")


def _certificate(reason: str, endpoint: Endpoint) -> Failure:
    for pattern, words in CERTIFICATE_REASONS:
        if pattern.search(reason):
            return Failure(kind=FailureKind.CERTIFICATE, error=f"TLS: the certificate of {endpoint}: {words}")
    return Failure(kind=FailureKind.CERTIFICATE, error=f"TLS: the certificate of {endpoint} is not valid: {reason}")


def _causes(error: PyreqwestError) -> list[str]:
    causes = error.details["causes"] if isinstance(error, DetailedPyreqwestError) else None
    return [cause["message"] for cause in causes or ()]


def _last(causes: list[str], error: PyreqwestError) -> str:
    return re.sub(r" \(os error \d+\)$", "", causes[-1] if causes else error.message)
