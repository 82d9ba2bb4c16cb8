"""Findings as they are stored, and how long a stored job's runs may take."""

from collections.abc import Iterable
from datetime import timedelta

from chronos.cluster.v1 import cluster_pb2
from chronos.scheduler.v1 import job_pb2
from google.protobuf.duration_pb2 import Duration

from services.scheduler.domain.invariants import Finding, Kind, RetryRules

Kinds = cluster_pb2.Finding
KINDS = {
    Kind.OVERDUE: Kinds.OVERDUE,
    Kind.UNDELIVERED: Kinds.UNDELIVERED,
    Kind.STUCK: Kinds.STUCK,
    Kind.IN_DOUBT: Kinds.IN_DOUBT,
    Kind.UNHELD: Kinds.UNHELD,
    Kind.BEHIND: Kinds.BEHIND,
    Kind.BACKLOG: Kinds.BACKLOG,
    Kind.UNOWNED: Kinds.UNOWNED,
}
# The contract's defaults (job.proto, target.proto).
TIMEOUT = timedelta(seconds=30)
MAX_ATTEMPTS = 3
INITIAL_INTERVAL = timedelta(seconds=1)
MAX_INTERVAL = timedelta(minutes=1)
MULTIPLIER = 2.0


def stored_findings(findings: Iterable[Finding], replica: str) -> cluster_pb2.Findings:
    """The findings of a replica."""
    return cluster_pb2.Findings(findings=[_stored(finding, replica) for finding in findings])


def retry_rules(definition: bytes) -> RetryRules:
    """How long the runs of a job may take, from the job as it is handed on."""
    job = job_pb2.Job.FromString(definition)
    policy = job.retry_policy
    timeout = job.webhook.timeout if job.webhook.HasField("timeout") else job.timeout
    return RetryRules(
        timeout=_span(timeout, TIMEOUT),
        max_attempts=policy.max_attempts if policy.HasField("max_attempts") else MAX_ATTEMPTS,
        initial_interval=_span(policy.initial_interval, INITIAL_INTERVAL),
        max_interval=_span(policy.max_interval, MAX_INTERVAL),
        multiplier=policy.multiplier if policy.HasField("multiplier") else MULTIPLIER,
    )


def _stored(finding: Finding, replica: str) -> cluster_pb2.Finding:
    message = cluster_pb2.Finding(
        kind=KINDS[finding.kind],
        subject=finding.subject,
        message=finding.message,
        fix=finding.fix,
        replica=replica,
    )
    message.since.FromDatetime(finding.since)
    return message


def _span(span: Duration, default: timedelta) -> timedelta:
    return span.ToTimedelta() or default
