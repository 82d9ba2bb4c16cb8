"""What goes wrong with NATS, in words for the owner of a job: the one place that says what an error means."""

import json
import re
import ssl
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from libs.durations import format_duration
from services.dispatcher.domain.results import Failure, FailureKind, Receipt
from services.dispatcher.domain.targets.nats import Manner, NatsRequest
from services.dispatcher.domain.targets.nats_servers import Server

PERMISSION = re.compile(r'permissions violation for (publish|publish with reply of|subscription) to "(.*?)"', re.I)
REFUSED_WHO = ("authorization violation", "authentication", "account", "revoked", "expired")
FULL = ("maximum connections", "maximum account", "maximum subscriptions", "maximum client")
CERTIFICATE_ALERTS = ("ALERT_CERTIFICATE", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA", "ALERT_UNSUPPORTED_CERTIFICATE")
# Codes of JetStream, by what they mean for a job. Others: by their HTTP-like code.
NOT_ENABLED = frozenset({10039, 10076})
WRONG_STREAM, WRONG_LAST_ID = 10060, 10070
TRANSIENT_CODES = frozenset({408, 409, 429, 503})


class NotConnectedError(Exception):
    """There is no connection; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error)
        self.failure = failure


def connecting_failure(error: Exception, server: Server) -> Failure:
    """Why no connection came about; nothing was sent."""
    match error:
        case ssl.SSLCertVerificationError():
            words = f"TLS: the certificate of {server}: {error.verify_message}"
            return Failure(kind=FailureKind.CERTIFICATE, error=words)
        case ssl.SSLError() if any(word in (error.reason or "") for word in CERTIFICATE_ALERTS):
            words = (error.reason or "").lower().replace("_", " ")
            error_text = f"{server} refused the client certificate ({words}); check nats.tls.client_cert"
            return Failure(kind=FailureKind.CREDENTIALS, error=error_text)
        case ssl.SSLError():
            words = (error.reason or str(error)).lower().replace("_", " ")
            return Failure(kind=FailureKind.TLS, error=f"TLS: no agreement with {server} ({words})")
        case ConnectionRefusedError():
            return Failure(kind=FailureKind.CONNECT, error=f"connection refused by {server}")
        case ConnectionResetError() | EOFError():
            return Failure(kind=FailureKind.CONNECT, error=f"{server} closed the connection before it was ready")
        case TimeoutError():
            return Failure(kind=FailureKind.CONNECT, error=f"{server} does not answer; is it a NATS server?")
        case OSError():
            return Failure(kind=FailureKind.CONNECT, error=f"no connection to {server}: {error.strerror or error}")
        case _:
            return Failure(kind=FailureKind.CONNECT, error=f"{server} does not speak NATS: {error}")


def greeting_failure(text: str, server: Server) -> Failure:
    """Why a server did not let us in."""
    lower = text.lower()
    if any(words in lower for words in FULL):
        return Failure(kind=FailureKind.UNREADY, error=f"{server} takes no more connections: {text}")
    if any(words in lower for words in REFUSED_WHO):
        return Failure(
            kind=FailureKind.CREDENTIALS, error=f"{server} refused the credentials ({text}); check nats.auth"
        )
    if "tls required" in lower:
        return Failure(kind=FailureKind.TLS, error=f"{server} demands TLS; write tls:// in nats.url")
    return Failure(kind=FailureKind.CONNECT, error=f"{server} refused the connection: {text}")


def no_tls(server: Server) -> Failure:
    """The job asks for TLS, and the server does not speak it."""
    return Failure(kind=FailureKind.TLS, error=f"TLS: {server} does not speak TLS; write nats:// if that is meant")


def no_headers(server: Server) -> Failure:
    """The server is too old to tell a message's facts."""
    return Failure(kind=FailureKind.REFUSED, error=f"{server} knows no message headers; it must be NATS 2.2 or later")


def lost(server: Server, why: str, *, is_sent: bool) -> Failure:
    """The connection went; whether what was sent had an effect is not known."""
    if is_sent:
        error = f"the connection to {server} was lost before it answered: {why}"
        return Failure(kind=FailureKind.BROKEN, error=error)
    return Failure(kind=FailureKind.CONNECT, error=f"not sent: the connection to {server} was lost: {why}")


def forbidden(subject: str, server: Server) -> Failure:
    """The user may not publish there."""
    return Failure(
        kind=FailureKind.REFUSED,
        error=f"{server} does not let this user publish to {subject}; give it the permission, or use another subject",
    )


def no_inbox(subject: str, server: Server) -> Failure:
    """The user may not hear replies, so nothing was published."""
    return Failure(
        kind=FailureKind.REFUSED,
        error=f"{server} does not let this user subscribe to {subject}, where replies and acknowledgements go; "
        "allow it _INBOX.>",
    )


def too_large(size: int, longest: int, server: Server) -> Failure:
    """More than the server takes."""
    return Failure(
        kind=FailureKind.REFUSED,
        error=f"the message has {size:,} bytes with its headers, and {server} takes {longest:,}; send less, or raise "
        "the server's max_payload",
    )


def no_responders(subject: str) -> Failure:
    """Nobody would reply."""
    return Failure(kind=FailureKind.UNREADY, error=f"nobody listens on {subject}, so there is no reply")


def not_connected_in_time(server: Server, timeout: timedelta) -> Failure:
    """The attempt was over before there was a connection."""
    return Failure(kind=FailureKind.CONNECT, error=f"no connection to {server} within {format_duration(timeout)}")


def unconfirmed(server: Server, timeout: timedelta) -> Failure:
    """The server did not say that it has taken the message."""
    error = f"timed out after {format_duration(timeout)}: {server} did not confirm the message"
    return Failure(kind=FailureKind.TIMEOUT, error=error)


def unanswered(request: NatsRequest) -> Failure:
    """The server has taken the message, and nobody answered it."""
    is_request = request.manner is Manner.REQUEST
    span = format_duration(min(request.timeout, request.reply_timeout) if is_request else request.timeout)
    words = f"no reply on {request.subject}" if is_request else f"no acknowledgement of {request.subject} by its stream"
    return Failure(kind=FailureKind.TIMEOUT, error=f"timed out after {span}: {words}")


def no_stream(subject: str) -> Failure:
    """JetStream is there, and keeps nothing of this subject."""
    return Failure(
        kind=FailureKind.REFUSED, error=f"no stream takes the subject {subject}; create one, or correct the subject"
    )


def no_jetstream(words: str) -> Failure:
    """There are no streams at all."""
    return Failure(
        kind=FailureKind.REFUSED, error=f"JetStream is not enabled there ({words}); enable it, or use core NATS"
    )


def stream_away(subject: str) -> Failure:
    """There is a stream, or may be, which does not answer just now."""
    return Failure(kind=FailureKind.UNREADY, error=f"the stream of {subject} does not answer; it may have no leader")


def read_acknowledgement(payload: bytes, subject: str, expected_stream: str) -> Receipt | Failure:
    """What a stream answered."""
    try:
        answer = json.loads(payload)
        error = answer.get("error")
        if error is not None:
            return stream_failure(error, subject, expected_stream)
        response = f"stream {answer['stream']}, sequence {int(answer['seq'])}"
        return Receipt(response=response + (", duplicate" if answer.get("duplicate") else ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Failure(
            kind=FailureKind.BROKEN,
            error=f"what answered on {subject} is no stream; correct the subject, or switch jetstream off",
        )


def read_stream_names(payload: bytes, subject: str) -> Failure:
    """Why no stream took a message, from which streams there are for its subject."""
    try:
        answer = json.loads(payload)
        error, streams = answer.get("error"), answer.get("streams")
        if error is not None:
            return stream_failure(error, subject, "")
        return stream_away(subject) if streams else no_stream(subject)
    except (ValueError, AttributeError):
        return stream_away(subject)


def stream_failure(error: Mapping[str, Any], subject: str, expected_stream: str) -> Failure:
    """Why a stream did not store the message."""
    code, number = int(error.get("code") or 0), int(error.get("err_code") or 0)
    words = str(error.get("description") or code)
    if number in NOT_ENABLED:
        return no_jetstream(words)
    if number == WRONG_STREAM:
        return Failure(
            kind=FailureKind.REFUSED,
            error=f"the subject {subject} belongs to another stream than {expected_stream} ({words})",
        )
    if number == WRONG_LAST_ID:
        return Failure(kind=FailureKind.REFUSED, error=f"the stream's last message is not the expected one ({words})")
    if code in TRANSIENT_CODES:
        return Failure(kind=FailureKind.UNREADY, error=f"the stream did not store the message for now: {words}")
    if code >= 500:
        return Failure(kind=FailureKind.BROKEN, error=f"the stream failed: {words}")
    return Failure(kind=FailureKind.REFUSED, error=f"the stream refused the message: {words}")
