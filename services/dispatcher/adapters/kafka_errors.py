"""What goes wrong with Kafka, in words for the owner of a job: the one place where it is classified."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from socket import gaierror

import aiokafka.errors

from libs.durations import format_duration
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.targets.kafka import Acks, Broker

DUPLICATE_SEQUENCE = 46
CLUSTER_AUTHORIZATION_FAILED = 31
CERTIFICATE_ALERTS = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "UNKNOWN_CA")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a broker's error code stands for. `{where}` in its words is the topic or the partition.

    `is_certain` says that nothing was appended, `is_passing` that asking again within the attempt may help.
    `is_of_one` says that one record may be to blame for the whole batch, `is_of_identity` that the producer's id is.
    """

    kind: FailureKind
    words: str
    is_certain: bool = True
    is_passing: bool = False
    is_of_one: bool = False
    is_of_identity: bool = False


def _refused(words: str) -> Meaning:
    return Meaning(kind=FailureKind.REFUSED, words=words, is_of_one=True)


def _forbidden(words: str) -> Meaning:
    return Meaning(kind=FailureKind.CREDENTIALS, words=words)


def _unready(words: str) -> Meaning:
    return Meaning(kind=FailureKind.UNREADY, words=words, is_passing=True)


def _unclear(words: str, kind: FailureKind = FailureKind.BROKEN) -> Meaning:
    return Meaning(kind=kind, words=words, is_certain=False, is_passing=True)


def _nameless(words: str) -> Meaning:
    return Meaning(kind=FailureKind.UNREADY, words=words, is_passing=True, is_of_identity=True)


# https://kafka.apache.org/protocol#protocol_error_codes. With acks ALL a leader appends first and waits for its
# replicas then, so that even "not the leader" can come after an append: it is unclear what became of the records.
PRODUCE_ERRORS: dict[int, Meaning] = {
    2: _refused("the broker takes the record for damaged; does a compacted topic lack the key?"),
    3: _unclear("{where} has moved or is gone"),
    5: _unready("{where} has no leader at the moment"),
    6: _unclear("the leader of {where} has changed"),
    7: _unclear("the replicas of {where} did not acknowledge in time", FailureKind.TIMEOUT),
    10: _refused("the record is larger than {where} allows (max.message.bytes); send less, or raise the limit"),
    17: _refused("{where} is a topic that clients may not write to"),
    18: _refused("the record is larger than a segment of {where}; send less"),
    19: _unready("{where} has fewer replicas in sync than it demands (min.insync.replicas)"),
    20: _unclear("{where} took the record, and then had fewer replicas in sync than it demands"),
    21: _refused("the broker does not know this kind of acks; use ALL, LEADER or NONE"),
    29: _forbidden("the credentials may not write to {where}; grant WRITE on the topic"),
    31: _forbidden("the credentials may not produce idempotently; grant IDEMPOTENT_WRITE, or set idempotent to false"),
    32: _refused("{where} does not take the record's time; look at its message.timestamp settings and the clocks"),
    35: _refused("the broker is too old for this request"),
    42: _refused("the broker takes the request for malformed"),
    43: _refused("{where} keeps a format of messages that is too old"),
    44: _refused("the record is against a policy of the broker"),
    45: _nameless("the broker lost count of this producer's records"),
    47: _nameless("the broker knows a newer producer"),
    49: _nameless("the broker knows this producer no more"),
    56: _unclear("the broker has trouble with its disk"),
    59: _nameless("the broker knows this producer no more"),
    76: _refused("the broker does not take this compression; use another"),
    87: _refused("the broker refused the record as invalid; does a compacted topic lack the key?"),
    89: _unready("the broker slows this client down"),
}
# A leader that is asked for its own acknowledgement alone refuses before it appends.
LEADERS_ERRORS: Mapping[int, Meaning] = PRODUCE_ERRORS | {
    3: _unready("{where} has moved or is gone"),
    6: _unready("the leader of {where} has changed"),
}
TOPIC_ERRORS: Mapping[int, Meaning] = {
    3: Meaning(kind=FailureKind.REFUSED, words="topic {where} does not exist; create it", is_passing=True),
    5: Meaning(kind=FailureKind.UNREADY, words="topic {where} has no leaders yet", is_passing=True),
    17: Meaning(kind=FailureKind.REFUSED, words="{where} is no name that a topic may have"),
    29: _forbidden("the credentials may not see topic {where}; grant DESCRIBE and WRITE on it"),
}


class Undelivered(Exception):
    """Why a record, or a whole batch, was not delivered. See Meaning for the flags."""

    def __init__(
        self,
        failure: Failure,
        *,
        is_certain: bool = True,
        is_passing: bool = False,
        is_of_one: bool = False,
        is_of_identity: bool = False,
    ) -> None:
        super().__init__(failure.error)
        self.failure = failure
        self.is_certain = is_certain
        self.is_passing = is_passing
        self.is_of_one = is_of_one
        self.is_of_identity = is_of_identity


