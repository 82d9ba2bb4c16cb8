"""One job, a field a line."""

from typing import Any

from cli.chronosctl.moments import shown_seconds, shown_time
from cli.chronosctl.output import Output
from cli.chronosctl.tables import known, when
from cli.chronosctl.target_facts import contract_facts, pairs_text, target, target_facts, target_timeout

Json = dict[str, Any]
Facts = list[tuple[str, Any]]


def show_job(output: Output, job: Json) -> None:
    """One job, what is not set left out."""
    output.facts(
        [
            ("id", job["id"]),
            ("namespace", job.get("namespace", "")),
            ("name", job.get("name", "")),
            ("description", job.get("description", "")),
            *_timing(job),
            *_running(job),
            *_request(job),
            ("tags", pairs_text(job.get("tags"))),
            ("version", job.get("version", "")),
            ("changed", f"{shown_time(job.get('updated_at', ''))} by {job.get('updated_by') or 'nobody'}"),
            ("uid", job.get("uid", "")),
            ("etag", job.get("etag", "")),
        ]
    )


def shown_window(window: Json) -> str:
    """A window as it is written on the command line: `MON-FRI@09:00-17:00`."""
    begin, end = window.get("start"), window.get("end")
    first, last = window.get("first_date"), window.get("last_date")
    times = f"{begin or '00:00'}-{end or '24:00'}" if begin or end else ""
    dates = f"{first or '…'}/{last or '…'}" if first or last else ""
    zone = window.get("timezone")
    return "@".join(part for part in (window.get("days"), times, dates) if part) + (f" ({zone})" if zone else "")


def _timing(job: Json) -> Facts:
    dst, rule = job.get("dst_policy") or {}, job.get("calendars") or {}
    dependencies = job.get("dependencies") or {}
    calendars = {"only on": rule.get("include"), "not on": rule.get("exclude")}
    has_calendars = any(calendars.values())
    has_times = job.get("schedule", "") not in ("", "@manual")
    return [
        ("schedule", f"{when(job)} ({job.get('timezone') or 'UTC'})" if has_times else when(job)),
        ("condition", known(dependencies.get("condition"), "ALL_SUCCESS") if dependencies.get("depends_on") else ""),
        ("skipped times", known(dst.get("skipped_time"))),
        ("repeated times", known(dst.get("repeated_time"))),
        ("from", shown_time(job.get("start_time") or "")),
        ("until", shown_time(job.get("end_time") or "")),
        ("most runs", job.get("max_runs") or ""),
        ("jitter", _unless_zero(job.get("jitter"))),
        ("active", "\n".join(map(shown_window, job.get("active_windows") or ()))),
        ("blackout", "\n".join(map(shown_window, job.get("blackout_windows") or ()))),
        ("calendars", "; ".join(f"{how} {', '.join(ids)}" for how, ids in calendars.items() if ids)),
        ("roll", known(rule.get("roll"), "SKIP") if has_calendars else ""),
        ("enabled", job.get("enabled", True)),
        ("next run", shown_time(job.get("next_run") or "")),
    ]


def _running(job: Json) -> Facts:
    catch_up = {name: value for name, value in (job.get("catch_up") or {}).items() if value}
    rule = known(job.get("concurrency"), "FORBID")
    return [
        ("concurrency", rule),
        ("queue", f"at most {job.get('max_queued_runs') or 10}" if rule == "QUEUE" else ""),
        ("missed runs", known(job.get("missed_run_policy"), "EXECUTE_ONE")),
        ("catch-up", pairs_text(catch_up)),
        ("priority", job.get("priority") or 5),
        ("delivery", known(job.get("delivery_guarantee"), "AT_LEAST_ONCE")),
    ]


def _request(job: Json) -> Facts:
    return [
        ("target", target(job)),
        *target_facts(job),
        *contract_facts(job),
        ("timeout", shown_seconds(target_timeout(job) or job.get("timeout") or "")),
        ("retries", pairs_text(job.get("retry_policy"))),
    ]


def _unless_zero(text: str | None) -> str:
    return shown_seconds(text) if text and text != "0s" else ""
