"""What history shows as the request of an execution is what the dispatcher sent."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from libs.redaction import MASK
from services.dispatcher.domain.cloud_events import CloudEvent, HeaderStyle
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Facts, compile_text
from services.dispatcher.domain.targets.shown import show
from services.dispatcher.domain.targets.webhook import BearerCredentials, HttpRequest, Webhook, compile_webhook
from services.history.domain import request as history
from services.history.domain.moments import to_us

DUE = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
FACTS = Facts(
    job_id="report",
    job_name='Büro "100%" {{.JobID}}',
    namespace="ops",
    execution_id="e-1",
    scheduled_time=DUE,
    attempt=1,
    traceparent="00-a-b-01",
    sent_at=DUE + timedelta(seconds=3),
)
KNOWN = history.Facts(
    namespace=FACTS.namespace,
    job_id=FACTS.job_id,
    job_name=FACTS.job_name,
    execution_id=FACTS.execution_id,
    scheduled_us=to_us(DUE),
    started_us=to_us(FACTS.sent_at),
)
SIGNED = Contract(secrets=(b"0" * 24, b"1" * 24), qhronos_secret=b"2")
EVENT = CloudEvent(source="https://example.com/{{x}}", type="a.b", subject=compile_text('{{.JobName}} {{"{{"}} "ä"'))
CONTRACTS = {
    "bare": Contract(),
    "signed": SIGNED,
    "event": Contract(event=EVENT),
    "event without a subject": replace(SIGNED, event=replace(EVENT, subject=None)),
    "event with a plain subject": Contract(event=replace(EVENT, subject=compile_text("100% plain"))),
    "envelope": replace(SIGNED, event=replace(EVENT, is_structured=True)),
}
WEBHOOKS = {
    "json": Webhook(url="https://example.com/", body='{"n": "{{.JobName}}", "at": "{{.ScheduledTime}}"}'),
    "text": Webhook(
        url="https://example.com/",
        body='{{.JobName}}: "{{"{{"}}" {{.Attempt}}\n',
        headers={"content-type": "text/plain", "ce-custom": ""},
        credentials=BearerCredentials(token="t"),
    ),
    "empty": Webhook(url="http://example.com/", method="GET"),
}
SECRET = {"authorization", "webhook-signature", "x-qhronos-signature"}


@pytest.mark.parametrize(("contract", "webhook"), list(product(CONTRACTS, WEBHOOKS)))
def test_a_shown_webhook_is_the_one_that_was_sent(contract: str, webhook: str) -> None:
    plan = compile_webhook(
        WEBHOOKS[webhook], timeout=timedelta(seconds=1), user_agent="Chronos/1", contract=CONTRACTS[contract]
    )
    sent, shown = plan.request(FACTS), plan.shown
    filled = history.fill_in(
        history.Request(method=shown.method, url=shown.url, headers=shown.headers, body=shown.body), KNOWN
    )
    assert (filled.method, filled.url) == (sent.method, sent.url)
    assert headers_of(filled) == {
        name: MASK if name in SECRET else value for name, value in headers_of(sent).items() if name != "traceparent"
    }
    assert same_body(sent, filled.body)


@pytest.mark.parametrize("style", [HeaderStyle.GRPC, HeaderStyle.KAFKA, HeaderStyle.NATS, HeaderStyle.AMQP])
@pytest.mark.parametrize("contract", list(CONTRACTS))
def test_a_shown_message_is_the_one_that_was_sent(contract: str, style: HeaderStyle) -> None:
    body = '{"n": "{{.JobName}}"}'
    given = {"x-team": "a", "content-type": "application/json"}
    dressed = CONTRACTS[contract].dress(FACTS, compile_text(body, is_json=True).fill(FACTS), "application/json", style)
    expected = {**given, **dressed.headers, "content-type": dressed.content_type}
    shown = show(CONTRACTS[contract], style, given, body)
    asked = history.Request(method="PUBLISH", url="kafka://a:1/b", headers=shown.headers, body=shown.body)
    filled = history.fill_in(asked, KNOWN)
    assert filled.headers == {
        name: MASK if name in SECRET else value for name, value in expected.items() if name != "traceparent"
    }
    assert json.loads(filled.body) == json.loads(dressed.body)


def test_an_execution_that_has_not_begun_has_no_timestamp() -> None:
    asked = history.Request(method="POST", url="http://a/", headers={"webhook-id": ""}, body="")
    filled = history.fill_in(asked, replace(KNOWN, started_us=None))
    assert (filled.headers["webhook-id"], filled.headers["webhook-timestamp"]) == ("e-1", "")


def test_headers_of_a_jobs_own_that_look_like_an_event_stay() -> None:
    given = {"ce-id": "mine", "ce-subject": "{{.JobID}}", "ce-time": "now"}
    filled = history.fill_in(history.Request(method="POST", url="http://a/", headers=given, body=""), KNOWN)
    assert given.items() <= filled.headers.items()


def test_a_message_without_a_content_type_is_json_if_it_looks_so() -> None:
    for body, expected in (
        ('{"n": "{{.JobName}}"}', '{"n": "B\\u00fcro \\"100%\\" {{.JobID}}"}'),
        ("{{.Namespace}}", "ops"),
    ):
        asked = history.Request(method="CALL", url="grpc://a:1/b.C/D", headers={}, body=body)
        assert history.fill_in(asked, KNOWN).body == expected


def headers_of(request: HttpRequest | history.Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def same_body(sent: HttpRequest, shown: str) -> bool:
    body = (sent.body or b"").decode()
    return shown == body or json.loads(shown) == json.loads(body)
