"""What a receiver is told about the attempt that it sees, whatever the protocol."""

import json
from dataclasses import dataclass
from datetime import datetime

from libs.templates import Template, parse_template


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`scheduled_time` and `sent_at`, the begin of the attempt, are in UTC."""

    job_id: str
    job_name: str
    namespace: str
    execution_id: str
    scheduled_time: datetime
    attempt: int
    traceparent: str
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Text:
    """Text that may hold template variables, compiled once and filled in for each attempt."""

    parsed: bytes | Template
    is_json: bool = False

    @property
    def weight(self) -> int:
        """Bytes that it keeps in memory, roughly."""
        return sum(map(len, self.parsed.literals)) if isinstance(self.parsed, Template) else len(self.parsed)

    def fill(self, facts: Facts) -> bytes:
        """The text of one attempt. In JSON, names are escaped as strings of it are."""
        if isinstance(self.parsed, bytes):
            return self.parsed
        return self.parsed.render(
            {
                "JobID": facts.job_id,
                "JobName": json.dumps(facts.job_name)[1:-1] if self.is_json else facts.job_name,
                "Namespace": facts.namespace,
                "ExecutionID": facts.execution_id,
                "ScheduledTime": rfc3339(facts.scheduled_time),
                "Attempt": str(facts.attempt),
            }
        ).encode()


def compile_text(text: str, *, is_json: bool = False) -> Text:
    """Parses a text; one without variables is encoded here and now."""
    template = parse_template(text)
    return Text(template if template.names else template.literals[0].encode(), is_json)


def is_json(content_type: str) -> bool:
    """Whether a media type is JSON."""
    subtype = content_type.partition(";")[0].strip().lower().partition("/")[2]
    return subtype == "json" or subtype.endswith("+json")


def rfc3339(moment: datetime) -> str:
    """A moment in UTC as RFC 3339; fractions of a second only where there are any."""
    return moment.replace(tzinfo=None).isoformat() + "Z"
