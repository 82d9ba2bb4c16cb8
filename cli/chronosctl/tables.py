"""Jobs and executions as rows."""

from typing import Any

from cli.chronosctl.moments import lateness, shown_seconds, shown_time
from cli.chronosctl.output import Output, Row
from cli.chronosctl.target_facts import target

Json = dict[str, Any]
JOB_COLUMNS = ("ID", "NAME", "SCHEDULE", "ZONE", "ENABLED", "NEXT RUN", "CONCURRENCY", "TARGET")
EXECUTION_COLUMNS = ("EXECUTION", "JOB", "STATUS", "DUE", "LATE", "TOOK", "TRIES", "CODE", "WHY")
EVENT_WIDTHS = (36, 24, 9, 24, 7, 7, 5, 4, 0)
ATTEMPT_COLUMNS = ("ATTEMPT", "BEGAN", "TOOK", "CODE", "ERROR", "NEXT ATTEMPT")


def job_row(job: Json) -> Row:
    """One line of `job list`."""
    zone = job.get("timezone") or "UTC"
    is_enabled = job.get("enabled", True)
    next_run = shown_time(job.get("next_run", ""))
    name, rule = job.get("name", ""), known(job.get("concurrency"), "FORBID")
    return (job["id"], name, when(job), zone, is_enabled, next_run, rule, target(job))


def when(job: Json) -> str:
    """When a job runs, in a few words: its schedule, on one line, or the jobs that it runs after."""
    parents = (job.get("dependencies") or {}).get("depends_on") or ()
    return f"after {', '.join(parents)}" if parents else " ".join(job.get("schedule", "").split())


def known(value: str | None, default: str = "") -> str:
    """An enum's value, or what it means when it is not given."""
    return default if not value or value.endswith("_UNSPECIFIED") else value


def execution_row(execution: Json) -> Row:
    """One line of `execution list` and `execution watch`."""
    return (
        execution["id"],
        execution.get("job_id", ""),
        execution.get("status", ""),
        shown_time(execution.get("scheduled_time", "")),
        lateness(execution),
        shown_seconds(execution.get("duration") or ""),
        execution.get("attempt_count") or "",
        execution.get("status_code") or "",
        why(execution),
    )


def why(execution: Json) -> str:
    """Why it did not run, or not to its end: the reason's code and its sentence, else the last error."""
    code, text = known(execution.get("reason_code")), execution.get("reason") or execution.get("error") or ""
    return ": ".join(part for part in (code, text) if part)


def show_execution(output: Output, execution: Json) -> None:
    """One execution, a field a line, and its attempts."""
    output.facts(
        [
            ("id", execution["id"]),
            ("job", f"{execution.get('job_id', '')} (version {execution.get('job_version', 0)})"),
            ("cause", execution.get("cause", "")),
            ("status", execution.get("status", "")),
            ("due", shown_time(execution.get("scheduled_time", ""))),
            ("began", shown_time(execution.get("started_at") or "")),
            ("late", lateness(execution)),
            ("ended", shown_time(execution.get("completed_at") or "")),
            ("took", shown_seconds(execution.get("duration") or "")),
            ("status code", execution.get("status_code") or ""),
            ("error", execution.get("error", "")),
            ("reason", why(execution) if execution.get("reason") or known(execution.get("reason_code")) else ""),
            ("stands for", _stretch(execution)),
            ("repeats", execution.get("replay_of", "")),
            ("follows", ", ".join(execution.get("parent_execution_ids") or ())),
            ("asked for by", execution.get("actor", "")),
            ("response", execution.get("response", "")),
            ("request", _request(execution.get("request") or {})),
            ("dispatcher", execution.get("dispatcher", "")),
            ("deliveries", execution.get("delivery") or ""),
            ("trace", execution.get("trace_id", "")),
        ]
    )
    attempts = execution.get("attempts") or ()
    if attempts:
        output.text("")
        output.table(ATTEMPT_COLUMNS, [_attempt_row(attempt) for attempt in attempts])


def _stretch(execution: Json) -> str:
    count, until = execution.get("skipped_count") or 0, execution.get("skipped_until") or ""
    return f"{count} runs, the last one due {shown_time(until)}" if count > 1 and until else ""


def _request(request: Json) -> str:
    return f"{request.get('method', '')} {request.get('url', '')}".strip()


def _attempt_row(attempt: Json) -> Row:
    return (
        attempt.get("number", ""),
        shown_time(attempt.get("started_at") or ""),
        shown_seconds(attempt.get("duration") or ""),
        attempt.get("status_code") or "",
        attempt.get("error", ""),
        shown_time(attempt.get("retry_at") or ""),
    )
