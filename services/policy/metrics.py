"""What policy counts."""

from collections.abc import Collection

from prometheus_client import Counter, Gauge

from services.policy.domain.judging import Decision

_OUTCOMES = ("allowed", "denied", "warned", "audited")
_DECISIONS = Counter(
    "chronos_policy_decisions",
    "Times that a stored policy had something to say, by what that was.",
    ["policy", "outcome"],
)
QUESTIONS = Counter("chronos_policy_questions", "Operations that were judged by the stored policies.")
STORED = Gauge("chronos_policy_stored", "Policies that are stored.")
UNREADABLE = Gauge(
    "chronos_policy_unreadable", "Enabled policies that this release cannot read: they refuse what they apply to."
)


def count_decision(decision: Decision) -> None:
    """Counts a decision of stored policies: once for each policy and what it did."""
    QUESTIONS.inc()
    said = {(result.policy_id, "denied") for result in decision.violations}
    said |= {(result.policy_id, "warned") for result in decision.warnings}
    said |= {(result.policy_id, "audited") for result in decision.audited}
    if decision.allowed_by is not None:
        said.add((decision.allowed_by.policy_id, "allowed"))
    for labels in said:
        _DECISIONS.labels(*labels).inc()


def forget(policy_ids: Collection[str]) -> None:
    """Drops what was counted for policies that are gone, so that there are only as many labels as policies."""
    for policy_id in policy_ids:
        for outcome in _OUTCOMES:
            _DECISIONS.remove(policy_id, outcome)
