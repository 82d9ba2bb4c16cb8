"""What the use cases need from a store. One contract suite proves every adapter."""

from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.history.domain.dead_letters import Choice, DeadLetter
from services.history.domain.decisions import Decision, DecisionChoice
from services.history.domain.moments import LAST_US
from services.history.domain.records import Batch, Change, Definition, Record, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What the new owner of a shard must know."""

    unfinished: tuple[Record, ...]
    """Executions of the shard without a final status, with their attempts, without responses."""
    recorded_ids: tuple[bytes, ...]
    """Executions of the shard whose scheduled time is after the watermark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in the order of changes of one ledger."""

    ledger_id: str
    """Random, fixed when the ledger was created."""
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionQuery:
    """Which executions to list, newest scheduled time first."""

    namespace: str
    job_id: str = ""
    """Empty means all jobs."""
    statuses: frozenset[int] = field(default_factory=frozenset)
    """Empty means all."""
    after: tuple[int, bytes] | None = None
    """Scheduled time and id of the last one of the page before."""
    from_us: int = 0
    """Scheduled at or after this moment."""
    to_us: int = LAST_US + 1
    """Scheduled before this moment."""
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which executions to find: of a job, with these ids, or both. One of the two is given."""

    namespace: str
    job_id: str = ""
    ids: tuple[bytes, ...] = ()
    from_us: int = 0
    """Scheduled at or after this moment."""
    to_us: int = LAST_US + 1
    """Scheduled before this moment."""
    with_stretches: bool = False
    """Whether one that stands for several runs counts when the last of them is at or after `from_us`."""
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of the executions that a query asks for, without attempts."""

    records: tuple[Record, ...]
    next: tuple[int, bytes] | None
    """Where the next page continues; None at the end. A page may hold less than asked for, and still have a next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterQuery:
    """Which dead letters to list, the last to die first."""

    choice: Choice
    after: tuple[int, bytes] | None = None
    """When the last one of the page before died, and its id."""
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionQuery:
    """Which decisions of policies to list, newest first."""

    choice: DecisionChoice
    after: tuple[int, bytes] | None = None
    """When the last one of the page before was taken, and its id."""
    limit: int


class Ledger(Protocol):
    """The writing side. Each method is atomic, and durable once it has answered.

    Raises Unavailable, with reason LEDGER_FULL, LEDGER_CORRUPT or LEDGER_ERROR, when nothing could be written.
    """

    def take(self, batch: Batch) -> "Future[Refused]":
        """Records what is known; gives the ids of what was refused, of which nothing was recorded. Dead letters come
        and go with the ends of their executions, in the same transaction: see domain/dead_letters.py.

        Queued at the call, so that calls take effect in their order. Taking the same again changes nothing. Claims are
        decided one by one, in the order of the records. Of each definition the first telling stays.
        """

    async def seal(self, shard: int, epoch: int, watermark_us: int) -> Seal:
        """Begins an epoch of a shard, after everything taken before the call. Idempotent.

        Raises WrongState when a newer epoch is sealed.
        """

    async def expire(self, before_us: int, limit: int) -> int:
        """Deletes up to `limit` finished executions scheduled before a moment; gives how many, 0 when none is left.

        A store that keeps whole days apart may delete such a day at once, whatever the limit, and may keep what was due
        on the day of the moment itself until that day is over.
        """

    async def sweep(self, before_us: int, limit: int) -> int:
        """Deletes up to `limit` definitions that no execution and no dead letter refers to any more; gives how many, 0
        when none is left.

        Call it once `expire` finds nothing before that moment. One that was in use since then may stay for now.
        """

    async def delete_dead_letters(self, choice: Choice, limit: int) -> int:
        """Deletes up to `limit` dead letters; gives how many, 0 when none is left. Their executions stay."""

    async def expire_dead_letters(self, before_us: int, most: int, limit: int) -> int:
        """Deletes up to `limit` dead letters that died before a moment, or of which a namespace has more than `most`
        that died later; gives how many, 0 when none is left.
        """

    async def record_decisions(self, decisions: Sequence[Decision]) -> frozenset[bytes]:
        """Accounts for decisions of policies, whose ids differ; gives the ids of those that are new.

        One whose id is known already changes nothing.
        """

    async def expire_decisions(self, before_us: int, limit: int) -> int:
        """Deletes up to `limit` decisions from before a moment, the oldest of a namespace first; gives how many, 0 when
        none is left.
        """

    async def probe(self) -> None:
        """Writes and deletes a little: returns when writing works."""


class Archive(Protocol):
    """The reading side. Sees what has been committed. Raises Unavailable like Ledger."""

    async def find(self, namespace: str, execution_id: bytes) -> Record | None:
        """The execution with its attempts; None when the namespace has no such one."""

    async def page(self, query: ExecutionQuery) -> Page:
        """The next page of a list."""

    async def search(self, search: Search) -> list[Record]:
        """The newest that a search asks for, newest scheduled time first, with their attempts, without responses."""

    async def definitions(self, ids: Sequence[bytes]) -> Mapping[bytes, Definition]:
        """Those of these definitions that are known, by id."""

    async def dead_letters(self, query: DeadLetterQuery) -> list[DeadLetter]:
        """Up to `limit` dead letters, with their attempts, the last to die first."""

    async def count_dead_letters(self, choice: Choice | None = None) -> Mapping[int, int]:
        """How many of them there are of each status that there is. None means all open ones, of every namespace."""

    async def decisions(self, query: DecisionQuery) -> list[Decision]:
        """Up to `limit` decisions, newest first. Which policies spoke is told in their content, not in `policy_ids`."""

    async def position(self) -> Position:
        """Where the order of changes stands now."""

    async def changes(self, after_seq: int, limit: int) -> list[Change]:
        """The executions that changed after a place, in that order, without attempts; each only after its last change.

        Fewer than `limit` means that there were no more.
        """
