"""The shards that this replica owns, and what of their firing is not yet in the ledger."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.scheduler.domain.occurrence import FiringJob

MOST_SETTLED = 10_000


def marker_of(execution_id: str) -> str:
    """What stands in `OwnedShard.unrecorded` until the follow-up of a run is durable."""
    return f"{execution_id}/followup"


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many things a queue holds that are to be written somewhere, and how many it was rid of so far."""

    waiting: int
    written: int


class OwnedShard:
    """One shard under one epoch. Moments are Unix microseconds.

    Everything up to `horizon_us` was fired; of that, `unrecorded` is not in the ledger yet. `recorded` are ids that
    an earlier owner got recorded past its watermark. `triggers` are promised runs that were taken up: those whose keys
    are still in etcd, and the last ones that were settled, which a listing under way may still show. `cancels` are
    executions that somebody wants stopped, `completions` those whose targets have told their end. `broken` are jobs
    whose schedule cannot be read, with the calendars that they name. The owner before may have known nothing of changes
    after `unseen_us`. `buried` are deleted jobs (namespace, id, uid) that left a tombstone, and when they were deleted.
    Only while `is_open` does it fire.
    """

    __slots__ = (
        "_reached_us",
        "_settled",
        "broken",
        "buried",
        "cancels",
        "completions",
        "epoch",
        "horizon_us",
        "is_open",
        "jobs",
        "recorded",
        "shard",
        "triggers",
        "unrecorded",
        "unseen_us",
        "written_us",
    )

    def __init__(self, shard: int, epoch: int, watermark_us: int, *, unseen_us: int | None = None) -> None:
        self.shard = shard
        self.epoch = epoch
        self.horizon_us = watermark_us
        self.written_us = watermark_us
        self.unseen_us = watermark_us if unseen_us is None else unseen_us
        self.unrecorded: dict[str, int] = {}
        self.recorded: set[str] = set()
        self.triggers: set[str] = set()
        self.cancels: set[str] = set()
        self.completions: set[str] = set()
        self.broken: dict[tuple[str, str], tuple[str, ...]] = {}
        self.jobs: dict[tuple[str, str], FiringJob] = {}
        self.buried: dict[tuple[str, str, str], int] = {}
        self.is_open = False
        self._reached_us = watermark_us
        self._settled: dict[str, None] = {}

    def settle_trigger(self, execution_id: str) -> bool:
        """Notes that a promised run is recorded; says whether its key is now to be deleted."""
        if execution_id not in self.triggers or execution_id in self._settled:
            return False
        self._settled[execution_id] = None
        if len(self._settled) > MOST_SETTLED:
            oldest = next(iter(self._settled))
            del self._settled[oldest]
            self.triggers.discard(oldest)
        return True

    @property
    def reached_us(self) -> int:
        """Where firing has ever come, whatever was found since that is due before."""
        return max(self._reached_us, self.horizon_us)

    def hold_before(self, due_us: int) -> None:
        """Keeps the watermark before something that was found to be due, until it is fired."""
        self._reached_us = self.reached_us
        self.horizon_us = min(self.horizon_us, due_us - 1)

    def watermark_us(self) -> int:
        """The latest moment up to which every occurrence is in the ledger."""
        if not self.unrecorded:
            return self.horizon_us
        return min(self.horizon_us, min(self.unrecorded.values()) - 1)


class OwnedShards:
    """All shards of this replica. `is_valid` says of (shard, epoch) whether the ownership can be relied on now."""

    def __init__(self, is_valid: Callable[[int, int], bool]) -> None:
        self._is_valid = is_valid
        self._shards: dict[int, OwnedShard] = {}

    def add(self, shard: OwnedShard) -> None:
        """From now on the shard fires."""
        shard.is_open = True
        self._shards[shard.shard] = shard

    def remove(self, shard: OwnedShard) -> None:
        """From now on nothing is known of the shard."""
        shard.is_open = False
        if self._shards.get(shard.shard) is shard:
            del self._shards[shard.shard]

    def get(self, number: int, epoch: int) -> OwnedShard | None:
        """The shard, if it is still owned under that epoch (open or being handed over)."""
        shard = self._shards.get(number)
        return shard if shard is not None and shard.epoch == epoch else None

    def trusted(self) -> dict[int, OwnedShard]:
        """The shards that may fire at this instant."""
        return {number: shard for number, shard in self._shards.items() if shard.is_open and self.is_trusted(shard)}

    def find_trusted(self, number: int) -> OwnedShard | None:
        """The shard, if it may fire at this instant."""
        shard = self._shards.get(number)
        return shard if shard is not None and shard.is_open and self.is_trusted(shard) else None

    def is_trusted(self, shard: OwnedShard) -> bool:
        """Whether the ownership can be relied on at this instant."""
        return self._is_valid(shard.shard, shard.epoch)

    def __iter__(self) -> Iterator[OwnedShard]:
        return iter(list(self._shards.values()))

    def __len__(self) -> int:
        return len(self._shards)
