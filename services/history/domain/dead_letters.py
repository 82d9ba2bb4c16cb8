"""Which executions are dead letters: deliveries that failed for good, one for each piece of work.

An execution that ended FAILED, TIMED_OUT or LOST becomes a dead letter as it ends. It is none any more once its real
end turns out to be another one. A replay that fails adds no letter while that of the work it repeats is open; a replay
that succeeds settles it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from services.history.domain.moments import LAST_US
from services.history.domain.records import Record, Status

DEAD = frozenset({Status.FAILED, Status.TIMED_OUT, Status.LOST})
"""Ends after which somebody has to look."""
ALIVE = frozenset({Status.SUCCESS, Status.CANCELLED})
"""Known ends that take a LOST one's letter away, and any letter when they are settled."""
REPLAY = 5
"""The number of the cause REPLAY."""
MOST_REPLAYS = 100
"""Replays of replays that are followed back to the first execution."""

_status_of, _cause_of, _is_settled = attrgetter("status"), attrgetter("cause"), attrgetter("is_settled")


class DeadLetter(NamedTuple):
    """A failed delivery as it is kept. It died when its record was completed, which is always set."""

    record: Record
    replayed_by: bytes = b""
    """The execution that repeated it and succeeded. Empty while it is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Some dead letters of a namespace. What is empty leaves nothing out."""

    namespace: str
    job_id: str = ""
    statuses: frozenset[int] = field(default_factory=frozenset)
    reason_codes: frozenset[int] = field(default_factory=frozenset)
    ids: tuple[bytes, ...] = ()
    from_us: int = 0
    """Died at or after this moment."""
    to_us: int = LAST_US + 1
    """Died before this moment."""
    with_replayed: bool = False
    """Whether those count that a replay has settled."""

    def holds(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is one of them."""
        record = letter.record
        return (
            record.namespace == self.namespace
            and self.job_id in ("", record.job_id)
            and (not self.statuses or record.status in self.statuses)
            and (not self.reason_codes or record.reason_code in self.reason_codes)
            and (not self.ids or record.id in self.ids)
            and self.from_us <= (record.completed_us or 0) < self.to_us
            and (self.with_replayed or not letter.replayed_by)
        )


class Ends(NamedTuple):
    """Ids of the executions of which records tell an end that may concern dead letters; some ends may not count."""

    dead: Sequence[bytes] = ()
    alive: Sequence[bytes] = ()
    replays: Sequence[bytes] = ()
    """Those that repeat another execution, and died or succeeded."""


NO_ENDS = Ends()


def ends_of(records: Sequence[Record], *, with_alive: bool) -> Ends:
    """The ends that records tell; `alive` has only settled ones unless all are asked for."""
    is_any_dead = not DEAD.isdisjoint(map(_status_of, records))
    is_any_replay = REPLAY in map(_cause_of, records)
    is_any_settled = 1 in map(_is_settled, records)
    if not (is_any_dead or is_any_replay or is_any_settled or with_alive):
        return NO_ENDS
    return Ends(
        dead=[record.id for record in records if record.status in DEAD],
        alive=[record.id for record in records if record.status in ALIVE and (with_alive or record.is_settled)],
        replays=[
            record.id
            for record in records
            if record.cause == REPLAY and (record.status in DEAD or record.status == Status.SUCCESS)
        ],
    )
