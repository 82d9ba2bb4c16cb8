"""The queries. Rows come as one JSON text: see writing.py for why a step a row is dear."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from services.history.adapters.sqlite.schema import COLUMNS
from services.history.domain.moments import LAST_US
from services.history.domain.records import Change, Record
from services.history.ports import ExecutionQuery, Page, Position, Search

SCAN_ROWS = 50_000
"""Rows that one page looks at when it filters by status. What is rare takes more pages, and no page takes long."""

_BLOBS = {column: f"hex({column})" for column in ("id", "attempts", "definition_id", "details")}
WHOLE = tuple(_BLOBS.get(column, column) for column in COLUMNS)
"""Every column of a Record."""
BRIEF = tuple("''" if text == _BLOBS["attempts"] else text for text in WHOLE)
"""The same with no attempts."""
SEALED = tuple("''" if text == "response" else text for text in WHOLE)
"""The same with attempts and no response: a shard can have many unfinished executions, and an answer has its bounds."""
NEWEST_FIRST = "ORDER BY scheduled_us DESC, id DESC"
_BLOB_PLACES = tuple(COLUMNS.index(column) for column in _BLOBS)


def find(connection: sqlite3.Connection, namespace: str, execution_id: bytes) -> Record | None:
    """The execution with its attempts."""
    source = "executions WHERE id = ? AND namespace = ?"
    return next(iter(select(connection, source, (execution_id, namespace), columns=WHOLE)), None)


def page(connection: sqlite3.Connection, query: ExecutionQuery) -> Page:
    """One page of a list, newest scheduled time first."""
    conditions, values = _conditions(query)
    edge = None
    if query.statuses:
        seen = f"executions WHERE {' AND '.join(conditions)} {NEWEST_FIRST} LIMIT 1 OFFSET {SCAN_ROWS - 1}"
        edge = connection.execute(f"SELECT scheduled_us, id FROM {seen}", values).fetchone()
        conditions.append(f"status IN ({','.join(str(int(status)) for status in sorted(query.statuses))})")
    if edge is not None:
        conditions.append("(scheduled_us, id) >= (?, ?)")
        values += edge
    source = f"executions WHERE {' AND '.join(conditions)} {NEWEST_FIRST} LIMIT ?"
    found = _cut(select(connection, source, (*values, query.limit + 1)), query.limit)
    return found if found.next is not None else Page(records=found.records, next=edge)


def search(connection: sqlite3.Connection, asked: Search) -> list[Record]:
    """The newest that a search asks for, newest scheduled time first."""
    found = _search(connection, asked, "scheduled_us >= ?", (asked.from_us,))
    if asked.with_stretches:
        since = (asked.from_us, asked.from_us)
        found += _search(connection, asked, "scheduled_us < ? AND skipped_until_us >= ?", since)
    found.sort(key=_place, reverse=True)
    return found[: asked.limit]


def select_by_id(connection: sqlite3.Connection, ids: Sequence[bytes]) -> list[Record]:
    """Those of these executions that are there, whole, in any order."""
    source = f"executions WHERE id IN ({_marks(ids)})"
    return select(connection, source, ids, columns=WHOLE)


def position(connection: sqlite3.Connection) -> Position:
    """Where the order of changes stands."""
    ledger_id, seq = connection.execute("SELECT ledger_id, seq FROM ledger").fetchone()
    return Position(ledger_id=ledger_id, seq=seq)


def changes(connection: sqlite3.Connection, after_seq: int, limit: int) -> list[Change]:
    """The executions that changed after a place, in that order."""
    source = "executions WHERE seq > ? ORDER BY seq LIMIT ?"
    rows = _select(connection, source, (after_seq, limit), ("seq", *BRIEF))
    return sorted(Change(row[0], _record(row[1:])) for row in rows)


def select(
    connection: sqlite3.Connection, source: str, values: Sequence[object], *, columns: Sequence[str] = BRIEF
) -> list[Record]:
    """The records of `SELECT … FROM <source>`, in any order."""
    return [_record(row) for row in _select(connection, source, values, columns)]


def select_rows(
    connection: sqlite3.Connection, source: str, values: Sequence[object], columns: Sequence[str]
) -> list[tuple[Record, list[Any]]]:
    """Records, each with what comes in `columns` after those of a Record, in any order."""
    rows = _select(connection, source, values, columns)
    return [(_record(row[: len(COLUMNS)]), row[len(COLUMNS) :]) for row in rows]


def _search(connection: sqlite3.Connection, asked: Search, begins: str, since: tuple[int, ...]) -> list[Record]:
    if asked.ids:  # the pluses keep other indices out of it
        scope = f"id IN ({_marks(asked.ids)}) AND +namespace = ? AND ? IN ('', +job_id)"
    else:
        scope = "namespace = ? AND job_id = ?"
    source = f"executions WHERE {scope} AND {begins} AND scheduled_us < ? {NEWEST_FIRST} LIMIT ?"
    values = (*asked.ids, asked.namespace, asked.job_id, *since, asked.to_us, asked.limit)
    return select(connection, source, values, columns=SEALED)


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _conditions(query: ExecutionQuery) -> tuple[list[str], list[object]]:
    conditions: list[str] = ["namespace = ?"]
    values: list[object] = [query.namespace]
    if query.job_id:
        conditions.append("job_id = ?")
        values.append(query.job_id)
    if query.from_us > 0:
        conditions.append("scheduled_us >= ?")
        values.append(query.from_us)
    if query.to_us <= LAST_US:
        conditions.append("scheduled_us < ?")
        values.append(query.to_us)
    if query.after:
        conditions.append("(scheduled_us, id) < (?, ?)")
        values += query.after
    return conditions, values


def _cut(records: list[Record], limit: int) -> Page:
    records.sort(key=_place, reverse=True)
    shown = records[:limit]
    return Page(records=tuple(shown), next=_place(shown[-1]) if len(records) > limit else None)


def _place(record: Record) -> tuple[int, bytes]:
    return record.scheduled_us, record.id


def _select(
    connection: sqlite3.Connection, source: str, values: Sequence[object], columns: Sequence[str]
) -> list[list[Any]]:
    names = [f"c{place}" for place in range(len(columns))]
    named = ",".join(f"{column} AS {name}" for column, name in zip(columns, names, strict=True))
    query = f"SELECT json_group_array(json_array({','.join(names)})) FROM (SELECT {named} FROM {source})"
    rows: list[list[Any]] = json.loads(connection.execute(query, tuple(values)).fetchone()[0])
    return rows


def _record(row: list[Any]) -> Record:
    for place in _BLOB_PLACES:
        row[place] = bytes.fromhex(row[place])
    return Record._make(row)
