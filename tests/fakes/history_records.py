"""Records to test with."""

import uuid

from services.history.domain.records import Record, Status


def execution_id(number: int) -> bytes:
    return uuid.UUID(int=number).bytes


def record(number: int = 1, status: Status = Status.SUCCESS, **changes: object) -> Record:
    """A plausible record, due `number` seconds after 1970, in epoch 7 of shard 3."""
    plain = Record(
        id=execution_id(number),
        namespace="default",
        job_id="report",
        job_uid="6e1c0f0e",
        job_name="Report",
        job_version=1,
        cause=1,
        scheduled_us=1_000_000 * number,
        started_us=None if status == Status.PENDING else 1_000_000 * number + 10,
        completed_us=1_000_000 * number + 500 if status >= Status.SUCCESS else None,
        status=int(status),
        attempt_count=0 if status == Status.PENDING else 1,
        status_code=200 if status == Status.SUCCESS else 0,
        response="done",
        is_response_truncated=0,
        error="",
        reason="",
        attempts=b"one",
        delivery=1,
        trace_id="ab" * 16,
        shard=3,
        epoch=7,
    )
    return plain._replace(**changes)  # type: ignore[arg-type]
