"""What several tests ask of the REST API."""

from typing import Any

import httpx

from tests.e2e.mesh import eventually

FINAL = ("SUCCESS", "FAILED", "SKIPPED", "TIMED_OUT", "CANCELLED", "LOST")


def job(job_id: str, url: str = "http://127.0.0.1:9/", **fields: Any) -> dict[str, Any]:
    """A job that fires at the turn of the year only."""
    return {"id": job_id, "name": f"Job {job_id}", "schedule": "@yearly", "webhook": {"url": url}, **fields}


def created(api: httpx.Client, document: dict[str, Any], **query: str) -> dict[str, Any]:
    """The job as the API created it."""
    answer = api.post("/api/v1/jobs", json=document, params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def triggered(api: httpx.Client, job_id: str, **body: str) -> dict[str, Any]:
    """The execution that a run by hand promises."""
    answer = api.post(f"/api/v1/jobs/{job_id}/trigger", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def finished(api: httpx.Client, execution_id: str, *, within: float = 20) -> dict[str, Any]:
    """The execution once it is over."""

    def look() -> dict[str, Any] | None:
        execution: dict[str, Any] = api.get(f"/api/v1/executions/{execution_id}").json()
        return execution if execution.get("status") in FINAL else None

    return eventually(look, within=within, what=lambda: api.get(f"/api/v1/executions/{execution_id}").text)
