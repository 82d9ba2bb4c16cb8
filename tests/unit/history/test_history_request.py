"""The request of an execution as it was first sent."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from services.history.domain.moments import to_us
from services.history.domain.request import Facts, Request, fill_in

DUE = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
ALL = "{{.JobID}} {{ .JobName }} {{.Namespace}} {{.ExecutionID}} {{.ScheduledTime}} {{.Attempt}}"
FACTS = Facts(
    namespace="ops",
    job_id="report",
    job_name='The "report"',
    execution_id="0194265a-0000-7000-8000-00000000002a",
    scheduled_us=to_us(DUE),
)
OWN = {
    "X-Chronos-Job-ID": "report",
    "X-Chronos-Execution-ID": FACTS.execution_id,
    "X-Chronos-Scheduled-Time": "2026-03-01T09:30:00Z",
    "X-Chronos-Attempt": "1",
    "Idempotency-Key": FACTS.execution_id,
}


def asked(body: str = "", **headers: str) -> Request:
    return Request(method="PUT", url="https://example.com/{{.JobID}}", headers=headers, body=body)


def test_variables_of_the_body_are_filled_in() -> None:
    sent = fill_in(asked(ALL), FACTS)
    assert sent.body == f'report The "report" ops {FACTS.execution_id} 2026-03-01T09:30:00Z 1'


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", "application/a+json"])
def test_a_name_in_a_json_body_leaves_it_json(content_type: str) -> None:
    sent = fill_in(asked('{"job": "{{.JobName}}"}', **{"content-type": content_type}), FACTS)
    assert json.loads(sent.body) == {"job": 'The "report"'}


def test_method_and_address_are_as_they_were() -> None:
    sent = fill_in(asked(), FACTS)
    assert (sent.method, sent.url, sent.body) == ("PUT", "https://example.com/{{.JobID}}", "")


def test_the_headers_that_tell_of_the_execution_are_in_their_place() -> None:
    sent = fill_in(asked(Authorization="********", **{"x-chronos-attempt": "{{.Attempt}}"}), FACTS)
    assert sent.headers == {"Authorization": "********", **OWN}


def test_a_fraction_of_a_second_is_told() -> None:
    facts = Facts(
        namespace="ops",
        job_id="report",
        job_name="Report",
        execution_id="7",
        scheduled_us=to_us(DUE + timedelta(milliseconds=250)),
    )
    assert fill_in(asked("{{.ScheduledTime}}"), facts).body == "2026-03-01T09:30:00.250000Z"
