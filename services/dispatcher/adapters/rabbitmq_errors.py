"""What goes wrong with RabbitMQ, in words for the owner of a job; the one place that says what is worth a retry."""

import re
import socket
import ssl

from aiormq.exceptions import (
    AMQPConnectionError,
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    ConnectionClosed,
    DeliveryError,
    ProbableAuthenticationError,
    PublishError,
)

from libs.durations import format_duration
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.targets.rabbitmq import DEFAULT_USER, Broker, RabbitmqRequest

TOO_LARGE = re.compile(r"message size \d+ is larger than configured max size (\d+)")
TOPIC = re.compile(r"access to topic '(.*)' in exchange")
# Alerts by which a server says what it thinks of our certificate, or that there is none.
CLIENT_CERTIFICATE = re.compile(
    r"ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_|HANDSHAKE_FAILURE)"
)
IDENTITY = ("x-chronos-execution-id", "x-chronos-attempt")


class Refused(Exception):
    """There is no connection or channel, for this reason; nothing was published."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error)
        self.failure = failure


def describe_connecting(error: Exception, broker: Broker) -> Failure:
    """Why there is no connection: in all of these cases nothing was published."""
    if isinstance(error, AMQPConnectionError) and isinstance(error.__cause__, ssl.SSLError):
        error = error.__cause__
    match error:
        case ProbableAuthenticationError() | AuthenticationError():
            return _failure(FailureKind.CREDENTIALS, _describe_login(error, broker))
        case ConnectionClosed():
            return _describe_closing(error, broker)
        case ssl.SSLError():
            return _describe_tls(error, broker)
        case socket.gaierror():
            return _failure(FailureKind.NAME, f"name {broker.host} does not resolve")
        case ConnectionRefusedError():
            return _failure(FailureKind.CONNECT, f"connection refused by {broker}")
        case AMQPError():
            hint = "does it want another client certificate?" if broker.tls else "does it want TLS (amqps://)?"
            return _failure(FailureKind.CONNECT, f"{broker} closed the connection or does not speak AMQP 0-9-1; {hint}")
        case _:
            kind = FailureKind.TLS if broker.tls and isinstance(error, ConnectionResetError) else FailureKind.CONNECT
            return _failure(kind, f"no connection to {broker}: {_reason(error)}")


def describe_channel(error: Exception, broker: Broker, exchange: str) -> Failure:
    """Why there is no channel to an exchange: nothing was published."""
    match error:
        case ChannelNotFoundEntity():
            return _failure(FailureKind.REFUSED, _no_exchange(broker, exchange))
        case ChannelAccessRefused():
            return _failure(FailureKind.CREDENTIALS, _no_permission(error, broker))
        case ValueError():
            return _failure(FailureKind.INVALID, f"the exchange {exchange!r} cannot be named: {error}")
        case _:
            return _failure(FailureKind.UNREADY, f"{broker} opened no channel: {_reason(error)}")


def describe_publishing(error: Exception, request: RabbitmqRequest, *, is_alone: bool) -> Failure:
    """What became of a message that was on its way. `is_alone` says that no other was, on the same channel.

    BROKEN stands for what may have had an effect. A channel that the broker closes takes all its messages along, so
    that for those that are not at fault nothing is known.
    """
    broker = request.broker
    match error:
        case PublishError() if not _is_of(error, request):
            return broken(broker, "an earlier message of the same message_id was returned late")
        case PublishError():
            return _failure(FailureKind.UNREADY, _describe_return(request))
        case DeliveryError():
            # Where an exchange has several queues, or one of them crashed, a message may be in some of them.
            error_text = (
                f"{broker} did not take the message (nack); is a queue of {request.destination} full or broken?"
            )
            return _failure(FailureKind.BROKEN, error_text)
        case ChannelNotFoundEntity():
            return _failure(FailureKind.REFUSED, _no_exchange(broker, request.exchange))
        case ChannelAccessRefused() if (topic := TOPIC.search(str(error))) is None or topic[1] == request.routing_key:
            return _failure(FailureKind.CREDENTIALS, _no_permission(error, broker))
        case ChannelPreconditionFailed() if (largest := largest_message(error)) and len(request.body) > largest:
            return describe_size(request, largest)
        case ChannelPreconditionFailed() if is_alone:
            return _failure(FailureKind.REFUSED, f"{broker} refused the message: {_reason(error)}")
        case AMQPError() | ConnectionError() | RuntimeError():
            return broken(broker, _reason(error))
        case _:
            return _failure(FailureKind.INVALID, f"the message cannot be put into AMQP: {_reason(error)}")


def describe_size(request: RabbitmqRequest, largest: int) -> Failure:
    """The broker takes no message of that size."""
    error = f"the message has {len(request.body):,} bytes, and {request.broker} takes {largest:,} (max_message_size)"
    return _failure(FailureKind.REFUSED, error)


def largest_message(error: Exception) -> int:
    """The size that the broker names as the largest; 0 when it complains of something else."""
    found = TOO_LARGE.search(str(error))
    return int(found[1]) if found else 0


def broken(broker: Broker, reason: str) -> Failure:
    """The connection or channel went while the message was on its way."""
    return _failure(FailureKind.BROKEN, f"{broker} may have the message or not, it was not confirmed: {reason}")


def blocked_publishers(broker: Broker) -> Failure:
    """An alarm of the broker: it reads nothing that is published. Nothing was."""
    return _failure(
        FailureKind.UNREADY, f"{broker} takes no messages now: it is low on memory or disk; free some there"
    )


def describe_timeout(request: RabbitmqRequest, *, is_connected: bool, is_blocked: bool = False) -> Failure:
    """The broker was too slow."""
    begin = f"timed out after {format_duration(request.timeout)}"
    if not is_connected:
        return _failure(FailureKind.CONNECT, f"{begin} while connecting to {request.broker}")
    why = "; it is low on memory or disk, and takes messages only when that is over" if is_blocked else ""
    return _failure(FailureKind.TIMEOUT, f"{begin}: {request.broker} did not confirm the message{why}")


def _describe_login(error: AMQPConnectionError, broker: Broker) -> str:
    if isinstance(error, AuthenticationError):
        return f"{broker} offers no login with user name and password (PLAIN)"
    hint = " (guest may log in only on the broker's own machine)" if broker.username == DEFAULT_USER else ""
    return f"{broker} refused the login of the user {broker.username}; check username and password{hint}"


def _describe_closing(error: ConnectionClosed, broker: Broker) -> Failure:
    reason = _reason(error)
    if "vhost" in reason and "not found" in reason:
        return _failure(FailureKind.REFUSED, f"there is no virtual host {broker.vhost} at {broker}; create it there")
    if "refused for user" in reason:
        return _failure(
            FailureKind.CREDENTIALS,
            f"{broker} lets the user {broker.username} not into the virtual host {broker.vhost}; give it permissions",
        )
    return _failure(FailureKind.UNREADY, f"{broker} closed the connection at once: {reason}")


def _describe_tls(error: ssl.SSLError, broker: Broker) -> Failure:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _failure(FailureKind.CERTIFICATE, f"TLS: the certificate of {broker}: {error.verify_message}")
    reason = error.reason or str(error)
    if CLIENT_CERTIFICATE.search(reason):
        words = reason.lower().replace("_", " ")
        return _failure(
            FailureKind.CREDENTIALS,
            f"TLS: {broker} wants another client certificate ({words}); check tls.client_cert and tls.client_key",
        )
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "UNEXPECTED_MESSAGE"):
        return _failure(FailureKind.TLS, f"TLS: {broker} does not speak TLS; is it amqp:// rather?")
    return _failure(FailureKind.TLS, f"TLS: no connection to {broker}: {reason.lower().replace('_', ' ')}")


def _is_of(error: PublishError, request: RabbitmqRequest) -> bool:
    """Whether it is this message that came back, and not one of the same id whose attempt is over."""
    returned = (error.message.header.properties.headers or {}) if error.message is not None else {}
    return all(returned.get(name) == request.headers.get(name) for name in IDENTITY)


def _describe_return(request: RabbitmqRequest) -> str:
    if not request.exchange:
        vhost = request.broker.vhost
        return f"there is no queue {request.routing_key} in the virtual host {vhost} of {request.broker}; declare it"
    return f"no queue took the message: none is bound to {request.destination}; bind one, or set mandatory to false"


def _no_exchange(broker: Broker, exchange: str) -> str:
    return f"there is no exchange {exchange} in the virtual host {broker.vhost} of {broker}; declare it"


def _no_permission(error: Exception, broker: Broker) -> str:
    reason = _reason(error).removeprefix("ACCESS_REFUSED - ")
    return f"{broker} does not let the user {broker.username} publish there: {reason}"


def _reason(error: BaseException) -> str:
    if isinstance(error, ConnectionClosed) and len(error.args) == 2:
        return str(error.args[1])
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _failure(kind: FailureKind, error: str) -> Failure:
    return Failure(kind=kind, error=error)
