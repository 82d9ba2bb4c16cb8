"""The RabbitMQ message of an execution, and what came of publishing it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import quote, unquote, urlencode, urlsplit

from services.dispatcher.domain.cloud_events import HeaderStyle
from services.dispatcher.domain.contract import Contract, is_own
from services.dispatcher.domain.facts import Facts, Text, compile_text, is_json
from services.dispatcher.domain.outcome import Verdict, judge_message
from services.dispatcher.domain.results import Result
from services.dispatcher.domain.targets.plan import Shown
from services.dispatcher.domain.targets.shown import show
from services.dispatcher.domain.targets.tls import Tls

DEFAULT_PORTS = {"amqp": 5672, "amqps": 5671}
DEFAULT_USER = "guest"
DEFAULT_VHOST = "/"
JSON = "application/json"
# RabbitMQ reads them as lists of further routing keys, and closes the channel of all when one is text.
ROUTING_HEADERS = frozenset({"CC", "BCC"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A virtual host of a broker, and who we are there: all that messages over one connection have in common.

    No `tls` means that none is spoken.
    """

    host: str
    port: int
    vhost: str = DEFAULT_VHOST
    username: str = DEFAULT_USER
    password: str = field(default=DEFAULT_USER, repr=False)
    tls: Tls | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Its address, without credentials."""
        return f"amqp{'s' if self.tls is not None else ''}://{self}/{quote(self.vhost, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rabbitmq:
    """The target as the job describes it. A `queue` means the default exchange, whose routing keys are queues."""

    broker: Broker
    exchange: str = ""
    routing_key: str = ""
    queue: str = ""
    payload: str = field(default="", repr=False)
    content_type: str = JSON
    content_encoding: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    message_id: str = ""
    is_mandatory: bool = True
    is_persistent: bool = True
    priority: int | None = None
    expiration: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitmqRequest:
    """One message, ready to be published. `timeout` spans from connecting to the broker's confirmation."""

    broker: Broker
    exchange: str
    routing_key: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    message_id: str
    job_id: str
    sent_at: datetime
    content_type: str = ""
    content_encoding: str = ""
    is_mandatory: bool = True
    is_persistent: bool = True
    priority: int | None = None
    expiration: timedelta | None = None
    timeout: timedelta

    @property
    def destination(self) -> str:
        """Where it goes, in words."""
        if not self.exchange:
            return f"queue {self.routing_key}"
        return f"exchange {self.exchange}" + (f", routing key {self.routing_key}" if self.routing_key else "")

    @property
    def traits(self) -> Mapping[str, str | int]:
        """See Request."""
        return {
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "send",
            "messaging.destination.name": ":".join(name for name in (self.exchange, self.routing_key) if name),
            "messaging.rabbitmq.destination.routing_key": self.routing_key,
            "messaging.message.id": self.message_id,
            "messaging.message.body.size": len(self.body),
            "server.address": self.broker.host,
            "server.port": self.broker.port,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitmqPlan:
    """What all messages of one version of a job share. See TargetPlan.

    `headers` are the job's own. No `message_id` means the execution's id.
    """

    target: Rabbitmq
    headers: Mapping[str, str] = field(repr=False)
    routing_key: Text
    payload: Text = field(repr=False)
    message_id: Text | None
    timeout: timedelta
    contract: Contract

    @property
    def endpoint(self) -> str:
        """See TargetPlan."""
        return str(self.target.broker)

    @property
    def weight(self) -> int:
        """See TargetPlan."""
        tls = self.target.broker.tls
        own = 2 * len(self.target.payload) + sum(map(len, self.headers.values()))
        return 512 + own + (tls.weight if tls is not None else 0)

    @property
    def shown(self) -> Shown:
        """See TargetPlan."""
        target = self.target
        where = {"queue": target.queue, "exchange": target.exchange, "routing_key": target.routing_key}
        query = urlencode({name: value for name, value in where.items() if value}, safe="{}./", quote_via=quote)
        headers = {"content-type": target.content_type, **self.headers}
        shown = show(self.contract, HeaderStyle.AMQP, headers, target.payload)
        return Shown(method="PUBLISH", url=f"{target.broker.url}?{query}", headers=shown.headers, body=shown.body)

    def request(self, facts: Facts) -> RabbitmqRequest:
        """See TargetPlan."""
        target = self.target
        dressed = self.contract.dress(facts, self.payload.fill(facts), target.content_type, HeaderStyle.AMQP)
        return RabbitmqRequest(
            broker=target.broker,
            exchange=target.exchange,
            routing_key=self.routing_key.fill(facts).decode(),
            body=dressed.body,
            headers={**self.headers, **dressed.headers},
            message_id=self.message_id.fill(facts).decode() if self.message_id is not None else facts.execution_id,
            job_id=facts.job_id,
            sent_at=facts.sent_at,
            content_type=dressed.content_type,
            content_encoding=target.content_encoding,
            is_mandatory=target.is_mandatory,
            is_persistent=target.is_persistent,
            priority=target.priority,
            expiration=target.expiration,
            timeout=self.timeout,
        )

    def judge(self, result: Result) -> Verdict:
        """See TargetPlan."""
        return judge_message(result)


def compile_rabbitmq(target: Rabbitmq, *, timeout: timedelta, contract: Contract) -> RabbitmqPlan:
    """What all messages to this target share."""
    return RabbitmqPlan(
        target=target,
        headers={
            name: value for name, value in target.headers.items() if not is_own(name) and name not in ROUTING_HEADERS
        },
        # A queue's name is no template: only the routing key may hold variables.
        routing_key=Text(target.queue.encode()) if target.queue else compile_text(target.routing_key),
        payload=compile_text(target.payload, is_json=is_json(target.content_type)),
        message_id=compile_text(target.message_id) if target.message_id else None,
        timeout=timeout,
        contract=contract,
    )


def parse_broker(url: str, *, username: str, password: str, tls: Tls | None) -> Broker:
    """Reads `amqp://host:port/vhost`, and what an empty user or password means. Raises ValueError with the reason."""
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError("the URL must begin with amqp:// or amqps:// and name a host")
    username = username or DEFAULT_USER
    speaks_tls = parts.scheme == "amqps" or (tls is not None and tls.is_enabled)
    return Broker(
        host=parts.hostname,
        port=parts.port or DEFAULT_PORTS[parts.scheme],
        vhost=unquote(parts.path[1:]) or DEFAULT_VHOST,
        username=username,
        password=password or (DEFAULT_USER if username == DEFAULT_USER else ""),
        tls=(tls or Tls()) if speaks_tls else None,
    )
