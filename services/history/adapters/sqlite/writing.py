"""The statements that write, each a function of a connection with a transaction open.

Rows go in by the hundred a statement: sqlite3 gives up the interpreter lock at each step of a statement and must wait
to get it back, up to milliseconds while the event loop is busy. A step a row would mean some hundred rows a second.
For the same reason rows come out as one JSON text.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

from libs.faults import WrongState
from services.history.adapters.sqlite import dead_letters
from services.history.adapters.sqlite.reading import SEALED, select, select_by_id
from services.history.adapters.sqlite.schema import COLUMNS, USUAL
from services.history.domain.admission import admit, claimed_ids
from services.history.domain.records import Batch, Record, Refused
from services.history.domain.transitions import coalesce
from services.history.ports import Seal

ROWS_A_STATEMENT = 500
PROBE_BYTES = 64 * 1024

# services/history/domain/transitions.py, `supersedes` and `advance`, in SQL. The contract suite holds the two together.
_ADVANCE = """
ON CONFLICT (id) DO UPDATE SET
    started_us = coalesce(min(started_us, excluded.started_us), started_us, excluded.started_us),
    completed_us = excluded.completed_us,
    status = CASE WHEN excluded.status >= 3 THEN excluded.status ELSE max(status, excluded.status) END,
    attempt_count = max(attempt_count, excluded.attempt_count),
    status_code = excluded.status_code,
    response = excluded.response,
    is_response_truncated = excluded.is_response_truncated,
    error = excluded.error,
    reason = excluded.reason,
    attempts = CASE WHEN attempt_count > excluded.attempt_count THEN attempts ELSE excluded.attempts END,
    delivery = max(delivery, excluded.delivery),
    epoch = max(epoch, excluded.epoch),
    reason_code = excluded.reason_code,
    definition_id = CASE WHEN definition_id = x'' THEN excluded.definition_id ELSE definition_id END,
    claimant = CASE WHEN excluded.claimant = '' THEN claimant ELSE excluded.claimant END,
    dispatcher = CASE WHEN excluded.dispatcher = '' THEN dispatcher ELSE excluded.dispatcher END,
    skipped_until_us = excluded.skipped_until_us,
    details = CASE WHEN excluded.details = x'' THEN details ELSE excluded.details END,
    is_settled = excluded.is_settled,
    seq = excluded.seq
WHERE CASE
    WHEN excluded.is_settled = 1 THEN status <> 3 AND is_settled = 0 AND skipped_until_us IS NULL
    WHEN status < 3 THEN
        excluded.status = 3
        OR excluded.delivery > delivery
        OR excluded.delivery = delivery AND (
            excluded.status > status
            OR excluded.attempt_count > attempt_count
            OR excluded.attempt_count = attempt_count AND excluded.reason_code = 16 AND reason_code <> 16
        )
    ELSE excluded.status IN (3, 4, 6, 7) AND (
        status = 8 AND excluded.delivery <= delivery OR status = 5 AND skipped_until_us IS NULL
    )
