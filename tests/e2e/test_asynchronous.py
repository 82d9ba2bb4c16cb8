"""Targets that accept a run now, and tell later how it ended."""

from typing import Any

import httpx
import pytest

from tests.e2e.api import created, finished, job, triggered
from tests.e2e.conftest import Fresh
from tests.e2e.mesh import RunningMesh, eventually
from tests.e2e.receiver import Receiver

pytestmark = pytest.mark.mesh


def accepted(api: httpx.Client, execution_id: str) -> dict[str, Any]:
    """The execution once its target has accepted it."""

    def look() -> dict[str, Any] | None:
        execution: dict[str, Any] = api.get(f"/api/v1/executions/{execution_id}").json()
        return execution if execution.get("reason_code") == "ACCEPTED" else None

    return eventually(look, what=lambda: api.get(f"/api/v1/executions/{execution_id}").text)


def complete(api: httpx.Client, execution_id: str, **body: str) -> httpx.Response:
    return api.post(f"/api/v1/executions/{execution_id}/complete", json=body)


@pytest.fixture
def execution_id(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> str:
    """A run whose target has accepted it and has a minute."""
    name = fresh("asynchronous")
    created(api, job(name, receiver.url("/status/202"), completion={"deadline": "60s"}))
    identity = str(triggered(api, name)["id"])
    execution = accepted(api, identity)
    assert (execution["status"], execution["status_code"], execution["attempt_count"]) == ("RUNNING", 202, 1)
    assert execution["complete_by"] > execution["started_at"]
    return identity


def test_a_run_ends_as_its_target_tells(api: httpx.Client, execution_id: str) -> None:
    answer = complete(api, execution_id, response="412 videos")
    assert (answer.status_code, answer.json()["id"]) == (200, execution_id)
    execution = finished(api, execution_id)
    assert (execution["status"], execution["response"]) == ("SUCCESS", "412 videos")
    assert execution["reason"].startswith("completed by ")
    assert [attempt["status_code"] for attempt in execution["attempts"]] == [202]
    assert complete(api, execution_id).json()["status"] == "SUCCESS"
    refused = complete(api, execution_id, status="FAILED")
    assert (refused.status_code, "SUCCESS" in refused.text) == (400, True)


def test_a_failure_is_a_dead_letter(mesh: RunningMesh, api: httpx.Client, execution_id: str) -> None:
    mesh.ctl("execution", "complete", execution_id, "--error", "the farm is full")
    execution = finished(api, execution_id)
    assert (execution["status"], execution["error"]) == ("FAILED", "the farm is full")
    assert api.get(f"/api/v1/dead-letters/{execution_id}").json()["execution"]["error"] == "the farm is full"


def test_what_is_not_completed_in_time_times_out(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("overdue")
    created(api, job(name, receiver.url("/status/202"), completion={"deadline": "1s"}))
    execution = finished(api, triggered(api, name)["id"])
    assert (execution["status"], execution["reason_code"]) == ("TIMED_OUT", "ACCEPTED")
    assert "did not complete it by" in execution["error"]
    assert complete(api, execution["id"]).status_code == 400


def test_a_target_may_be_done_before_it_has_answered(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("hasty")
    created(api, job(name, receiver.url("/slow/3"), completion={"accepted_codes": [200]}))
    identity = triggered(api, name)["id"]
    eventually(lambda: receiver.of_execution(identity))
    assert complete(api, identity, response="done").status_code == 200
    assert finished(api, identity, within=2.5)["response"] == "done"
    assert len(receiver.of_execution(identity)) == 1


def test_an_accepted_run_can_be_cancelled(api: httpx.Client, execution_id: str) -> None:
    api.post(f"/api/v1/executions/{execution_id}/cancel", json={})
    assert finished(api, execution_id)["status"] == "CANCELLED"
    assert "CANCELLED" in complete(api, execution_id).text


def test_the_key_of_a_target_can_do_nothing_else(mesh: RunningMesh, execution_id: str) -> None:
    created_key = mesh.chronos("key", "create", "--name", "farm", "--permissions", "execution:complete").stdout
    with mesh.http(api_key=created_key.split()[-1]) as farm:
        assert farm.get(f"/api/v1/executions/{execution_id}").status_code == 403
        assert complete(farm, execution_id).status_code == 200


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"status": "TIMED_OUT"}, "status"),
        ({"status": "SUCCESS", "error": "no"}, "FAILED only"),
        ({"error": "x" * 1025, "status": "FAILED"}, "error"),
    ],
)
def test_a_wrong_completion_is_refused(api: httpx.Client, execution_id: str, body: dict[str, str], what: str) -> None:
    answer = complete(api, execution_id, **body)
    assert (answer.status_code, what in answer.text) == (400, True), answer.text


def test_a_run_whose_answer_is_the_end_cannot_be_completed(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("synchronous")
    created(api, job(name, receiver.url("/slow/3")))
    identity = triggered(api, name)["id"]
    eventually(lambda: receiver.of_execution(identity))
    answer = complete(api, identity)
    assert (answer.status_code, "give the job a `completion`" in answer.text) == (400, True), answer.text
    assert complete(api, "0193803e-2a80-8000-8000-000000000001").status_code == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"completion": {"deadline": "0.5s"}}, "completion.deadline"),
        ({"completion": {"accepted_codes": [404]}}, "completion.accepted_codes[0]"),
        (
            {"webhook": None, "nats": {"url": "nats://127.0.0.1:4222", "subject": "a"}}
            | {"completion": {"accepted_codes": [202]}},
            "completion.accepted_codes",
        ),
    ],
)
def test_a_wrong_configuration_is_refused(api: httpx.Client, fresh: Fresh, fields: dict[str, Any], field: str) -> None:
    document = {name: value for name, value in job(fresh("wrong"), **fields).items() if value is not None}
    answer = api.post("/api/v1/jobs", json=document)
    assert (answer.status_code, f'"{field}"' in answer.text) == (400, True), answer.text
