"""Jobs, executions and clusters as rows."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from cli.chronosctl.moments import lateness, parsed_time, shown_seconds, shown_span, shown_time
from cli.chronosctl.output import Output, Row

Json = dict[str, Any]
JOB_COLUMNS = ("ID", "NAME", "SCHEDULE", "ZONE", "ENABLED", "NEXT RUN", "TARGET")
EXECUTION_COLUMNS = ("EXECUTION", "JOB", "STATUS", "DUE", "LATE", "TOOK", "TRIES", "CODE", "WHY")
EVENT_WIDTHS = (36, 24, 9, 24, 7, 7, 5, 4, 0)
ATTEMPT_COLUMNS = ("ATTEMPT", "BEGAN", "TOOK", "CODE", "ERROR", "NEXT ATTEMPT")


def job_row(job: Json) -> Row:
    """One line of `job list`."""
    zone = job.get("timezone") or "UTC"
    is_enabled = job.get("enabled", True)
    next_run = shown_time(job.get("next_run", ""))
    return (job["id"], job.get("name", ""), job.get("schedule", ""), zone, is_enabled, next_run, target(job))


def target(job: Json) -> str:
    """What a job does, in a few words."""
    webhook = job.get("webhook", {})
    return f"{webhook.get('method') or 'POST'} {webhook.get('url', '')}".strip() if webhook else ""


def show_job(output: Output, job: Json) -> None:
    """One job, a field a line."""
    retry, webhook = job.get("retry_policy") or {}, job.get("webhook") or {}
    output.facts(
        [
            ("id", job["id"]),
            ("namespace", job.get("namespace", "")),
            ("name", job.get("name", "")),
            ("description", job.get("description", "")),
            ("schedule", f"{job.get('schedule', '')} ({job.get('timezone') or 'UTC'})"),
            ("enabled", job.get("enabled", True)),
            ("next run", shown_time(job.get("next_run", ""))),
            ("target", target(job)),
            ("headers", _pairs(webhook.get("headers"))),
            ("auth", ", ".join(webhook.get("auth") or {})),
            ("success codes", ", ".join(map(str, webhook.get("success_codes") or ()))),
            ("timeout", shown_seconds(webhook.get("timeout") or job.get("timeout") or "")),
            ("retries", _pairs(retry)),
            ("tags", _pairs(job.get("tags"))),
            ("version", job.get("version", "")),
            ("changed", f"{shown_time(job.get('updated_at', ''))} by {job.get('updated_by') or 'nobody'}"),
            ("uid", job.get("uid", "")),
            ("etag", job.get("etag", "")),
        ]
    )


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
        execution.get("error") or execution.get("reason") or "",
    )


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
            ("reason", execution.get("reason", "")),
            ("response", execution.get("response", "")),
            ("deliveries", execution.get("delivery") or ""),
            ("trace", execution.get("trace_id", "")),
        ]
    )
    attempts = execution.get("attempts") or ()
    if attempts:
        output.text("")
        output.table(ATTEMPT_COLUMNS, [_attempt_row(attempt) for attempt in attempts])


def show_cluster(output: Output, status: Json, *, with_shards: bool) -> None:
    """The cluster: is it well, who is there, who owns what, how far it is."""
    meta, shards = status.get("meta") or {}, status.get("shards") or []
    output.facts(
        [
            ("cluster", meta.get("cluster_id", "")),
            ("healthy", bool(status.get("is_healthy"))),
            ("problems", "\n".join(status.get("problems") or ())),
            ("jobs", status.get("job_count", 0)),
            ("shards", f"{sum(1 for shard in shards if shard.get('owner'))} of {meta.get('shard_count', 0)} owned"),
            ("recorded up to", _watermarks(shards)),
        ]
    )
    owned = Counter(shard.get("owner", "") for shard in shards)
    output.text("")
    output.table(
        ("REPLICA", "ADDRESS", "METRICS", "STARTED", "VERSION", "SHARDS"),
        [_member_row(member, owned) for member in status.get("members") or ()],
    )
    output.text("")
    output.table(
        ("ETCD", "HEALTHY", "LEADER", "VERSION", "MEGABYTES", "ERROR"),
        [_etcd_row(member) for member in status.get("etcd") or ()],
    )
    if with_shards:
        output.text("")
        output.table(
            ("SHARD", "OWNER", "EPOCH", "WATERMARK"),
            [
                (s.get("shard", 0), s.get("owner", ""), s.get("epoch", ""), shown_time(s.get("watermark") or ""))
                for s in shards
            ],
        )


def _attempt_row(attempt: Json) -> Row:
    return (
        attempt.get("number", ""),
        shown_time(attempt.get("started_at") or ""),
        shown_seconds(attempt.get("duration") or ""),
        attempt.get("status_code") or "",
        attempt.get("error", ""),
        shown_time(attempt.get("retry_at") or ""),
    )


def _member_row(member: Json, owned: Counter[str]) -> Row:
    replica = member.get("replica", "")
    return (
        replica,
        member.get("address", ""),
        member.get("metrics_address", ""),
        shown_time(member.get("started_at") or ""),
        member.get("version", ""),
        owned.get(replica, ""),
    )


def _etcd_row(member: Json) -> Row:
    size = int(member.get("db_size_bytes") or 0) / 1e6
    is_healthy, is_leader = bool(member.get("is_healthy")), bool(member.get("is_leader"))
    version, error = member.get("version", ""), member.get("error", "")
    return (member.get("endpoint", ""), is_healthy, is_leader, version, f"{size:.1f}", error)


def _watermarks(shards: Sequence[Json]) -> str:
    moments = [moment for shard in shards if (moment := parsed_time(shard.get("watermark") or ""))]
    if not moments:
        return ""
    oldest, newest = min(moments), max(moments)
    return f"{shown_time(oldest.isoformat())} (the shards are {shown_span(newest - oldest)} apart)"


def _pairs(mapping: Json | None) -> str:
    return ", ".join(f"{key}={value}" for key, value in (mapping or {}).items())
