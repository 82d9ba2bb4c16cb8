"""Executions as dispatchers send them."""

import uuid
from collections.abc import AsyncIterator, Iterable

from chronos.history.v1.execution_pb2 import Attempt, Execution, Request
from chronos.history.v1.ledger_service_pb2 import Definition, ExecutionRecord, RecordRequest

MINUTE_US = 60_000_000
START_US = 1_767_225_600_000_000


def id_of(number: int) -> str:
    return str(uuid.UUID(int=number))


def told(number: int, status: "Execution.Status.ValueType" = Execution.SUCCESS, **changes: object) -> ExecutionRecord:
    """A record of the execution that is due `number` minutes after the start of 2026."""
    execution = Execution(
        id=id_of(number),
        namespace="default",
        job_id="report",
        job_uid="u-1",
        job_name="Report",
        job_version=1,
        cause=Execution.SCHEDULE,
        status=status,
        attempt_count=1,
        delivery=1,
        response="done",
        attempts=[Attempt(number=1, status_code=200)],
    )
    execution.scheduled_time.FromMicroseconds(START_US + number * MINUTE_US)
    execution.started_at.FromMicroseconds(START_US + number * MINUTE_US + 1_000)
    if status not in (Execution.PENDING, Execution.RUNNING):
        execution.completed_at.FromMicroseconds(START_US + number * MINUTE_US + 21_000)
    for name, value in changes.items():
        setattr(execution, name, value)
    return ExecutionRecord(execution=execution, shard=3, epoch=7)


def delivered(number: int, **changes: object) -> ExecutionRecord:
    """A record that tells how it was delivered."""
    record = told(number, **changes)  # type: ignore[arg-type]
    headers = {"Content-Type": "application/json", "Authorization": "********"}
    request = Request(method="POST", url="https://example.com", headers=headers, body='{"run": "{{.ExecutionID}}"}')
    record.definition_id = b"d" * 16
    record.definition.CopyFrom(Definition(request=request, job=b"job"))
    return record


async def requests(*batches: Iterable[ExecutionRecord]) -> AsyncIterator[RecordRequest]:
    for number, batch in enumerate(batches, start=1):
        yield RecordRequest(batch=number, records=batch)
