"""Examples for the calls that a newcomer makes first. A test sends the bodies through the strict check."""

from typing import Any

JOBS = "/chronos.scheduler.v1.JobService"
JOB: dict[str, Any] = {
    "name": "Nightly report",
    "schedule": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "webhook": {
        "url": "https://reports.example.com/run",
        "method": "POST",
        "headers": {"Content-Type": "application/json"},
        "body": '{"execution": "{{.ExecutionID}}"}',
    },
    "retry_policy": {"max_attempts": 5, "initial_interval": "2s", "max_interval": "60s", "multiplier": 2},
    "timeout": "30s",
    "tags": {"team": "finance"},
}

REQUESTS: dict[str, Any] = {
    f"{JOBS}/CreateJob": {"id": "nightly-report", **JOB},
    f"{JOBS}/ReplaceJob": {**JOB, "enabled": True, "etag": "42"},
    f"{JOBS}/UpdateJob": {"schedule": "0 3 * * *", "webhook": {"url": "https://reports.example.com/v2/run"}},
    f"{JOBS}/TriggerJob": {"request_id": "rerun-2026-01-31"},
}

RESPONSES: dict[str, Any] = {
    f"{JOBS}/TriggerJob": {
        "id": "019c1c5e-2f80-7a3c-9d3e-5b0f4a1c2d3e",
        "namespace": "default",
        "job_id": "nightly-report",
        "cause": "MANUAL",
        "scheduled_time": "2026-01-31T09:00:00Z",
        "status": "PENDING",
    },
}
