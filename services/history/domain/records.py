"""An execution as the ledger keeps it."""

from enum import IntEnum
from typing import NamedTuple


class Status(IntEnum):
    """Where an execution is in its life. The numbers are stored, and rise with progress up to the first final one."""

    PENDING = 1
    RUNNING = 2
    SUCCESS = 3
    FAILED = 4
    SKIPPED = 5
    TIMED_OUT = 6


FIRST_FINAL = int(Status.SUCCESS)


class Record(NamedTuple):
    """All that is known of one execution.

    A tuple of plain values, since tens of thousands of them a second go into SQL as they are. Times are microseconds
    since 1970, None while unset; `status` is a number of Status.
    """

    id: bytes
    """The 16 bytes of the UUID."""
    namespace: str
    job_id: str
    job_uid: str
    job_name: str
    job_version: int
    cause: int
    scheduled_us: int
    started_us: int | None
    completed_us: int | None
    status: int
    attempt_count: int
    status_code: int
    response: str
    is_response_truncated: int
    error: str
    reason: str
    attempts: bytes
    """The attempts, encoded; opaque here. Empty where they were not asked for."""
    delivery: int
    trace_id: str
    shard: int
    epoch: int

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to it."""
        return self.status >= FIRST_FINAL


class Change(NamedTuple):
    """A record after a change, with its place in the order of all changes."""

    seq: int
    record: Record
