"""What is known of an execution, as the ledger takes it."""

from chronos.history.v1 import execution_pb2, ledger_service_pb2

from services.dispatcher.domain.execution import Attempt, Cause, Ending, Origin, Progress, Reason, Status
from services.dispatcher.held import Held, Stage
from services.dispatcher.protobuf_times import write_moment, write_span

Execution = execution_pb2.Execution
STATUSES = {status: Execution.Status.Value(status.name) for status in Status}
CAUSES = {
    cause: Execution.Cause.Value("CAUSE_UNSPECIFIED" if cause is Cause.UNSPECIFIED else cause.name) for cause in Cause
}
REASONS = {
    reason: Execution.Reason.Value("REASON_UNSPECIFIED" if reason is Reason.NONE else reason.name) for reason in Reason
}


def write_record(held: Held, record: ledger_service_pb2.ExecutionRecord, *, claimant: str) -> None:
    """Writes what is known of an execution now into an empty record: tens of thousands a second are not copied.

    `claimant` names this process where the record is a claim.
    """
    delivery, progress = held.delivery, held.progress
    if delivery.plan.facts:
        record.MergeFromString(delivery.plan.facts)
    record.shard, record.epoch = delivery.shard, delivery.epoch
    if held.stage is Stage.CLAIMING:
        record.is_claim, record.claimant = True, claimant
    execution = record.execution
    execution.id = delivery.execution_id
    execution.cause = CAUSES[delivery.cause]
    execution.status = STATUSES[progress.status]
    execution.attempt_count = progress.begun_count
    execution.delivery = delivery.delivery
    execution.trace_id = delivery.trace_id
    write_moment(delivery.scheduled_time, execution.scheduled_time)
    if delivery.origin is not None:
        _write_origin(delivery.origin, execution)
    _write_progress(progress, execution)


def write_attempt(attempt: Attempt, message: execution_pb2.Attempt) -> None:
    """Writes an attempt that ended."""
    message.number = attempt.number
    message.status_code = attempt.status_code
    message.error = attempt.error
    write_moment(attempt.started_at, message.started_at)
    write_span(attempt.duration, message.duration)
    if attempt.retry_at is not None:
        write_moment(attempt.retry_at, message.retry_at)


def _write_progress(progress: Progress, execution: execution_pb2.Execution) -> None:
    if progress.started_at is not None:
        write_moment(progress.started_at, execution.started_at)
    if progress.completed_at is not None:
        write_moment(progress.completed_at, execution.completed_at)
        write_span(progress.completed_at - (progress.started_at or progress.completed_at), execution.duration)
    if (verdict := progress.verdict) is not None:
        execution.status_code = verdict.status_code
        execution.response = verdict.response
        execution.is_response_truncated = verdict.is_response_truncated
    for attempt in progress.attempts:
        write_attempt(attempt, execution.attempts.add())
    if progress.attempts:
        execution.error = progress.attempts[-1].error
    if progress.complete_by is not None:
        write_moment(progress.complete_by, execution.complete_by)
    if progress.ending is not None:
        _write_ending(progress, progress.ending, execution)


def _write_ending(progress: Progress, ending: Ending, execution: execution_pb2.Execution) -> None:
    execution.reason = ending.reason
    execution.reason_code = REASONS[ending.code]
    if progress.status not in (Status.CANCELLED, Status.RUNNING):
        execution.error = ending.reason or execution.error


def _write_origin(origin: Origin, execution: execution_pb2.Execution) -> None:
    execution.actor = origin.actor
    execution.replay_of = origin.replay_of
    execution.parent_execution_ids.extend(origin.parent_execution_ids)
