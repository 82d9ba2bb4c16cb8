"""The statements that write records. Each runs inside a transaction that holds the ledger's row; see `begin`."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from libs.faults import Unavailable, WrongState
from services.history.adapters.postgres import dead_letters, partitions
from services.history.adapters.postgres.reading import WHOLE, select
from services.history.adapters.postgres.schema import COLUMNS
from services.history.adapters.postgres.session import Session
from services.history.adapters.reasons import LEDGER_CORRUPT
from services.history.domain.admission import admit, claimed_ids
from services.history.domain.records import Batch, Record, Refused, Status
from services.history.domain.transitions import coalesce

ROWS_A_STATEMENT = 500
"""Encoding more at once would hold up the event loop."""

_NAMES = ", ".join(COLUMNS)
_ARRAYS = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate((*COLUMNS.values(), "bigint"), start=1))
_RESPONSE, _ERROR = (tuple(COLUMNS).index(name) for name in ("response", "error"))
_TEXTS = tuple(place for place, kind in enumerate(COLUMNS.values()) if kind == "text")

# services/history/domain/transitions.py, `supersedes` and `advance`, in SQL. The contract suite holds the two together.
# PostgreSQL's least() and greatest() pass over what is null.
_TELL = f"""
INSERT INTO executions AS old ({_NAMES}, seq) SELECT * FROM unnest({_ARRAYS})
ON CONFLICT (id) DO UPDATE SET
    started_us = least(old.started_us, excluded.started_us),
    completed_us = excluded.completed_us,
    status = CASE WHEN excluded.status >= 3 THEN excluded.status ELSE greatest(old.status, excluded.status) END,
    attempt_count = greatest(old.attempt_count, excluded.attempt_count),
    status_code = excluded.status_code,
    response = excluded.response,
    is_response_truncated = excluded.is_response_truncated,
    error = excluded.error,
    reason = excluded.reason,
    attempts = CASE WHEN old.attempt_count > excluded.attempt_count THEN old.attempts ELSE excluded.attempts END,
    delivery = greatest(old.delivery, excluded.delivery),
    epoch = greatest(old.epoch, excluded.epoch),
    reason_code = excluded.reason_code,
    definition_id = CASE WHEN old.definition_id = '' THEN excluded.definition_id ELSE old.definition_id END,
    claimant = CASE WHEN excluded.claimant = '' THEN old.claimant ELSE excluded.claimant END,
    dispatcher = CASE WHEN excluded.dispatcher = '' THEN old.dispatcher ELSE excluded.dispatcher END,
    skipped_until_us = excluded.skipped_until_us,
    details = CASE WHEN excluded.details = '' THEN old.details ELSE excluded.details END,
    is_settled = excluded.is_settled,
    seq = excluded.seq
WHERE CASE
    WHEN excluded.is_settled = 1 THEN old.status <> 3 AND old.is_settled = 0 AND old.skipped_until_us IS NULL
    WHEN old.status < 3 THEN
        excluded.status = 3
        OR excluded.delivery > old.delivery
        OR excluded.delivery = old.delivery AND (
            excluded.status > old.status
            OR excluded.attempt_count > old.attempt_count
            OR excluded.attempt_count = old.attempt_count AND excluded.reason_code = 16 AND old.reason_code <> 16
        )
    ELSE excluded.status IN (3, 4, 6, 7) AND (
        old.status = 8 AND excluded.delivery <= old.delivery OR old.status = 5 AND old.skipped_until_us IS NULL
    )
END
"""


@dataclass(slots=True, kw_only=True)
class Known:
    """What a writer remembers of the tables as of a version of the ledger's row. Forget it when a transaction fails."""

    version: int = -1
    first_day: int = 0
    days: set[int] = field(default_factory=set)
    epochs: dict[int, int] = field(default_factory=dict)
    has_lost: bool = False
    """Whether there may be dead letters of LOST executions, which their real end takes away."""

    def forget(self) -> None:
        """Read everything again at the next transaction."""
        self.version = -1