END
"""


@lru_cache(maxsize=256)
def _statement(columns: Sequence[str], rows: int) -> str:
    row = f"({','.join('?' * (len(columns) + 1))})"
    return f"INSERT INTO executions ({','.join(columns)}, seq) VALUES {','.join([row] * rows)} {_ADVANCE}"


_rest_of = itemgetter(slice(len(USUAL), None))
_NO_REST = {tuple(Record._field_defaults[column] for column in COLUMNS[len(USUAL) :])}


class Taken(NamedTuple):
    """What came of batches."""

    refused: list[Refused]
    """Of each batch."""
    records: Sequence[Record]
    """What was taken of all."""
    died: Sequence[int]
    """The statuses of the new dead letters."""


def take(connection: sqlite3.Connection, batches: Sequence[Batch]) -> Taken:
    """Records batches in their order."""
    epochs = _sealed_epochs(connection)
    claimed = _stored(connection, claimed_ids(batches))
    refused: list[Refused] = []
    fresh: list[Record] = []
    for batch in batches:
        taken, not_taken = admit(batch, epochs, claimed)
        fresh += taken
        refused.append(not_taken)
    joined = coalesce(fresh)
    return Taken(refused, joined, _write(connection, joined))


def seal(connection: sqlite3.Connection, shard: int, epoch: int, watermark_us: int) -> Seal:
    """Begins an epoch of a shard. Raises WrongState when a newer one is sealed."""
    sealed = _sealed_epochs(connection).get(shard, 0)
    if sealed > epoch:
        raise WrongState(
            f"Epoch {epoch} of shard {shard} is over: epoch {sealed} is sealed; give the shard up.",
            reason="EPOCH_SEALED",
            metadata={"shard": str(shard), "epoch": str(epoch), "sealed_epoch": str(sealed)},
        )
    if sealed < epoch:
        connection.execute("INSERT OR REPLACE INTO seals VALUES (?, ?)", (shard, epoch))
    unfinished = select(connection, "executions WHERE shard = ? AND status < 3", (shard,), columns=SEALED)
    recorded = connection.execute(
        "SELECT coalesce(group_concat(hex(id), ''), '') FROM executions WHERE shard = ? AND scheduled_us > ?",
        (shard, watermark_us),
    ).fetchone()[0]
    ids = bytes.fromhex(recorded)
    return Seal(
        unfinished=tuple(unfinished), recorded_ids=tuple(ids[start : start + 16] for start in range(0, len(ids), 16))
    )


def expire(connection: sqlite3.Connection, before_us: int, limit: int) -> int:
    """Deletes up to `limit` finished executions scheduled before a moment; gives their number."""
    deleted = 0
    for shard in _shards(connection):
        deleted += connection.execute(
            "DELETE FROM executions WHERE rowid IN (SELECT rowid FROM executions INDEXED BY executions_by_shard"
            " WHERE shard = ? AND scheduled_us < ? AND status >= 3 ORDER BY scheduled_us LIMIT ?)",
            (shard, before_us, limit - deleted),
        ).rowcount
        if deleted >= limit:
            break
    return deleted


def fill_probe(connection: sqlite3.Connection) -> None:
    """Takes some pages of the file, as new executions would."""
    connection.execute("INSERT INTO probes VALUES (zeroblob(?))", (PROBE_BYTES,))


def clear_probe(connection: sqlite3.Connection) -> None:
    """Gives the pages of probes back."""
    connection.execute("DELETE FROM probes")


def shrink(connection: sqlite3.Connection, pages: int) -> None:
    """Gives up to `pages` free pages back to the disk once a quarter of the file is free; else they are reused."""
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    if free * 4 > connection.execute("PRAGMA page_count").fetchone()[0]:
        connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()


def _write(connection: sqlite3.Connection, records: Sequence[Record]) -> Sequence[int]:
    """Writes records and their dead letters; gives the statuses of those that are new."""
    if not records:
        return ()
    turn = f"UPDATE ledger SET seq = seq + ? RETURNING seq, {dead_letters.HAS_LOST}"
    last, has_lost = connection.execute(turn, (len(records),)).fetchall()[0]
    first = last - len(records) + 1
    for start in range(0, len(records), ROWS_A_STATEMENT):
        part = records[start : start + ROWS_A_STATEMENT]
        columns = USUAL if set(map(_rest_of, part)) == _NO_REST else COLUMNS  # each column takes time
        width = len(columns)
        values = chain.from_iterable((*record[:width], first + start + place) for place, record in enumerate(part))
        connection.execute(_statement(columns, len(part)), tuple(values))
    return dead_letters.follow(connection, records, first, has_lost=bool(has_lost))


def _stored(connection: sqlite3.Connection, ids: Collection[bytes]) -> dict[bytes, Record | None]:
    """What is stored of some executions, None for those that are not."""
    found: dict[bytes, Record | None] = dict.fromkeys(ids)
    wanted = tuple(ids)
    for start in range(0, len(wanted), ROWS_A_STATEMENT):
        part = wanted[start : start + ROWS_A_STATEMENT]
        found.update((record.id, record) for record in select_by_id(connection, part))
    return found


def _shards(connection: sqlite3.Connection) -> Iterator[int]:
    shard = connection.execute("SELECT min(shard) FROM executions").fetchone()[0]
    while shard is not None:
        yield shard
        shard = connection.execute("SELECT min(shard) FROM executions WHERE shard > ?", (shard,)).fetchone()[0]


def _sealed_epochs(connection: sqlite3.Connection) -> dict[int, int]:
    text = connection.execute("SELECT json_group_object(shard, epoch) FROM seals").fetchone()[0]
    return {int(shard): epoch for shard, epoch in json.loads(text).items()}
