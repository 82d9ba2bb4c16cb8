"""The REST API through Envoy."""

import json
from typing import Any

import httpx
import pytest

from tests.e2e.api import created, finished, job, triggered
from tests.e2e.conftest import Fresh
from tests.e2e.mesh import RunningMesh, eventually
from tests.e2e.receiver import Receiver

pytestmark = pytest.mark.mesh


def test_a_created_job_reads_back_with_its_defaults(api: httpx.Client, fresh: Fresh) -> None:
    name = fresh("plain")
    made = created(api, job(name, tags={"team": "a"}))
    assert api.get(f"/api/v1/jobs/{name}").json() == made
    assert made["namespace"] == "default"
    assert made["timezone"] == "UTC"
    assert made["enabled"] is True
    assert made["version"] == 1
    assert made["retry_policy"] == {
        "max_attempts": 3,
        "initial_interval": "1s",
        "max_interval": "60s",
        "multiplier": 2,
    }
    assert made["etag"]
    assert made["uid"]
    assert made["next_run"].endswith("-01-01T00:00:00Z")


def test_a_name_makes_the_id(api: httpx.Client, fresh: Fresh) -> None:
    name = fresh("Nightly Büro")
    document = job("") | {"name": f"{name} !"}
    assert created(api, document)["id"] == name.lower().replace(" ", "-").replace("ü", "u")


def test_every_change_is_seen_by_the_next_read(api: httpx.Client, fresh: Fresh) -> None:
    name = fresh("seen")
    created(api, job(name))
    for number in range(30):
        api.patch(f"/api/v1/jobs/{name}", params={"update_mask": "description"}, json={"description": str(number)})
        assert api.get(f"/api/v1/jobs/{name}").json()["description"] == str(number)


def test_a_list_has_pages_and_filters(api: httpx.Client, fresh: Fresh) -> None:
    space = fresh("pages")
    path = f"/api/v1/namespaces/{space}/jobs"
    for number in range(5):
        document = job(f"j{number}", tags={"parity": str(number % 2)}, enabled=number != 4)
        assert api.post(path, json=document).status_code == 200
    first = api.get(path, params={"page_size": 3}).json()
    second = api.get(path, params={"page_size": 3, "page_token": first["next_page_token"]}).json()
    assert [j["id"] for j in first["jobs"] + second["jobs"]] == [f"j{n}" for n in range(5)]
    assert second["next_page_token"] == ""
    found = api.get(path, params={"filter": 'enabled = true AND tags.parity = "0"'}).json()["jobs"]
    assert [j["id"] for j in found] == ["j0", "j2"]
    assert api.get(f"/api/v1/namespaces/{fresh('empty')}/jobs").json()["jobs"] == []


def test_a_patch_changes_only_what_the_mask_names(api: httpx.Client, fresh: Fresh) -> None:
    name = fresh("patched")
    made = created(api, job(name, description="old"))
    body = {"schedule": "@daily", "webhook": {"method": "PUT"}}
    changed = api.patch(f"/api/v1/jobs/{name}", params={"update_mask": "schedule,webhook.method"}, json=body).json()
    assert (changed["schedule"], changed["webhook"]["method"], changed["webhook"]["url"], changed["description"]) == (
        "@daily",
        "PUT",
        made["webhook"]["url"],
        "old",
    )
    assert (changed["version"], changed["uid"]) == (2, made["uid"])
    assert changed["etag"] != made["etag"]


def test_a_put_replaces_the_whole_job(api: httpx.Client, fresh: Fresh) -> None:
    name = fresh("replaced")
    made = created(api, job(name, description="old"))
    answer = api.put(f"/api/v1/jobs/{name}", json=job(name, etag=made["etag"]))
    assert answer.status_code == 200, answer.text
    assert (answer.json()["description"], answer.json()["uid"]) == ("", made["uid"])


def test_a_disabled_job_has_no_next_run_until_it_is_enabled(api: httpx.Client, fresh: Fresh) -> None:
    name = fresh("switched")
    created(api, job(name))
    disabled = api.post(f"/api/v1/jobs/{name}/disable", json={}).json()
    assert (disabled["enabled"], disabled.get("next_run")) == (False, None)
    assert api.post(f"/api/v1/jobs/{name}/disable", json={}).status_code == 200
    enabled = api.post(f"/api/v1/jobs/{name}/enable", json={}).json()
    assert enabled["enabled"] is True
    assert enabled["next_run"]


def test_a_deleted_job_is_gone_and_its_id_free(api: httpx.Client, fresh: Fresh) -> None:
    name = fresh("deleted")
    uid = created(api, job(name))["uid"]
    assert api.delete(f"/api/v1/jobs/{name}").json() == {"id": name}
    assert api.get(f"/api/v1/jobs/{name}").status_code == 404
    assert created(api, job(name))["uid"] != uid


def test_a_check_stores_nothing(api: httpx.Client, fresh: Fresh) -> None:
    name = fresh("checked")
    assert created(api, job(name), validate_only="true")["id"] == name
    assert api.get(f"/api/v1/jobs/{name}").status_code == 404


def test_a_repeated_request_makes_one_job(api: httpx.Client, fresh: Fresh) -> None:
    name = fresh("once")
    first = created(api, job(name), request_id=f"r-{name}")
    assert created(api, job(name), request_id=f"r-{name}")["uid"] == first["uid"]