def produce_error(code: int, where: str, acks: Acks) -> Undelivered:
    """What an error code in the answer to a batch means."""
    meanings = PRODUCE_ERRORS if acks is Acks.ALL else LEADERS_ERRORS
    unknown = _unclear(f"the broker failed at {{where}} with {_name(code)}")
    return _undelivered(meanings.get(code, unknown), where)


def topic_error(code: int, topic: str) -> Undelivered:
    """What an error code in what a broker tells about a topic means. Nothing was sent yet."""
    unknown = _unready(f"the broker cannot tell about topic {{where}} at the moment: {_name(code)}")
    return _undelivered(TOPIC_ERRORS.get(code, unknown), topic)


def identity_error(code: int) -> Undelivered:
    """Why a broker gave no id for an idempotent producer."""
    if code == CLUSTER_AUTHORIZATION_FAILED:
        return _undelivered(PRODUCE_ERRORS[code], "")
    return _undelivered(_unready(f"the broker gives out no ids for producers at the moment: {_name(code)}"), "")


def missing_partition(topic: str, partition: int, count: int) -> Undelivered:
    """The job asks for a partition that there is not."""
    words = f"topic {topic} has {count} partitions, counted from 0, so no partition {partition}"
    return _undelivered(Meaning(kind=FailureKind.REFUSED, words=words), "")


def timed_out(timeout: timedelta, broker: Broker, *, was_sent: bool) -> Failure:
    """No acknowledgement in time. A record that never left has had no effect: then it is the connection that failed."""
    after = format_duration(timeout)
    if was_sent:
        return Failure(
            kind=FailureKind.TIMEOUT, error=f"timed out after {after} without an acknowledgement of {broker}"
        )
    return Failure(
        kind=FailureKind.CONNECT, error=f"timed out after {after} before the record could go out to {broker}"
    )


def broken(error: BaseException, broker: Broker) -> Undelivered:
    """The connection broke, or went silent, after a batch was sent."""
    if isinstance(error, TimeoutError):
        failure = Failure(kind=FailureKind.TIMEOUT, error=f"{broker} did not acknowledge in time")
    else:
        failure = Failure(kind=FailureKind.BROKEN, error=f"connection closed by {broker} before it acknowledged")
    return Undelivered(failure, is_certain=False, is_passing=True)


def not_connected(error: BaseException, broker: Broker) -> Undelivered:
    """There is no connection: nothing was sent."""
    kind, words = _not_connected(error, broker)
    return Undelivered(Failure(kind=kind, error=words), is_passing=kind is FailureKind.CONNECT)


def _not_connected(error: BaseException, broker: Broker) -> tuple[FailureKind, str]:
    cause = error.__cause__
    match error:
        case gaierror():
            return FailureKind.NAME, f"name {broker.host} does not resolve"
        case TimeoutError():
            return FailureKind.CONNECT, f"no answer from {broker}"
        case ConnectionRefusedError():
            return FailureKind.CONNECT, f"connection refused by {broker}"
        case ssl.SSLCertVerificationError():
            return FailureKind.CERTIFICATE, f"TLS: the certificate of {broker}: {error.verify_message}"
        case ssl.SSLError():
            return _handshake_failed(error, broker)
        case aiokafka.errors.SaslAuthenticationFailed():
            return FailureKind.CREDENTIALS, f"{broker} refused the user name or the password"
        case aiokafka.errors.UnsupportedSaslMechanismError():
            return FailureKind.CREDENTIALS, f"{broker} does not take this SASL mechanism; use one that it does"
        case aiokafka.errors.IllegalSaslStateError():
            return FailureKind.CREDENTIALS, f"{broker} asks for no credentials on this port; leave sasl out"
        case _ if isinstance(cause, ssl.SSLError):
            return _handshake_failed(cause, broker)
        case aiokafka.errors.KafkaConnectionError():
            words = f"{broker} closed the connection at once; does it expect other tls or sasl settings?"
            return FailureKind.CONNECT, words
        case OSError():
            return FailureKind.CONNECT, f"no connection to {broker}: {error.strerror or error}"
        case _:
            return FailureKind.CONNECT, f"{broker} does not speak Kafka, or not as expected ({error})"


def _handshake_failed(error: ssl.SSLError, broker: Broker) -> tuple[FailureKind, str]:
    reason = error.reason or str(error)
    if any(alert in reason for alert in CERTIFICATE_ALERTS):
        return FailureKind.CREDENTIALS, f"TLS: {broker} refused the client's certificate, or the lack of one"
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER" in reason:
        return FailureKind.TLS, f"TLS: {broker} does not speak TLS on this port; is tls.enabled wrong?"
    return FailureKind.TLS, f"TLS: the handshake with {broker} failed ({reason.lower().replace('_', ' ')})"


def _name(code: int) -> str:
    return f"{aiokafka.errors.for_code(code).message} ({code})"


def _undelivered(meaning: Meaning, where: str) -> Undelivered:
    return Undelivered(
        Failure(kind=meaning.kind, error=meaning.words.replace("{where}", where)),
        is_certain=meaning.is_certain,
        is_passing=meaning.is_passing,
        is_of_one=meaning.is_of_one,
        is_of_identity=meaning.is_of_identity,
    )
