"""The event of an execution for a program that is connected over WebSocket."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from services.dispatcher.domain.cloud_events import HeaderStyle
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Facts, Text, compile_text
from services.dispatcher.domain.outcome import Verdict, judge_message
from services.dispatcher.domain.results import Result
from services.dispatcher.domain.targets.plan import Shown
from services.dispatcher.domain.targets.shown import show

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketMessage:
    """The event as the job describes it."""

    namespace: str
    client_name: str
    payload: str = field(default="", repr=False)
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketRequest:
    """One event, ready to be sent. `headers` are the delivery contract, names in lower case."""

    namespace: str
    client_name: str
    job_id: str
    execution_id: str
    payload: str = field(repr=False)
    tags: Sequence[str]
    headers: Mapping[str, str] = field(repr=False)
    timeout: timedelta

    @property
    def traits(self) -> Mapping[str, str | int]:
        """See Request."""
        return {"messaging.system": "websocket", "messaging.destination.name": self.client_name}


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketPlan:
    """What all events of one version of a job share. See TargetPlan."""

    message: SocketMessage
    payload: Text = field(repr=False)
    timeout: timedelta
    contract: Contract

    @property
    def endpoint(self) -> str:
        """See TargetPlan."""
        return f"ws:{self.message.namespace}/{self.message.client_name}"

    @property
    def weight(self) -> int:
        """See TargetPlan."""
        return 2 * len(self.message.payload) + sum(map(len, self.message.tags))

    @property
    def shown(self) -> Shown:
        """See TargetPlan."""
        # Its headers are HTTP's in lower case. No content type is sent; here it says that names are escaped as in JSON.
        shown = show(self.contract, HeaderStyle.GRPC, {"content-type": JSON}, self.message.payload)
        return Shown(method="SEND", url=f"ws:{self.message.client_name}", headers=shown.headers, body=shown.body)

    def request(self, facts: Facts) -> SocketRequest:
        """See TargetPlan."""
        dressed = self.contract.dress(facts, self.payload.fill(facts), JSON)
        return SocketRequest(
            namespace=self.message.namespace,
            client_name=self.message.client_name,
            job_id=facts.job_id,
            execution_id=facts.execution_id,
            payload=dressed.body.decode(errors="replace"),
            tags=self.message.tags,
            headers={name.lower(): value for name, value in dressed.headers.items()},
            timeout=self.timeout,
        )

    def judge(self, result: Result) -> Verdict:
        """See TargetPlan."""
        return judge_message(result)


def compile_socket(message: SocketMessage, *, timeout: timedelta, contract: Contract) -> SocketPlan:
    """What all events of this target share."""
    payload = compile_text(message.payload, is_json=True)
    return SocketPlan(message=message, payload=payload, timeout=timeout, contract=contract)
