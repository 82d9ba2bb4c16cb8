"""What the scheduler counts."""

from chronos.history.v1 import policy_decision_pb2
from chronos.policy.v1 import policy_pb2
from prometheus_client import Counter, Gauge, Histogram

FIRED = Counter("chronos_scheduler_fired_total", "Occurrences fired.")
MISSED = Counter("chronos_scheduler_missed_total", "Occurrences given up because they were noticed too late.")
NOT_RUN = Counter("chronos_scheduler_not_run_total", "Runs explained in the ledger instead of delivered.", ["reason"])
REDELIVERED = Counter("chronos_scheduler_redelivered_total", "Runs handed out again after a fault.")
FIRING_LATENESS = Histogram(
    "chronos_scheduler_firing_lateness_seconds",
    "From the scheduled time to the firing.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
JOBS = Gauge("chronos_scheduler_jobs", "Enabled jobs on the timeline of this replica.")
SHARDS = Gauge("chronos_scheduler_shards_owned", "Shards that this replica owns.")
QUEUED = Gauge("chronos_scheduler_runs_queued", "Runs that wait for a dispatcher.")
UNJUDGED = Gauge("chronos_scheduler_runs_unjudged", "Runs that wait for what policies say.")
OUTSTANDING = Gauge("chronos_scheduler_runs_outstanding", "Runs that dispatchers hold.")
ACCEPTED = Gauge("chronos_scheduler_runs_accepted", "Runs that their targets have accepted and not completed.")
WATERMARK_LAG = Gauge("chronos_scheduler_watermark_lag_seconds", "Age of the oldest watermark of the owned shards.")
TAKEOVER = Histogram(
    "chronos_scheduler_takeover_seconds",
    "From winning a shard to firing it.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
INVARIANT_FINDINGS = Gauge("chronos_invariant_findings", "Broken rules that this replica sees at present.", ["kind"])
INVARIANT_REPAIRS = Counter(
    "chronos_invariant_repairs_total", "Runs about which a broken rule made this replica do something.", ["kind"]
)
_POLICY_DECISIONS = Counter(
    "chronos_scheduler_policy_decisions_total",
    "What policies decided, where they had something to say or could not be asked.",
    ["operation", "outcome"],
)
LOST_POLICY_DECISIONS = Counter(
    "chronos_scheduler_policy_decisions_lost_total", "Decisions of policies that never came into their account."
)


def count_policy_decision(
    operation: "policy_pb2.Policy.Operation.ValueType", outcome: "policy_decision_pb2.PolicyDecision.Outcome.ValueType"
) -> None:
    """Counts a decision by what was to happen and what came of it."""
    _POLICY_DECISIONS.labels(
        policy_pb2.Policy.Operation.Name(operation).lower(),
        policy_decision_pb2.PolicyDecision.Outcome.Name(outcome).lower(),
    ).inc()
