"""The NATS message of an execution, and what its acceptance means."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from services.dispatcher.domain.cloud_events import HeaderStyle
from services.dispatcher.domain.contract import Contract, is_own
from services.dispatcher.domain.facts import Facts, Text, compile_text, is_json
from services.dispatcher.domain.outcome import Verdict, judge_message
from services.dispatcher.domain.results import Result
from services.dispatcher.domain.targets.nats_servers import Access
from services.dispatcher.domain.targets.plan import Shown
from services.dispatcher.domain.targets.shown import show

CONTENT_TYPE = "content-type"
MESSAGE_ID = "Nats-Msg-Id"
EXPECTED_STREAM = "Nats-Expected-Stream"
EXPECTED_LAST_ID = "Nats-Expected-Last-Msg-Id"
RESERVED_PREFIX = "nats-"
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
USUAL_REPLY_TIMEOUT = timedelta(seconds=5)


class Manner(StrEnum):
    """What is waited for: the server taking the message, somebody's reply, or a stream storing it."""

    PUBLISH = "publish"
    REQUEST = "request"
    STREAM = "stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class JetStream:
    """What the stream is told. An empty `message_id` means the execution's id, other empty ones nothing."""

    stream: str = ""
    message_id: str = ""
    expect_last_message_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsMessage:
    """The message as the job describes it. `jetstream` is None for core NATS."""

    access: Access
    subject: str
    payload: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_request: bool = False
    reply_timeout: timedelta = USUAL_REPLY_TIMEOUT
    reply_subject: str = ""
    jetstream: JetStream | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsRequest:
    """One message, ready to be published. `reply_timeout` counts from when it is sent."""

    access: Access
    manner: Manner
    subject: str
    reply_subject: str
    headers: Mapping[str, str] = field(repr=False)
    payload: bytes = field(repr=False)
    reply_timeout: timedelta
    timeout: timedelta

    @property
    def traits(self) -> Mapping[str, str | int]:
        """See Request."""
        server = self.access.servers[0]
        return {
            "messaging.system": "nats",
            "messaging.operation.type": "send",
            "messaging.destination.name": self.subject,
            "server.address": server.host,
            "server.port": server.port,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsPlan:
    """What all messages of one version of a job share. See TargetPlan."""

    message: NatsMessage
    manner: Manner
    headers: Mapping[str, str] = field(repr=False)
    payload: Text = field(repr=False)
    message_id: Text | None
    timeout: timedelta
    contract: Contract

    @property
    def endpoint(self) -> str:
        """See TargetPlan."""
        return str(self.message.access.servers[0])

    @property
    def weight(self) -> int:
        """See TargetPlan."""
        kept = 2 * len(self.message.payload) + sum(map(len, self.headers.values()))
        return kept + len(self.message.subject) + self.message.access.weight

    @property
    def shown(self) -> Shown:
        """See TargetPlan."""
        access = self.message.access
        shown = show(self.contract, HeaderStyle.NATS, self.headers, self.message.payload)
        return Shown(
            method="REQUEST" if self.manner is Manner.REQUEST else "PUBLISH",
            url=f"{'tls' if access.needs_tls else 'nats'}://{self.endpoint}/{self.message.subject}",
            headers=shown.headers,
            body=shown.body,
        )

    def request(self, facts: Facts) -> NatsRequest:
        """See TargetPlan."""
        content_type = self.headers.get(CONTENT_TYPE, "")
        dressed = self.contract.dress(facts, self.payload.fill(facts), content_type, HeaderStyle.NATS)
        headers = {**self.headers, **dressed.headers}
        if dressed.content_type != content_type:
            headers[CONTENT_TYPE] = dressed.content_type
        if self.message_id is not None:
            headers[MESSAGE_ID] = _one_line(self.message_id.fill(facts).decode()) or facts.execution_id
        return NatsRequest(
            access=self.message.access,
            manner=self.manner,
            subject=self.message.subject,
            reply_subject=self.message.reply_subject,
            headers=headers,
            payload=dressed.body,
            reply_timeout=self.message.reply_timeout,
            timeout=self.timeout,
        )

    def judge(self, result: Result) -> Verdict:
        """See TargetPlan."""
        return judge_message(result)


def compile_nats(message: NatsMessage, *, timeout: timedelta, contract: Contract) -> NatsPlan:
    """What all messages of this target share. Raises ValueError for headers that cannot be sent."""
    headers = {}
    for name, value in message.headers.items():
        if HEADER_NAME.fullmatch(name) is None or not value.isprintable():
            raise ValueError(f"the header {name!r} has a name or a value that cannot be sent")
        if not is_own(name) and not name.lower().startswith(RESERVED_PREFIX):
            headers[CONTENT_TYPE if name.lower() == CONTENT_TYPE else name] = value
    stream = message.jetstream
    if stream is not None:
        expected = {EXPECTED_STREAM: stream.stream, EXPECTED_LAST_ID: stream.expect_last_message_id}
        headers |= {name: _one_line(value) for name, value in expected.items() if value}
    manner = Manner.REQUEST if message.is_request else Manner.PUBLISH
    return NatsPlan(
        message=message,
        manner=Manner.STREAM if stream is not None else manner,
        headers=headers,
        payload=compile_text(message.payload, is_json=_is_json(headers.get(CONTENT_TYPE, ""), message.payload)),
        message_id=compile_text(stream.message_id) if stream is not None else None,
        timeout=timeout,
        contract=contract,
    )


def _is_json(content_type: str, payload: str) -> bool:
    """Whether names are escaped as in JSON: as the content type says, or else as the payload looks."""
    if content_type:
        return is_json(content_type)
    text = payload.lstrip()
    return text.startswith(("{", "[")) and not text.startswith("{{")


def _one_line(text: str) -> str:
    """Text as the value of a header: without what would end the line."""
    text = text.strip()
    return text if text.isprintable() else "".join(character if character.isprintable() else " " for character in text)
