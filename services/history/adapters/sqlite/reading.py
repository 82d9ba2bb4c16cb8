"""The queries. Rows come as one JSON text: see writing.py for why a step a row is dear."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from services.history.adapters.sqlite.schema import COLUMNS
from services.history.domain.records import Change, Record
from services.history.ports import ExecutionQuery, Page, Position

SCAN_ROWS = 50_000
"""Rows that one page looks at when it filters by status. What is rare takes more pages, and no page takes long."""

_BLOBS = {"id": "hex(id)", "attempts": "hex(attempts)"}
WHOLE = tuple(_BLOBS.get(column, column) for column in COLUMNS)
"""Every column of a Record."""
BRIEF = tuple("''" if text == _BLOBS["attempts"] else text for text in WHOLE)
"""The same with no attempts."""
SEALED = tuple("''" if text == "response" else text for text in WHOLE)
"""The same with attempts and no response: a shard can have many unfinished executions, and an answer has its bounds."""
NEWEST_FIRST = "ORDER BY scheduled_us DESC, id DESC"
_ID, _ATTEMPTS = COLUMNS.index("id"), COLUMNS.index("attempts")


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


def _conditions(query: ExecutionQuery) -> tuple[list[str], list[object]]:
    conditions: list[str] = ["namespace = ?"]
    values: list[object] = [query.namespace]
    if query.job_id:
        conditions.append("job_id = ?")
        values.append(query.job_id)
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
    row[_ID] = bytes.fromhex(row[_ID])
    row[_ATTEMPTS] = bytes.fromhex(row[_ATTEMPTS])
    return Record._make(row)
