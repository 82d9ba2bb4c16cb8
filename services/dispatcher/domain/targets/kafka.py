"""The Kafka record of an execution, and what came of producing it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum, StrEnum

from services.dispatcher.domain.cloud_events import HeaderStyle
from services.dispatcher.domain.contract import Contract, is_own
from services.dispatcher.domain.facts import Facts, Text, compile_text, is_json
from services.dispatcher.domain.outcome import Verdict, judge_message
from services.dispatcher.domain.results import Result
from services.dispatcher.domain.targets.plan import Shown
from services.dispatcher.domain.targets.shown import show
from services.dispatcher.domain.targets.tls import Tls
from services.dispatcher.domain.targets.webhook import JSON

DEFAULT_PORT = 9092
CONTENT_TYPE = "content-type"


class Acks(IntEnum):
    """Whose acknowledgement makes a success; the values are Kafka's."""

    ALL = -1
    NONE = 0
    LEADER = 1


class Mechanism(StrEnum):
    """SASL mechanisms, by their registered names."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class Compression(StrEnum):
    """How batches of records are compressed."""

    NONE = ""
    GZIP = "gzip"
    SNAPPY = "snappy"
    LZ4 = "lz4"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sasl:
    """Credentials of a client."""

    mechanism: Mechanism
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, order=True)
class Broker:
    """Where a broker listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaLink:
    """All that records must have in common to go out over the same connections, in the same batches."""

    brokers: Sequence[Broker]
    """Those to ask first. A tuple, since links are keys."""
    tls: Tls | None = None
    sasl: Sasl | None = None
    acks: Acks = Acks.ALL
    compression: Compression = Compression.NONE
    is_idempotent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """The target as the job describes it. No `partition` means the one that the key hashes to, or any without a key."""

    link: KafkaLink
    topic: str
    partition: int | None = None
    key: str = ""
    payload: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaRequest:
    """One record, ready to be produced. `timeout` spans from connecting to the acknowledgement."""

    link: KafkaLink
    topic: str
    partition: int | None
    key: bytes | None = field(repr=False)
    value: bytes = field(repr=False)
    headers: Sequence[tuple[str, bytes]] = field(repr=False)
    timeout: timedelta

    @property
    def traits(self) -> Mapping[str, str | int]:
        """See Request."""
        broker = self.link.brokers[0]
        return {
            "messaging.system": "kafka",
            "messaging.operation.type": "send",
            "messaging.destination.name": self.topic,
            "server.address": broker.host,
            "server.port": broker.port,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaPlan:
    """What all records of one version of a job share. See TargetPlan.

    `endpoint` is the first broker. `headers` are the job's own, among them the content type if there is any.
    """

    kafka: Kafka
    endpoint: str
    headers: Mapping[str, str] = field(repr=False)
    key: Text | None = field(repr=False)
    payload: Text = field(repr=False)
    timeout: timedelta
    contract: Contract

    @property
    def weight(self) -> int:
        """See TargetPlan."""
        tls = self.kafka.link.tls
        texts = self.key.weight if self.key is not None else 0
        texts += self.payload.weight + len(self.kafka.payload) + sum(map(len, self.headers.values()))
        return len(self.kafka.topic) + texts + (tls.weight if tls is not None else 0)

    @property
    def shown(self) -> Shown:
        """See TargetPlan."""
        url = f"kafka://{self.endpoint}/{self.kafka.topic}"
        shown = show(self.contract, HeaderStyle.KAFKA, self.headers, self.kafka.payload)
        return Shown(method="PUBLISH", url=url, headers=shown.headers, body=shown.body)

    def request(self, facts: Facts) -> KafkaRequest:
        """See TargetPlan."""
        content_type = self.headers.get(CONTENT_TYPE, "")
        dressed = self.contract.dress(facts, self.payload.fill(facts), content_type, HeaderStyle.KAFKA)
        headers = {**self.headers, **dressed.headers}
        if dressed.content_type:
            headers[CONTENT_TYPE] = dressed.content_type
        return KafkaRequest(
            link=self.kafka.link,
            topic=self.kafka.topic,
            partition=self.kafka.partition,
            key=self.key.fill(facts) if self.key is not None else None,
            value=dressed.body,
            headers=[(name, value.encode()) for name, value in headers.items()],
            timeout=self.timeout,
        )

    def judge(self, result: Result) -> Verdict:
        """See TargetPlan."""
        return judge_message(result)


def compile_kafka(kafka: Kafka, *, timeout: timedelta, contract: Contract) -> KafkaPlan:
    """What all records of this target share. Header names are lower-cased where they are the contract's."""
    headers = {}
    for name, value in kafka.headers.items():
        if not is_own(name):
            headers[CONTENT_TYPE if name.lower() == CONTENT_TYPE else name] = value
    if kafka.payload:
        headers.setdefault(CONTENT_TYPE, JSON)
    return KafkaPlan(
        kafka=kafka,
        endpoint=str(kafka.link.brokers[0]),
        headers=headers,
        key=compile_text(kafka.key) if kafka.key else None,
        payload=compile_text(kafka.payload, is_json=is_json(headers.get(CONTENT_TYPE, ""))),
        timeout=timeout,
        contract=contract,
    )


def parse_broker(text: str) -> Broker:
    """Reads `host`, `host:port` or `[address]:port`; the host in lower case. Raises ValueError with the reason."""
    host, port = _split(text.strip())
    host = host.lower()
    if not host or not set(host).isdisjoint("/@[]?#, \t"):
        raise ValueError(f"{text!r} is no broker; write host:port, for example kafka.example.com:{DEFAULT_PORT}")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError(f"{text!r} has no port between 1 and 65535")
    return Broker(host, int(port))


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":") or str(DEFAULT_PORT)
    if text.count(":") != 1:
        return text, str(DEFAULT_PORT)
    host, _, port = text.partition(":")
    return host, port
