"""The account of decisions: as it is told, as callers see it, and what they ask for."""

import uuid
from collections.abc import Iterable, Iterator

from chronos.history.v1.policy_decision_pb2 import PolicyDecision
from chronos.history.v1.policy_decision_service_pb2 import ListPolicyDecisionsRequest
from chronos.policy.v1 import decision_pb2

from libs.faults import InvalidArgument
from libs.names import DEFAULT_NAMESPACE
from services.history.convert import uuid_text
from services.history.convert_queries import us_from, us_up
from services.history.domain.decisions import Decision, DecisionChoice, Outcome
from services.history.domain.moments import LAST_US

MOST_SHOWN = 100
OUTCOMES = frozenset(map(int, Outcome))


def decisions_from(messages: Iterable[PolicyDecision]) -> list[Decision]:
    """The decisions that a scheduler tells. Raises InvalidArgument for one that can never be taken."""
    return [_decision_from(message, f"decisions[{place}]") for place, message in enumerate(messages)]


def decision_messages(decisions: Iterable[Decision]) -> Iterator[PolicyDecision]:
    """Decisions as callers see them."""
    return (PolicyDecision.FromString(decision.content) for decision in decisions)


def decision_choice_from(request: ListPolicyDecisionsRequest) -> DecisionChoice:
    """Which decisions a caller chooses."""
    return DecisionChoice(
        namespace=request.namespace or DEFAULT_NAMESPACE,
        job_id=_clean(request.job_id),
        policy_id=_clean(request.policy_id),
        outcomes=frozenset(map(int, request.outcome)),
        operations=frozenset(map(int, request.operation)),
        from_us=us_from(getattr(request, "from")) if request.HasField("from") else 0,
        to_us=us_up(request.to) if request.HasField("to") else LAST_US + 1,
    )


def _decision_from(message: PolicyDecision, field: str) -> Decision:
    if not message.HasField("time"):
        raise InvalidArgument.of(f"{field}.time", "is missing; give the moment of the decision")
    if message.outcome not in OUTCOMES:
        raise InvalidArgument.of(f"{field}.outcome", f"is {message.outcome}; give one of PolicyDecision.Outcome")
    try:
        identity = uuid.UUID(message.id).bytes
    except ValueError as error:
        raise InvalidArgument.of(f"{field}.id", f'is "{message.id[:MOST_SHOWN]}", no UUID') from error
    kept = PolicyDecision()
    kept.CopyFrom(message)
    kept.id = uuid_text(identity)
    kept.namespace = message.namespace or DEFAULT_NAMESPACE
    return Decision(
        id=identity,
        namespace=_clean(kept.namespace),
        job_id=_clean(message.job_id),
        time_us=us_from(message.time),
        operation=int(message.operation),
        outcome=int(message.outcome),
        policy_ids=_policies_of(message.decision),
        content=kept.SerializeToString(),
    )


def _policies_of(decision: decision_pb2.Decision) -> tuple[str, ...]:
    """The policies that had something to say, each once."""
    spoken = [*decision.violations, *decision.warnings, *decision.audited]
    if decision.HasField("allowed_by"):
        spoken.append(decision.allowed_by)
    return tuple(dict.fromkeys(_clean(result.policy_id) for result in spoken if result.policy_id))


def _clean(text: str) -> str:
    """The text with U+FFFD for U+0000: PostgreSQL cannot store that, and no id needs it."""
    return text.replace("\0", "\ufffd")
