"""An execution as the ledger keeps it."""

from collections.abc import Collection, Sequence
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
    CANCELLED = 7
    LOST = 8


FIRST_FINAL = int(Status.SUCCESS)
ACCEPTED = 16
"""The reason code of one that is under way at its target, which is to tell how it ends."""


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
    definition_id: bytes = b""
    """Of the Definition that it was first delivered with. Empty while it was not."""
    dispatcher: str = ""
    reason_code: int = 0
    claimant: str = ""
    """Who has claimed it. Empty while nobody has."""
    skipped_until_us: int | None = None
    """The last of the runs that it stands for; None for a single one."""
    details: bytes = b""
    """What few executions have, encoded; opaque here."""
    is_settled: int = 0
    """Whether its end was put down for a run that its target had accepted: it stands above what deliveries tell."""

    @property
    def is_final(self) -> bool:
        """Whether it has ended, as far as anybody knows."""
        return self.status >= FIRST_FINAL


class Change(NamedTuple):
    """A record after a change, with its place in the order of all changes."""

    seq: int
    record: Record


class Definition(NamedTuple):
    """How a version of a job is delivered. Request and job are encoded, and opaque here."""

    id: bytes
    request: bytes
    job: bytes


class Batch(NamedTuple):
    """What one sender tells at once."""

    records: Sequence[Record]
    claims: Collection[int] = frozenset()
    """Places in `records` of those that are claims: they count only when nobody else has begun the execution."""
    definitions: Sequence[Definition] = ()


class Refused(NamedTuple):
    """The ids of a batch's records of which nothing was recorded."""

    stale: frozenset[bytes] = frozenset()
    """Starts of an owner whose shard has been taken over since."""
    claimed: frozenset[bytes] = frozenset()
    """Claims on what somebody else has begun, or what has ended."""


NOTHING_REFUSED = Refused()
