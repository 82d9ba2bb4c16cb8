"""What the contract adds to the requests of a job, as the ledger shows it; history puts in what differs by execution.

A header that is empty stands for such a thing; bodies and subjects stay templates; signatures are masked.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

from libs.redaction import MASK
from libs.templates import Template, parse_template
from services.dispatcher.domain.cloud_events import ENVELOPE_TYPE, SPEC_VERSION, CloudEvent, HeaderStyle, event_headers
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Text, is_json

LATER = ""


class Dress(NamedTuple):
    """Headers and body template."""

    headers: dict[str, str]
    body: str


def show(contract: Contract, style: HeaderStyle, headers: Mapping[str, str], body: str) -> Dress:
    """What is shown of requests with these headers, and this body template, once the contract has dressed them.

    The facts that all deliveries carry are left out: history knows them.
    """
    shown = dict(headers)
    content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    if contract.event is not None and contract.event.is_structured:
        shown = {name: value for name, value in shown.items() if name.lower() != "content-type"}
        shown["Content-Type" if style is HeaderStyle.HTTP else "content-type"] = ENVELOPE_TYPE
        body = _envelope(contract.event, body, content_type)
    elif contract.event is not None:
        shown |= _event(contract.event, content_type, style)
    return Dress(shown | _signatures(contract, style), body)


def _signatures(contract: Contract, style: HeaderStyle) -> dict[str, str]:
    names = {"webhook-id": LATER, "webhook-timestamp": LATER, "webhook-signature": MASK} if contract.secrets else {}
    if contract.qhronos_secret:
        name = "X-Qhronos-Signature"
        names[name if style is HeaderStyle.HTTP else name.lower()] = MASK
    return names


def _event(event: CloudEvent, content_type: str, style: HeaderStyle) -> dict[str, str]:
    fixed = {"specversion": SPEC_VERSION, "id": LATER, "source": event.source, "type": event.type, "time": LATER}
    headers = event_headers(fixed, content_type, style)
    if event.subject is not None:
        prefix = next(name for name in headers if name.endswith("specversion")).removesuffix("specversion")
        headers[f"{prefix}subject"] = _source(_parsed(event.subject))
    return headers


def _envelope(event: CloudEvent, body: str, content_type: str) -> str:
    fields = {
        "specversion": _string(SPEC_VERSION),
        "id": '"{{.ExecutionID}}"',
        "source": _string(event.source),
        "type": _string(event.type),
        "time": '"{{.ScheduledTime}}"',
    }
    if event.subject is not None:
        fields["subject"] = f'"{_source(_parsed(event.subject), is_json=True)}"'
    if content_type:
        fields["datacontenttype"] = _string(content_type)
    if body:
        is_whole = not content_type or is_json(content_type)
        fields["data"] = body if is_whole else f'"{_source(parse_template(body), is_json=True)}"'
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"


def _string(text: str) -> str:
    return f'"{_source(Template(literals=(text,), names=()), is_json=True)}"'


def _parsed(text: Text) -> Template:
    return text.parsed if isinstance(text.parsed, Template) else Template(literals=(text.parsed.decode(),), names=())


def _source(template: Template, *, is_json: bool = False) -> str:
    """The text that parses to that template; in JSON, its literals as strings of it are."""
    literals = (json.dumps(each, ensure_ascii=False)[1:-1] if is_json else each for each in template.literals)
    first, *others = (each.replace("{{", '{{"{{"}}') for each in literals)
    return first + "".join(f"{{{{.{name}}}}}{other}" for name, other in zip(template.names, others, strict=True))
