"""Deliveries that failed for good, over REST and on the command line: listed, repeated, settled, deleted."""

from typing import Any

import httpx
import pytest

from tests.e2e.api import created, finished, job, triggered
from tests.e2e.conftest import Fresh
from tests.e2e.mesh import RunningMesh
from tests.e2e.receiver import Receiver

pytestmark = pytest.mark.mesh


def posted(api: httpx.Client, path: str, **body: object) -> dict[str, Any]:
    answer = api.post(f"/api/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def letters(api: httpx.Client, name: str, **query: str) -> list[dict[str, Any]]:
    answer = api.get("/api/v1/namespaces/default/dead-letters", params={"job_id": name, **query})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["dead_letters"])


def test_a_failed_delivery_waits_until_a_replay_succeeds(
    mesh: RunningMesh, api: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    name = fresh("dead")
    created(api, job(name, receiver.url("/status/404"), schedule="@manual"))
    dead = finished(api, triggered(api, name)["id"])["id"]
    (letter,) = letters(api, name)
    assert (letter["id"], letter["execution"]["status"], letter["replayed_by"]) == (dead, "FAILED", "")
    shown = api.get(f"/api/v1/dead-letters/{dead}").json()["execution"]
    assert (len(shown["attempts"]), shown["request"]["url"]) == (1, receiver.url("/status/404"))

    again = finished(api, posted(api, f"dead-letters/{dead}/replay")["id"])
    many = posted(api, "dead-letters/replay", job_id=name, status=["failed"])
    assert many["dead_letter_ids"] == [dead]
    assert finished(api, many["execution_ids"][0])["replay_of"] == again["replay_of"] == dead
    assert [each["id"] for each in letters(api, name)] == [dead]

    mended = posted(api, f"executions/{dead}/replay", changes={"url": receiver.url("/ok")})
    assert finished(api, mended["id"])["status"] == "SUCCESS"
    assert letters(api, name) == []
    (settled,) = letters(api, name, include_replayed="true")
    assert settled["replayed_by"] == mended["id"]
    refused = api.post(f"/api/v1/dead-letters/{dead}/replay", json={})
    assert (refused.status_code, "is settled" in refused.json()["message"]) == (400, True)

    assert mended["id"] in mesh.ctl("dead-letters", "list", "--job", name, "--replayed").stdout
    assert posted(api, "dead-letters/purge", job_id=name, include_replayed=True, validate_only=True) == {"count": 1}
    assert "Deleted 1." in mesh.ctl("dead-letters", "purge", "--job", name, "--replayed").stdout
    assert api.delete(f"/api/v1/dead-letters/{dead}").status_code == 404
