"""What bad input gets: the status, the field, and a way to fix it, in one shape of error."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Fresh
from tests.e2e.mesh import RunningMesh

pytestmark = pytest.mark.mesh
GOOD: dict[str, Any] = {"name": "Good", "schedule": "@daily", "webhook": {"url": "http://127.0.0.1:9/"}}


def error(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The error in an answer, which has the one shape that every error has."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    assert answer.headers["content-type"].startswith("application/json")
    body: dict[str, Any] = answer.json()
    assert isinstance(body["code"], int)
    assert body["message"]
    assert isinstance(body["details"], list)
    return body


def fields(body: dict[str, Any]) -> dict[str, str]:
    """The violations of an error by field."""
    violations = [item for detail in body["details"] for item in detail.get("field_violations", ())]
    return {item["field"]: item["description"] for item in violations}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"id": "Upper Case"}, "id"),
        ({"id": "-"}, "id"),
        ({"schedule": ""}, "schedule"),
        ({"schedule": "61 * * * *"}, "schedule"),
        ({"schedule": "0 0 30 2 *"}, "schedule"),
        ({"schedule": "* * *"}, "schedule"),
        ({"schedule": "@every 0s"}, "schedule"),
        ({"schedule": "every day"}, "schedule"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"webhook": {}}, "webhook.url"),
        ({"webhook": {"url": "not a url"}}, "webhook.url"),
        ({"webhook": {"url": "ftp://example.com/"}}, "webhook.url"),
        ({"webhook": {"url": "http://x/", "method": "BREW"}}, "webhook.method"),
        ({"webhook": {"url": "http://x/", "body": "{{.Nonsense}}"}}, "webhook.body"),
        ({"webhook": {"url": "http://x/", "headers": {"bad header": "x"}}}, "webhook.headers"),
        ({"webhook": {"url": "http://x/", "headers": {"X-A": "a\r\nX-B: b"}}}, "webhook.headers"),
        ({"webhook": {"url": "http://x/", "headers": {"X-Chronos-Job-ID": "forged"}}}, "webhook.headers"),
        ({"webhook": {"url": "http://x/", "success_codes": [99]}}, "webhook.success_codes"),
        ({"webhook": {"url": "http://x/", "auth": {}}}, "webhook.auth"),
        ({"webhook": {"url": "http://x/", "auth": {"basic": {"username": "a:b"}}}}, "webhook.auth.basic.username"),
        ({"timeout": "0s"}, "timeout"),
        ({"timeout": "2h"}, "timeout"),
        ({"timeout": "7200s"}, "timeout"),
        ({"timeout": 5}, "timeout"),
        ({"retry_policy": {"max_attempts": 0}}, "retry_policy.max_attempts"),
        ({"retry_policy": {"max_attempts": "many"}}, "retry_policy.max_attempts"),
        ({"retry_policy": {"multiplier": 0.5}}, "retry_policy.multiplier"),
        ({"retry_policy": {"initial_interval": "10s", "max_interval": "1s"}}, "retry_policy"),
        ({"tags": {"": "x"}}, "tags"),
        ({"tags": {"a": 1}}, "tags"),
        ({"tags": {f"t{n}": "x" for n in range(65)}}, "tags"),
        ({"enabled": "yes"}, "enabled"),
        ({"webhook": None}, "target"),
        ({"timezon": "UTC"}, "timezon"),
        ({"webhook": {"url": "http://x/", "hedaers": {}}}, "hedaers"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_a_wrong_field_is_named_with_a_way_to_fix_it(api: httpx.Client, change: dict[str, Any], field: str) -> None:
    body = error(api.post("/api/v1/jobs", json={**GOOD, **change}), 400)
    found = fields(body)
    assert any(field in name for name in found), body
    assert all(len(description) > 5 for description in found.values())


def test_every_wrong_field_is_told_at_once(api: httpx.Client) -> None:
    document = {**GOOD, "schedule": "* *", "timezone": "Nowhere", "webhook": {"url": "gopher://x"}}
    assert set(fields(error(api.post("/api/v1/jobs", json=document), 400))) >= {"schedule", "timezone", "webhook.url"}


def test_a_misspelt_field_is_told_its_right_spelling(api: httpx.Client) -> None:
    body = error(api.post("/api/v1/jobs", json={**GOOD, "timezon": "UTC"}), 400)
    assert "timezone" in json.dumps(body)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '"text"', "null", '{"name": "a",}', '{"name": "a", "name": "b"}', "\x00", "NaN", '{"a":' * 5000],
    ids=lambda text: text[:16] or "empty",
)
def test_what_is_not_a_json_object_is_refused(api: httpx.Client, text: str) -> None:
    error(api.post("/api/v1/jobs", content=text, headers={"content-type": "application/json"}), 400)


def test_a_body_that_is_not_utf_8_is_refused(api: httpx.Client) -> None:
    error(api.post("/api/v1/jobs", content=b'{"name": "\xff"}', headers={"content-type": "application/json"}), 400)


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/api/v1/jobs", {"page_sice": "5"}),
        ("GET", "/api/v1/jobs", {"page_size": "many"}),
        ("GET", "/api/v1/jobs", {"page_size": "-1"}),
        ("GET", "/api/v1/jobs", {"page_token": "nonsense"}),
        ("GET", "/api/v1/jobs", {"filter": "colour = red"}),
        ("GET", "/api/v1/executions", {"status": "MAYBE"}),
        ("GET", "/api/v1/executions/not-a-uuid", {}),
        ("GET", "/api/v1/executions/watch", {"resume_token": "nonsense"}),
        ("GET", "/api/v1/namespaces/Bad_Name/jobs", {}),
    ],
)
def test_a_wrong_query_is_refused(api: httpx.Client, method: str, path: str, query: dict[str, str]) -> None:
    error(api.request(method, path, params=query), 400)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/jobs/no-such-job"),
        ("PUT", "/api/v1/jobs/no-such-job"),
        ("PATCH", "/api/v1/jobs/no-such-job"),
        ("DELETE", "/api/v1/jobs/no-such-job"),
        ("POST", "/api/v1/jobs/no-such-job/trigger"),
        ("POST", "/api/v1/jobs/no-such-job/enable"),
        ("POST", "/api/v1/jobs/no-such-job/disable"),
        ("GET", "/api/v1/executions/00000000-0000-8000-8000-000000000000"),
        ("GET", "/api/v1/no-such-path"),
        ("GET", "/"),
    ],
)
def test_what_is_not_there_is_not_found(api: httpx.Client, method: str, path: str) -> None:
    body: dict[str, Any] | None = GOOD if method in ("PUT", "PATCH") else {} if method == "POST" else None
    assert (
        error(api.request(method, path, json=body) if body is not None else api.request(method, path), 404)["code"] == 5
    )


def test_a_method_that_a_path_does_not_take_is_told_which_it_takes(api: httpx.Client) -> None:
    answer = api.put("/api/v1/jobs", json=GOOD)
    error(answer, 405)
    assert answer.headers["allow"]


def test_a_duplicate_is_a_conflict(api: httpx.Client, fresh: Fresh) -> None:
    document = {**GOOD, "id": fresh("duplicate")}
    assert api.post("/api/v1/jobs", json=document).status_code == 200
    assert error(api.post("/api/v1/jobs", json=document), 409)["code"] == 6


def test_a_stale_etag_is_a_conflict_and_changes_nothing(api: httpx.Client, fresh: Fresh) -> None:
    name = fresh("stale")
    first = api.post("/api/v1/jobs", json={**GOOD, "id": name}).json()
    path = f"/api/v1/jobs/{name}"
    second = api.patch(path, params={"update_mask": "description"}, json={"description": "new"}).json()
    stale = {"description": "newer", "etag": first["etag"]}
    assert error(api.patch(path, params={"update_mask": "description"}, json=stale), 409)["code"] == 10
    error(api.put(path, json={**GOOD, "id": name, "etag": first["etag"]}), 409)
    error(api.delete(path, params={"etag": first["etag"]}), 409)
    assert api.get(path).json() == second


def test_an_id_or_namespace_that_disagrees_with_the_path_is_refused(api: httpx.Client, fresh: Fresh) -> None:
    name = fresh("moved")
    api.post("/api/v1/jobs", json={**GOOD, "id": name})
    error(api.put(f"/api/v1/jobs/{name}", json={**GOOD, "id": "other"}), 400)
    error(api.post("/api/v1/namespaces/here/jobs", json={**GOOD, "namespace": "there"}), 400)


@pytest.mark.parametrize("key", ["", "nonsense", "chronos_aaaaaaaaaaaa_" + "a" * 43])
def test_a_missing_or_wrong_key_is_unauthenticated(mesh: RunningMesh, key: str) -> None:
    with mesh.http(api_key=key) as stranger:
        assert error(stranger.get("/api/v1/jobs"), 401)["code"] == 16
        error(stranger.post("/api/v1/jobs", json=GOOD), 401)


def test_the_key_may_be_a_bearer_token(mesh: RunningMesh) -> None:
    with mesh.http(api_key="") as anybody:
        header = {"Authorization": f"Bearer {mesh.api_key}"}
        assert anybody.get("/api/v1/jobs", headers=header).status_code == 200


def test_a_key_without_the_permission_or_the_namespace_is_forbidden(mesh: RunningMesh, fresh: Fresh) -> None:
    space = fresh("readers")
    flags = ("--name", "reader", "--permissions", "job:read", "--namespaces", space)
    key = mesh.chronos("key", "create", *flags).stdout.strip()
    with mesh.http(api_key=key) as reader:
        assert reader.get(f"/api/v1/namespaces/{space}/jobs").status_code == 200
        body = error(reader.post(f"/api/v1/namespaces/{space}/jobs", json=GOOD), 403)
        assert "job:create" in body["message"]
        error(reader.get("/api/v1/jobs"), 403)
        # Forbidden also where nothing is: a key learns nothing about other namespaces.
        error(reader.get("/api/v1/namespaces/elsewhere/jobs/no-such-job"), 403)


def test_a_request_that_is_too_large_is_refused(api: httpx.Client) -> None:
    document = {**GOOD, "description": "x" * 2_000_000}
    assert error(api.post("/api/v1/jobs", json=document), 413)["code"] == 8


def test_a_client_that_is_too_fast_is_told_when_to_come_back(mesh: RunningMesh) -> None:
    # A key of its own: the limit is one per client, and no other test shall feel it.
    with mesh.http(api_key="chronos_toofastaaaaa_" + "a" * 43) as client, ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(client.post, "/api/v1/jobs/nothing/trigger", json={}) for _ in range(600)]
        answers = [call.result() for call in calls]
    assert {answer.status_code for answer in answers} <= {401, 429}
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert error(refused[0], 429)["code"] == 8
    assert int(refused[0].headers["retry-after"]) >= 1


def test_a_wrong_content_type_is_refused(api: httpx.Client) -> None:
    answer = api.post("/api/v1/jobs", content="name=a", headers={"content-type": "application/x-www-form-urlencoded"})
    error(answer, 415)


def test_nothing_of_this_stored_a_job(api: httpx.Client) -> None:
    assert [job["id"] for job in api.get("/api/v1/jobs").json()["jobs"] if job["id"] == "good"] == []


@pytest.mark.parametrize("name", ["sv&", "*", "k~", "x-data-bin", "grpc-timeout", "grpc-encoding"])
def test_a_header_that_grpc_would_choke_on_does_no_harm(api: httpx.Client, name: str) -> None:
    assert api.get("/api/v1/jobs", headers={name: "!!"}).status_code == 200