async def begin(session: Session, known: Known, count: int = 0) -> int:
    """Takes the writers' turn, refreshes what is known, and gives the first of `count` new places in the order.

    The row is locked until the end of the transaction. Later statements see all that was committed before that.
    """
    row = await session.row("UPDATE ledger SET seq = seq + $1 RETURNING seq, version, first_day", count)
    if row is None:
        raise Unavailable(
            "The ledger's database has lost its row in `ledger`; restore it from a backup.", reason=LEDGER_CORRUPT
        )
    last, version, first_day = row
    if version != known.version:
        known.days = {each[0] for each in await session.rows("SELECT day FROM partitions")}
        known.epochs = dict(map(tuple, await session.rows("SELECT shard, epoch FROM seals")))
        known.has_lost = bool(await session.value(dead_letters.HAS_LOST))
        known.version, known.first_day = version, first_day
    return int(last) - count + 1


class Taken(NamedTuple):
    """What came of batches."""

    refused: list[Refused]
    """Of each batch."""
    records: Sequence[Record]
    """What was taken of all."""
    died: Sequence[int]
    """The statuses of the new dead letters."""


async def take(session: Session, known: Known, batches: Sequence[Batch], now_us: int) -> Taken:
    """Records batches in their order."""
    seq = first_seq = await begin(session, known, sum(len(batch.records) for batch in batches))
    claimed = await _stored(session, claimed_ids(batches))
    refused: list[Refused] = []
    fresh: list[Record] = []
    for batch in batches:
        taken, not_taken = admit(batch, known.epochs, claimed)
        fresh += taken
        refused.append(not_taken)
    joined = coalesce(fresh)
    await _ensure_partitions(session, known, joined, now_us)
    for part in _parts(joined):
        await _tell(session, part, seq)
        seq += len(part)
    died = await dead_letters.follow(session, joined, first_seq, has_lost=known.has_lost)
    if Status.LOST in died and not known.has_lost:
        await session.execute("UPDATE ledger SET version = version + 1")
    return Taken(refused, joined, died)


async def seal(session: Session, known: Known, shard: int, epoch: int) -> None:
    """Begins an epoch of a shard. Raises WrongState when a newer one is sealed."""
    await begin(session, known)
    sealed = known.epochs.get(shard, 0)
    if sealed > epoch:
        raise WrongState(
            f"Epoch {epoch} of shard {shard} is over: epoch {sealed} is sealed; give the shard up.",
            reason="EPOCH_SEALED",
            metadata={"shard": str(shard), "epoch": str(epoch), "sealed_epoch": str(sealed)},
        )
    if sealed < epoch:
        await session.execute(
            "INSERT INTO seals VALUES ($1, $2) ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch", shard, epoch
        )
        await session.execute("UPDATE ledger SET version = version + 1")


def without_nul(batch: Batch) -> Batch:
    """The batch with U+FFFD for U+0000 in what names things: PostgreSQL cannot store that, and no name needs it."""

    def clean(record: Record) -> Record:
        values: list[Any] = list(record)
        for place in _TEXTS:
            values[place] = values[place].replace("\0", "\ufffd")
        return Record._make(values)

    return batch._replace(records=[clean(record) for record in batch.records])


async def _tell(session: Session, records: Sequence[Record], seq: int) -> None:
    columns: list[Sequence[object]] = list(zip(*records, strict=True))
    columns[_RESPONSE] = [record.response.encode() for record in records]
    columns[_ERROR] = [record.error.encode() for record in records]
    await session.execute(_TELL, *columns, range(seq, seq + len(records)))


async def _ensure_partitions(session: Session, known: Known, records: Sequence[Record], now_us: int) -> None:
    wanted = partitions.wanted_days(records, now_us // partitions.DAY_US)
    missing = {day for day in wanted if known.first_day <= day < partitions.LAST_DAY} - known.days
    if missing:
        await partitions.create_days(session, sorted(missing))
        known.forget()


async def _stored(session: Session, ids: Collection[bytes]) -> dict[bytes, Record | None]:
    """What is stored of some executions, None for those that are not."""
    found: dict[bytes, Record | None] = dict.fromkeys(ids)
    if ids:
        records = await select(session, "executions WHERE id = ANY($1::uuid[])", list(ids), columns=WHOLE)
        found.update((record.id, record) for record in records)
    return found


def _parts(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """The records in their order, in parts: one statement cannot change a row twice."""
    part: list[Record] = []
    ids: set[bytes] = set()
    for record in records:
        if len(part) >= ROWS_A_STATEMENT or record.id in ids:
            yield part
            part, ids = [], set()
        part.append(record)
        ids.add(record.id)
    if part:
        yield part
