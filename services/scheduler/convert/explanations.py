"""From and to the messages of explanations."""

from datetime import datetime

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import run_service_pb2

from services.scheduler.convert.firing import instant
from services.scheduler.domain.evidence import Account, Case
from services.scheduler.domain.explaining import Explanation, Verdict

Execution = execution_pb2.Execution
Response = run_service_pb2.ExplainJobResponse
VERDICTS = {
    Verdict.RAN: Response.RAN,
    Verdict.SKIPPED: Response.SKIPPED,
    Verdict.NOT_DUE: Response.NOT_DUE,
    Verdict.DISABLED: Response.DISABLED,
    Verdict.NOT_THERE: Response.NOT_THERE,
    Verdict.NOT_YET: Response.NOT_YET,
    Verdict.PENDING: Response.PENDING,
    Verdict.UNKNOWN: Response.UNKNOWN,
    Verdict.REMOVED: Response.REMOVED,
}


def account_of(execution: execution_pb2.Execution) -> Account:
    """What the ledger has about a run."""
    return Account(
        status=Execution.Status.Name(execution.status),
        cause=Execution.Cause.Name(execution.cause),
        scheduled_at=instant(execution.scheduled_time),
        started_at=_moment(execution, "started_at"),
        completed_at=_moment(execution, "completed_at"),
        reason_code=Execution.Reason.Name(execution.reason_code) if execution.reason_code else "",
        reason=execution.reason,
        error=execution.error,
        status_code=execution.status_code,
        attempts=execution.attempt_count,
        skipped_count=execution.skipped_count,
        skipped_until=_moment(execution, "skipped_until"),
        actor=execution.actor,
    )


def explanation_message(
    explanation: Explanation, case: Case, execution: execution_pb2.Execution | None
) -> run_service_pb2.ExplainJobResponse:
    """The answer of ExplainJob."""
    message = Response(
        verdict=VERDICTS[explanation.verdict],
        summary=explanation.summary,
        facts=explanation.facts,
        execution=execution,
        job_version=case.in_force.number if case.in_force is not None and case.in_force.is_certain else 0,
    )
    if case.previous is not None:
        message.previous_run.FromDatetime(case.previous)
    if case.following is not None:
        message.next_run.FromDatetime(case.following)
    return message


def _moment(execution: execution_pb2.Execution, name: str) -> datetime | None:
    return instant(getattr(execution, name)) if execution.HasField(name) else None  # type: ignore[arg-type]
