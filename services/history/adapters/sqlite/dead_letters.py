"""The table of dead letters. See domain/dead_letters.py for which executions have one.

A letter is a copy of its execution's row: it stays when that goes. A transaction in which nothing dies, is repeated or
is settled does nothing here; while a LOST one has a letter, one in which something succeeds looks whether it was that.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TypeVar

from services.history.adapters.details import replayed_id
from services.history.adapters.sqlite.reading import WHOLE, select_rows
from services.history.adapters.sqlite.schema import COLUMNS
from services.history.domain.dead_letters import ALIVE, DEAD, MOST_REPLAYS, Choice, DeadLetter, ends_of
from services.history.domain.moments import LAST_US
from services.history.domain.records import Record, Status
from services.history.ports import DeadLetterQuery

T = TypeVar("T")

ROWS_A_STATEMENT = 500
HAS_LOST = f"EXISTS (SELECT 1 FROM dead_letters WHERE status = {int(Status.LOST)})"
"""True in SQL while the real end of an execution may take a letter away."""
_NAMES = ", ".join(COLUMNS)
_VALUES = ", ".join("coalesce(completed_us, scheduled_us)" if name == "completed_us" else name for name in COLUMNS)
_NEWER = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "id")
_DEAD = ", ".join(str(int(status)) for status in sorted(DEAD))
_ALIVE = ", ".join(str(int(status)) for status in sorted(ALIVE))


def follow(connection: sqlite3.Connection, records: Sequence[Record], first_seq: int, *, has_lost: bool) -> list[int]:
    """Brings the letters in line with records just written from `first_seq` on; gives the statuses of new letters."""
    ends = ends_of(records, with_alive=has_lost)
    repeated = set(_settle(connection, ends.replays, first_seq))
    for part in _parts(ends.alive):
        connection.execute(
            f"DELETE FROM dead_letters AS letter WHERE id IN ({_marks(part)})"
            f" AND EXISTS (SELECT 1 FROM executions AS it WHERE it.id = letter.id AND it.status IN ({_ALIVE}))",
            part,
        )
    statuses: list[int] = []
    for part in _parts([each for each in ends.dead if each not in repeated]):
        rows = connection.execute(
            f"INSERT INTO dead_letters ({_NAMES}) SELECT {_VALUES} FROM executions"
            f" WHERE id IN ({_marks(part)}) AND seq >= ? AND status IN ({_DEAD})"
            f" ON CONFLICT (id) DO UPDATE SET {_NEWER} RETURNING status",
            (*part, first_seq),
        )
        statuses += [row[0] for row in rows.fetchall()]
    return statuses


def select(connection: sqlite3.Connection, query: DeadLetterQuery) -> list[DeadLetter]:
    """Some of the letters, the last to die first."""
    conditions, values = _conditions(query.choice)
    if query.after:
        conditions.append("(completed_us, id) < (?, ?)")
        values += query.after
    source = f"dead_letters WHERE {' AND '.join(conditions)} ORDER BY completed_us DESC, id DESC LIMIT ?"
    rows = select_rows(connection, source, (*values, query.limit), (*WHOLE, "hex(replayed_by)"))
    letters = [DeadLetter(record, bytes.fromhex(rest[0])) for record, rest in rows]
    return sorted(letters, key=_place, reverse=True)


def count(connection: sqlite3.Connection, choice: Choice | None) -> dict[int, int]:
    """How many there are of each status."""
    conditions, values = _conditions(choice) if choice else (["replayed_by = x''"], [])
    counts = f"SELECT status, count(*) AS many FROM dead_letters WHERE {' AND '.join(conditions)} GROUP BY status"
    text = connection.execute(f"SELECT json_group_object(status, many) FROM ({counts})", values).fetchone()[0]
    return {int(status): many for status, many in json.loads(text).items()}


def delete(connection: sqlite3.Connection, choice: Choice, limit: int) -> int:
    """Deletes up to `limit` letters; gives their number."""
    conditions, values = _conditions(choice)
    return connection.execute(
        f"DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE {' AND '.join(conditions)} LIMIT ?)",
        (*values, limit),
    ).rowcount


def namespaces(connection: sqlite3.Connection) -> list[str]:
    """Those that have letters."""
    following = "SELECT min(namespace) FROM dead_letters WHERE namespace > ?"
    found: list[str] = []
    while (namespace := connection.execute(following, (found[-1] if found else "",)).fetchone()[0]) is not None:
        found.append(namespace)
    return found


def expire(connection: sqlite3.Connection, namespace: str, before_us: int, most: int, limit: int) -> int:
    """Deletes up to `limit` letters of a namespace that are too old, or the oldest of too many; gives their number."""
    surplus = connection.execute(
        "SELECT completed_us, id FROM dead_letters WHERE namespace = ?"
        " ORDER BY completed_us DESC, id DESC LIMIT 1 OFFSET ?",
        (namespace, most),
    ).fetchone()
    end = max((before_us, b""), (surplus[0], surplus[1] + b"\0") if surplus else (0, b""))
    return connection.execute(
        "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE namespace = ?"
        " AND (completed_us, id) < (?, ?) ORDER BY completed_us, id LIMIT ?)",
        (namespace, *end, limit),
    ).rowcount


def _settle(connection: sqlite3.Connection, replays: Collection[bytes], first_seq: int) -> Iterator[bytes]:
    """Marks what replays have delivered; gives the replays that died while the letter of their work is open."""
    for part in _parts(list(replays)):
        rows = connection.execute(
            f"SELECT id, status, details FROM executions WHERE id IN ({_marks(part)}) AND seq >= ?", (*part, first_seq)
        ).fetchall()
        for replay, status, details in rows:
            letter = _open_letter(connection, replayed_id(details))
            if letter and status == Status.SUCCESS:
                connection.execute("UPDATE dead_letters SET replayed_by = ? WHERE id = ?", (replay, letter))
            elif letter and status in DEAD:
                yield replay


def _open_letter(connection: sqlite3.Connection, execution_id: bytes) -> bytes:
    """The open letter of an execution, or of the one that it repeats, and so on back; empty when there is none."""
    for _ in range(MOST_REPLAYS):
        if not execution_id:
            break
        found = connection.execute("SELECT replayed_by FROM dead_letters WHERE id = ?", (execution_id,)).fetchall()
        if found and not found[0][0]:
            return execution_id
        stored = connection.execute("SELECT details FROM executions WHERE id = ?", (execution_id,)).fetchall()
        execution_id = replayed_id(stored[0][0]) if stored else b""
    return b""


def _conditions(choice: Choice) -> tuple[list[str], list[object]]:
    only = "+" if choice.ids else ""  # the plus keeps the indices of lists out of a look at a few ids
    conditions, values = [f"{only}namespace = ?"], list[object]([choice.namespace])
    if choice.job_id:
        conditions.append(f"{only}job_id = ?")
        values.append(choice.job_id)
    if choice.ids:
        conditions.append(f"id IN ({_marks(choice.ids)})")
        values += choice.ids
    for column, numbers in (("status", choice.statuses), ("reason_code", choice.reason_codes)):
        if numbers:
            conditions.append(f"{column} IN ({', '.join(str(int(number)) for number in sorted(numbers))})")
    if choice.from_us > 0:
        conditions.append("completed_us >= ?")
        values.append(choice.from_us)
    if choice.to_us <= LAST_US:
        conditions.append("completed_us < ?")
        values.append(choice.to_us)
    if not choice.with_replayed:
        conditions.append("replayed_by = x''")
    return conditions, values


def _place(letter: DeadLetter) -> tuple[int, bytes]:
    return letter.record.completed_us or 0, letter.record.id


def _marks(values: Collection[object]) -> str:
    return ",".join("?" * len(values))


def _parts(values: Sequence[T]) -> Iterable[Sequence[T]]:
    return (values[start : start + ROWS_A_STATEMENT] for start in range(0, len(values), ROWS_A_STATEMENT))
