"""The delivery contract: what every delivery carries, whatever the protocol."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.dispatcher.domain.cloud_events import ENVELOPE_TYPE, CloudEvent, HeaderStyle, envelope, event_headers
from services.dispatcher.domain.facts import Facts, rfc3339
from services.dispatcher.domain.signatures import qhronos_signature, standard_signature

OWN_NAMES = frozenset({"idempotency-key", "traceparent", "tracestate"})
OWN_PREFIXES = ("x-chronos-", "webhook-", "x-qhronos-")


class Dressed(NamedTuple):
    """A body together with the headers that the contract adds. `content_type` is sent as the protocol says it."""

    headers: dict[str, str]
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What the deliveries of a job carry besides its facts.

    Signatures, where there are secrets to sign with; the attributes of a CloudEvent, where they are events.
    """

    secrets: Sequence[bytes] = field(default=(), repr=False)
    """Each delivery is signed with all of them (Standard Webhooks)."""
    qhronos_secret: bytes = field(default=b"", repr=False)
    event: CloudEvent | None = None

    def dress(self, facts: Facts, body: bytes, content_type: str, style: HeaderStyle = HeaderStyle.HTTP) -> Dressed:
        """The body to send, and the headers to send with it, spelled in that style. What is sent is what is signed."""
        events: dict[str, str] = {}
        if self.event is not None:
            attributes = self.event.attributes(facts)
            if self.event.is_structured:
                body, content_type = envelope(attributes, body, content_type), ENVELOPE_TYPE
            else:
                events = event_headers(attributes, content_type, style)
        headers = self._headers(facts, body)
        if style is not HeaderStyle.HTTP:
            headers = {name.lower(): value for name, value in headers.items()}
        return Dressed(headers | events, body, content_type)

    def _headers(self, facts: Facts, body: bytes) -> dict[str, str]:
        headers = {
            "X-Chronos-Job-ID": facts.job_id,
            "X-Chronos-Execution-ID": facts.execution_id,
            "X-Chronos-Scheduled-Time": rfc3339(facts.scheduled_time),
            "X-Chronos-Attempt": str(facts.attempt),
            "Idempotency-Key": facts.execution_id,
            "Traceparent": facts.traceparent,
        }
        if self.secrets:
            timestamp = str(int(facts.sent_at.timestamp()))
            headers["webhook-id"] = facts.execution_id
            headers["webhook-timestamp"] = timestamp
            headers["webhook-signature"] = standard_signature(self.secrets, facts.execution_id, timestamp, body)
        if self.qhronos_secret:
            headers["X-Qhronos-Signature"] = qhronos_signature(self.qhronos_secret, body)
        return headers


def is_own(name: str) -> bool:
    """Whether a header is Chronos's own: a receiver must be able to rely on it, so jobs cannot set it."""
    lower = name.lower()
    return lower in OWN_NAMES or lower.startswith(OWN_PREFIXES)
