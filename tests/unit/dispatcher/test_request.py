import json
from datetime import UTC, datetime, timedelta

import pytest

from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Facts, rfc3339
from services.dispatcher.domain.targets.webhook import (
    BasicCredentials,
    BearerCredentials,
    Credentials,
    HttpRequest,
    KeyCredentials,
    Webhook,
    WebhookPlan,
    compile_webhook,
)

FACTS = Facts(
    job_id="report",
    job_name='Büro "report"\n',
    namespace="default",
    execution_id="e-1",
    scheduled_time=datetime(2026, 1, 1, 12, 0, tzinfo=UTC),
    attempt=2,
    traceparent="00-a-b-01",
    sent_at=datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC),
)
TIMEOUT = timedelta(seconds=30)


def plan_of(webhook: Webhook) -> WebhookPlan:
    return compile_webhook(webhook, timeout=TIMEOUT, user_agent="Chronos/1", contract=Contract())


def request_of(facts: Facts = FACTS, **webhook: object) -> HttpRequest:
    fields = {"url": "https://example.com/"} | webhook
    return plan_of(Webhook(**fields)).request(facts)  # type: ignore[arg-type]


def test_a_request_tells_what_it_is() -> None:
    request = request_of()
    assert (request.method, request.body, request.timeout) == ("POST", None, TIMEOUT)
    assert request.headers == {
        "User-Agent": "Chronos/1",
        "X-Chronos-Job-ID": "report",
        "X-Chronos-Execution-ID": "e-1",
        "X-Chronos-Scheduled-Time": "2026-01-01T12:00:00Z",
        "X-Chronos-Attempt": "2",
        "Idempotency-Key": "e-1",
        "Traceparent": "00-a-b-01",
    }


def test_a_job_sets_its_own_headers_but_not_ours() -> None:
    headers = {
        "user-agent": "mine",
        "X-Team": "billing",
        "x-chronos-attempt": "99",
        "X-CHRONOS-ANYTHING": "no",
        "idempotency-key": "mine",
        "TraceParent": "mine",
    }
    sent = {name.lower(): value for name, value in request_of(headers=headers).headers.items()}
    assert (sent["user-agent"], sent["x-team"]) == ("mine", "billing")
    assert (sent["x-chronos-attempt"], sent["idempotency-key"], sent["traceparent"]) == ("2", "e-1", "00-a-b-01")
    assert "x-chronos-anything" not in sent


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "Upgrade", "TE"])
def test_headers_that_describe_the_connection_are_not_taken_from_a_job(name: str) -> None:
    assert name.lower() not in {header.lower() for header in request_of(headers={name: "5"}, body="x").headers}


def test_a_body_is_json_unless_the_job_says_otherwise() -> None:
    assert request_of(body="{}").headers["Content-Type"] == "application/json"
    assert request_of(body="a,b", headers={"content-type": "text/csv"}).headers["content-type"] == "text/csv"
    assert "Content-Type" not in request_of().headers


@pytest.mark.parametrize(
    ("credentials", "name", "value"),
    [
        (BasicCredentials(username="ann", password="pä:ss"), "Authorization", "Basic YW5uOnDDpDpzcw=="),
        (BearerCredentials(token="t0ken"), "Authorization", "Bearer t0ken"),
        (KeyCredentials(key="k"), "X-API-Key", "k"),
        (KeyCredentials(key="k", header="X-Mine"), "X-Mine", "k"),
    ],
)
def test_credentials_become_a_header(credentials: Credentials, name: str, value: str) -> None:
    headers = {"authorization": "job's own", "x-api-key": "job's own", "x-mine": "job's own"}
    request = request_of(credentials=credentials, headers=headers)
    sent = {header.lower(): value for header, value in request.headers.items()}
    assert sent[name.lower()] == value


def test_secrets_are_not_shown() -> None:
    credentials = BearerCredentials(token="s3cret")
    webhook = Webhook(url="https://example.com/", credentials=credentials, headers={"X-Key": "s3cret"})
    plan = plan_of(webhook)
    assert "s3cret" not in f"{credentials} {webhook} {plan} {plan.request(FACTS)}"


def test_variables_in_a_json_body_are_escaped() -> None:
    body = '{"name": "{{.JobName}}", "id": "{{ .ExecutionID }}", "n": {{.Attempt}}, "at": "{{.ScheduledTime}}"}'
    sent = request_of(body=body).body
    assert sent is not None
    assert json.loads(sent) == {"name": FACTS.job_name, "id": "e-1", "n": 2, "at": "2026-01-01T12:00:00Z"}


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/problem+json", "Application/JSON"]
)
def test_every_kind_of_json_is_escaped(content_type: str) -> None:
    sent = request_of(body='"{{.JobName}}"', headers={"Content-Type": content_type}).body
    assert sent is not None
    assert json.loads(sent) == FACTS.job_name


def test_variables_in_other_bodies_are_filled_in_as_they_are() -> None:
    sent = request_of(body="{{.Namespace}}/{{.JobID}}: {{.JobName}}", headers={"Content-Type": "text/plain"}).body
    assert sent == b'default/report: B\xc3\xbcro "report"\n'


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00Z"),
        (datetime(2026, 1, 1, 0, 0, 0, 120_000, tzinfo=UTC), "2026-01-01T00:00:00.120000Z"),
    ],
)
def test_times_have_fractions_only_where_needed(moment: datetime, text: str) -> None:
    assert rfc3339(moment) == text