def test_secrets_are_never_given_back_and_survive_being_written_back(
    api: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    name = fresh("secret")
    document = job(name, receiver.url("/secret"))
    document["webhook"]["auth"] = {"bearer": {"token": "hunter2"}}
    made = created(api, document)
    assert made["webhook"]["auth"] == {"bearer": {"token": "********"}}
    assert api.put(f"/api/v1/jobs/{name}", json=made).status_code == 200
    execution = triggered(api, name)
    request = eventually(lambda: receiver.of_execution(execution["id"]))[0]
    assert request.headers["authorization"] == "Bearer hunter2"


def test_a_triggered_job_answers_at_once_and_is_delivered_and_recorded(
    api: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    name = fresh("triggered")
    document = job(name, receiver.url("/hello"), enabled=False)
    document["webhook"]["body"] = '{"job": "{{.JobID}}", "run": "{{.ExecutionID}}"}'
    created(api, document)
    execution = triggered(api, name)
    assert (execution["job_id"], execution["cause"]) == (name, "MANUAL")
    [request] = eventually(lambda: receiver.of_execution(execution["id"]))
    assert json.loads(request.body) == {"job": name, "run": execution["id"]}
    assert request.headers["x-chronos-job-id"] == name
    assert request.headers["x-chronos-attempt"] == "1"
    assert request.headers["x-chronos-scheduled-time"]
    assert request.headers["idempotency-key"] == execution["id"]
    assert request.headers["traceparent"].split("-")[1] == execution["id"].replace("-", "")
    done = finished(api, execution["id"])
    assert (done["status"], done["status_code"], done["attempt_count"]) == ("SUCCESS", 200, 1)
    assert [attempt["number"] for attempt in done["attempts"]] == [1]
    assert done["trace_id"] == execution["id"].replace("-", "")


def test_a_repeated_trigger_runs_once(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("twice")
    created(api, job(name, receiver.url("/twice")))
    first = triggered(api, name, request_id=f"r-{name}")
    assert triggered(api, name, request_id=f"r-{name}")["id"] == first["id"]
    finished(api, first["id"])
    assert len(receiver.of_job(name)) == 1


def test_executions_are_listed_newest_first_and_by_status(api: httpx.Client, fresh: Fresh, receiver: Receiver) -> None:
    name = fresh("listed")
    created(api, job(name, receiver.url("/listed")))
    ids = []
    for _ in range(3):
        ids.append(triggered(api, name)["id"])
        finished(api, ids[-1])
    path = f"/api/v1/jobs/{name}/executions"
    first = api.get(path, params={"page_size": 2}).json()
    second = api.get(path, params={"page_size": 2, "page_token": first["next_page_token"]}).json()
    assert [e["id"] for e in first["executions"] + second["executions"]] == ids[::-1]
    assert api.get(path, params={"status": "FAILED"}).json()["executions"] == []
    assert len(api.get(path, params=[("status", "SUCCESS"), ("status", "FAILED")]).json()["executions"]) == 3
    assert api.get(f"{path}/{ids[0]}").json()["id"] == ids[0]


def test_a_watch_tells_each_change_and_resumes_without_a_gap(
    api: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    name = fresh("watched")
    created(api, job(name, receiver.url("/watched"), schedule="* * * * * *"))
    path = f"/api/v1/jobs/{name}/executions/watch"
    seen: list[str] = []
    token = ""
    for _ in range(3):
        with api.stream("GET", path, params={"resume_token": token} if token else {}) as stream:
            assert stream.status_code == 200, stream.read()
            for line in stream.iter_lines():
                message = json.loads(line)
                token = message["resume_token"]
                if message.get("execution", {}).get("status") == "SUCCESS":
                    seen.append(message["execution"]["scheduled_time"])
                    break
        # What happens while nobody watches is told on the next connection.
        count = len(receiver.of_job(name))
        eventually(lambda before=count: len(receiver.of_job(name)) > before)  # type: ignore[misc]
    recorded = api.get(f"/api/v1/jobs/{name}/executions").json()["executions"]
    times = sorted(execution["scheduled_time"] for execution in recorded)
    start = times.index(seen[0])
    assert seen == times[start : start + 3]
    api.delete(f"/api/v1/jobs/{name}")


def test_the_cluster_tells_who_is_there(api: httpx.Client) -> None:
    status = eventually(lambda: healthy(api), what=lambda: api.get("/api/v1/cluster/status").text)
    services = sorted(member["service"] for member in status["members"])
    assert services == ["dispatcher", "dispatcher", "gateway", "history", "policy", "scheduler", "scheduler"]
    assert len(status["shards"]) == status["meta"]["shard_count"]
    assert {shard["owner"] for shard in status["shards"]} == {"scheduler-0", "scheduler-1"}
    assert [member["is_leader"] for member in status["etcd"]] == [True]


def test_health_metrics_and_the_api_document_need_no_key(mesh: RunningMesh) -> None:
    with mesh.http(api_key="") as anybody:
        assert anybody.get("/health").status_code == 200
        metrics = anybody.get("/metrics")
        assert metrics.status_code == 200
        assert "# TYPE" in metrics.text
        document = anybody.get("/openapi.json").json()
        assert document["openapi"].startswith("3.")
        assert "/api/v1/jobs/{id}/trigger" in document["paths"]


def healthy(api: httpx.Client) -> dict[str, Any] | None:
    status: dict[str, Any] = api.get("/api/v1/cluster/status").json()
    return status if status["is_healthy"] else None
