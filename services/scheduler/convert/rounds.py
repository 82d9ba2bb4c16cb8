"""Between what is stored of dependencies and the values of domain/rounds.py."""

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, run_rules_pb2, stored_job_pb2

from services.scheduler.convert.firing import instant
from services.scheduler.domain.identity import microseconds, moment_of
from services.scheduler.domain.rounds import Condition, Decision, End, Rounds, Rule, Waived, decided_id

Execution = execution_pb2.Execution
TIMEOUT_US = 86_400_000_000
CONDITIONS = {
    run_rules_pb2.Dependencies.CONDITION_UNSPECIFIED: Condition.ALL_SUCCESS,
    run_rules_pb2.Dependencies.ALL_SUCCESS: Condition.ALL_SUCCESS,
    run_rules_pb2.Dependencies.ALL_COMPLETE: Condition.ALL_COMPLETE,
    run_rules_pb2.Dependencies.ANY_SUCCESS: Condition.ANY_SUCCESS,
    run_rules_pb2.Dependencies.ANY_COMPLETE: Condition.ANY_COMPLETE,
}
PAUSED = "the job was disabled when the jobs that it depends on had ended"


def rule_of(job: job_pb2.Job) -> Rule:
    """When the job is to run after others."""
    stored = job.dependencies
    timeout_us = stored.timeout.ToMicroseconds() if stored.HasField("timeout") else TIMEOUT_US
    return Rule(parents=frozenset(stored.depends_on), condition=CONDITIONS[stored.condition], timeout_us=timeout_us)


def end_of(signal: stored_job_pb2.StoredSignal) -> End:
    """The news that a run has ended."""
    return End(
        parent=signal.parent_id,
        execution_id=signal.execution_id,
        is_success=signal.status == Execution.SUCCESS,
        outcome=Execution.Status.Name(signal.status),
        ended_us=microseconds(instant(signal.time)),
    )


def rounds_of(stored: stored_job_pb2.StoredRound, job_uid: str) -> Rounds:
    """What the job has heard; nothing if it was another job of the same id that heard it."""
    if stored.job_uid != job_uid:
        return Rounds()
    return Rounds(
        ends=tuple(map(end_of, stored.signals)),
        waived=tuple(
            Waived(parent=waived.parent_id, until_us=microseconds(instant(waived.until)))
            for waived in stored.waived_ends
        ),
        seen=tuple(stored.seen_execution_ids),
    )


def stored_rounds(rounds: Rounds, job_uid: str) -> stored_job_pb2.StoredRound:
    """What is kept of it; an empty message when there is nothing."""
    if rounds == Rounds():
        return stored_job_pb2.StoredRound()
    stored = stored_job_pb2.StoredRound(job_uid=job_uid, seen_execution_ids=rounds.seen)
    for end in rounds.ends:
        signal = stored.signals.add(
            parent_id=end.parent, execution_id=end.execution_id, status=Execution.Status.Value(end.outcome)
        )
        signal.time.FromDatetime(moment_of(end.ended_us))
    for waived in rounds.waived:
        stored.waived_ends.add(parent_id=waived.parent).until.FromDatetime(moment_of(waived.until_us))
    return stored


def trigger_of(job: job_pb2.Job, decision: Decision) -> stored_job_pb2.StoredTrigger:
    """The run that a decision is about, to be fired or to be explained."""
    trigger = stored_job_pb2.StoredTrigger(
        execution_id=decided_id(job.uid, decision),
        namespace=job.namespace,
        job_id=job.id,
        job_uid=job.uid,
        cause=Execution.DEPENDENCY,
        parent_execution_ids=sorted(end.execution_id for end in decision.ends),
    )
    trigger.time.FromDatetime(moment_of(decision.at_us))
    if not decision.is_fired:
        trigger.skip_reason, trigger.skip_code = decision.reason, Execution.DEPENDENCY_FAILED
    elif not job.enabled:
        trigger.skip_reason, trigger.skip_code = PAUSED, Execution.PAUSED
    return trigger
