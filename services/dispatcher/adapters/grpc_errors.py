"""What goes wrong with gRPC calls, in words for the owner of a job.

gRPC tells an error of the connection from a status that the server sent only by text, and a server may send the same
text. So connections are made before a call: only their failures (`not_connected`) count as nothing sent.
"""

import re
from datetime import timedelta

import grpc

from libs.durations import format_duration
from libs.rpc.faults import CALLED_OFF, NO_CONNECTION
from services.dispatcher.domain.results import Failure, FailureKind, Reply
from services.dispatcher.domain.targets.grpc import GrpcServer

MOST_DETAILS = 1_000
LAST_ERROR = re.compile(r".*last error: (?:[A-Z_]+: )?(?:(?:ipv4|ipv6|dns|unix):\S+: )?", re.DOTALL)
VERIFICATION = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([^:\[]*)")
CERTIFICATE_REASONS = (
    (
        re.compile("local issuer|self.signed|unable to verify"),
        "its issuer is unknown; give that in tls.ca_cert",
    ),
    (re.compile("expired"), "it has expired"),
    (re.compile("not yet valid"), "it is not valid yet"),
)
# (sign in the text, kind, words that follow the server's name), the first that matches.
CONNECTION_ERRORS = (
    ("Connection refused", FailureKind.CONNECT, "refuses connections: nothing listens there"),
    (
        "Hostname Verification",
        FailureKind.CERTIFICATE,
        "is certified for another name; give that in tls.server_name",
    ),
    ("WRONG_VERSION_NUMBER", FailureKind.TLS, "does not speak TLS; leave tls out if it is meant to be so"),
    ("security handshaker", FailureKind.INVALID, "cannot be asked with these certificates; look at tls"),
    ("http1.x", FailureKind.CONNECT, "speaks HTTP/1.1 and no gRPC; is it another port?"),
    ("Failed parsing HTTP/2", FailureKind.CONNECT, "does not speak gRPC; is it another port?"),
)
HUNG_UP = ("Socket closed", "Connection reset", "Broken pipe", "EOF")
BROKEN_CODES = frozenset({
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED,
})  # fmt: skip
BROKEN = (
    *HUNG_UP[:3], "GOAWAY", "Stream removed", "RST_STREAM", "keepalive watchdog timeout",
    NO_CONNECTION, "Cancelling all calls",
)  # fmt: skip
ANSWER_TOO_LARGE = re.compile(r"CLIENT: Received message larger than max \((\d+) vs\. (\d+)\)")


class NotConnectedError(Exception):
    """There is no connection, for the reason that `failure` gives."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error)
        self.failure = failure


def not_connected(details: str, server: GrpcServer) -> Failure:
    """What it means that a connection could not be made. Nothing of any call went out."""
    if "errors resolving" in details or "DNS resolution failed" in details:
        return Failure(kind=FailureKind.NAME, error=f"name {server.host} does not resolve")
    if (found := VERIFICATION.search(details)) is not None:
        return _bad_certificate(found.group(1).strip(), server)
    for sign, kind, words in CONNECTION_ERRORS:
        if sign in details:
            return Failure(kind=kind, error=f"{server} {words}")
    if any(sign in details for sign in HUNG_UP):
        return _hung_up(server)
    reason = LAST_ERROR.sub("", details).strip().rstrip(".")[:MOST_DETAILS] or "no reason known"
    if "handshake failed" in details:
        return Failure(kind=FailureKind.TLS, error=f"TLS: the handshake with {server} failed: {reason}")
    return Failure(kind=FailureKind.CONNECT, error=f"no connection to {server}: {reason}")


def no_connection_within(span: timedelta, server: GrpcServer) -> Failure:
    """Nothing answers there."""
    words = f"no connection to {server} within {format_duration(span)}"
    return Failure(kind=FailureKind.CONNECT, error=f"{words}; is the port right, and is it let through?")


def timed_out(timeout: timedelta) -> Failure:
    """The server was too slow, and may have done it all the same."""
    return Failure(kind=FailureKind.TIMEOUT, error=f"timed out after {format_duration(timeout)}")


def connection_broke(server: GrpcServer, details: str) -> Failure:
    """The connection was lost while the call was under way: nobody knows how far it came."""
    return Failure(kind=FailureKind.BROKEN, error=f"connection to {server} broken before it answered: {details}")


def read_status(error: grpc.aio.AioRpcError, server: GrpcServer) -> Reply | Failure:
    """What the status of a call means that was made over a connection that had been there."""
    code, details = error.code(), _clean(error.details() or "")
    if (found := ANSWER_TOO_LARGE.search(details)) is not None:
        details = f"the answer is larger than {int(found.group(2)):,} bytes; let the method answer with less"
    elif code in BROKEN_CODES and any(sign in details for sign in BROKEN):
        return connection_broke(server, details)
    elif (code, details) == CALLED_OFF:
        return connection_broke(server, "the server called it off; is it stopping?")
    return Reply(code=code.value[0], details=details)


def _bad_certificate(reason: str, server: GrpcServer) -> Failure:
    words = next((words for pattern, words in CERTIFICATE_REASONS if pattern.search(reason)), reason)
    return Failure(kind=FailureKind.CERTIFICATE, error=f"TLS: the certificate of {server}: {words}")


def _hung_up(server: GrpcServer) -> Failure:
    if server.tls is None:
        hint = "does it speak TLS? Then set tls.enabled"
        return Failure(kind=FailureKind.CONNECT, error=f"{server} hung up before it spoke gRPC; {hint}")
    hint = "another one than tls.client_cert" if server.tls.client_cert else "a client certificate (tls.client_cert)"
    return Failure(kind=FailureKind.TLS, error=f"TLS: {server} broke the handshake off; does it ask for {hint}?")


def _clean(details: str) -> str:
    return details[:MOST_DETAILS].replace("\x00", "\N{REPLACEMENT CHARACTER}")
