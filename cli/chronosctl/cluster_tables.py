"""The cluster and its circuit breakers as rows."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from cli.chronosctl.moments import parsed_time, shown_span, shown_time
from cli.chronosctl.output import Output, Row, plain

Json = dict[str, Any]
BREAKER_COLUMNS = ("HOST", "DISPATCHER", "STATE", "SINCE", "FAILURES", "SUCCESSES", "NEXT PROBE", "LAST ERROR")


def show_cluster(output: Output, status: Json, *, with_shards: bool) -> None:
    """The cluster: is it well, who is there, who owns what, how far it is."""
    meta, shards = status.get("meta") or {}, status.get("shards") or []
    output.facts(
        [
            ("cluster", meta.get("cluster_id", "")),
            ("healthy", bool(status.get("is_healthy"))),
            ("problems", "\n".join(status.get("problems") or ())),
            ("findings", len(status.get("findings") or ())),
            ("jobs", status.get("job_count", 0)),
            ("shards", f"{sum(1 for shard in shards if shard.get('owner'))} of {meta.get('shard_count', 0)} owned"),
            ("recorded up to", _watermarks(shards)),
        ]
    )
    for finding in status.get("findings") or ():
        output.text("")
        output.text(plain(_finding_text(finding)))
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


def breaker_row(breaker: Json) -> Row:
    """One line of `circuit-breakers`."""
    return (
        breaker.get("host", ""),
        breaker.get("dispatcher", ""),
        breaker.get("state", ""),
        shown_time(breaker.get("since") or ""),
        breaker.get("failures", 0),
        breaker.get("successes", 0),
        shown_time(breaker.get("probe_at") or ""),
        breaker.get("last_error", ""),
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


def _finding_text(finding: Json) -> str:
    since, replica = shown_time(finding.get("since") or ""), finding.get("replica", "")
    return (
        f"{finding.get('kind', '')}: {finding.get('subject', '')}, since {since}, seen by {replica}\n"
        f"  {finding.get('message', '')}\n"
        f"  fix: {finding.get('fix', '')}"
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
