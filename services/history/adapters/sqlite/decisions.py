"""The tables of decisions: one row for each, and one for each policy that had something to say to it."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TypeVar

from services.history.domain.decisions import Decision, DecisionChoice
from services.history.domain.moments import LAST_US
from services.history.ports import DecisionQuery

T = TypeVar("T")

ROWS_A_STATEMENT = 500
COLUMNS = ("id", "namespace", "job_id", "time_us", "operation", "outcome", "content")
BY_POLICY = ("policy_id", "id", "namespace", "job_id", "time_us", "operation", "outcome")
_OLD = "SELECT id FROM decisions WHERE namespace = ? AND time_us < ? ORDER BY time_us, id LIMIT ?"


def insert(connection: sqlite3.Connection, decisions: Sequence[Decision]) -> frozenset[bytes]:
    """Adds those that are not known yet; gives their ids."""
    new: set[bytes] = set()
    for part in _parts(decisions):
        rows = [(*decision[:6], decision.content) for decision in part]
        new.update(row[0] for row in _insert(connection, "decisions", COLUMNS, rows, returning="id"))
    spoken = [(policy, *each[:6]) for each in decisions if each.id in new for policy in each.policy_ids]
    for rest in _parts(spoken):
        _insert(connection, "decisions_by_policy", BY_POLICY, rest, returning="1")
    return frozenset(new)


def select(connection: sqlite3.Connection, query: DecisionQuery) -> list[Decision]:
    """Some of the decisions, newest first. Their policies are not read: they are in the content."""
    conditions, values = _conditions(query.choice)
    if query.after:
        conditions.append("(time_us, id) < (?, ?)")
        values += query.after
    table = "decisions_by_policy" if query.choice.policy_id else "decisions"
    chosen = f"SELECT id FROM {table} WHERE {' AND '.join(conditions)} ORDER BY time_us DESC, id DESC LIMIT ?"
    row = "json_array(hex(id), namespace, job_id, time_us, operation, outcome, hex(content))"
    text = connection.execute(
        f"SELECT json_group_array({row}) FROM decisions WHERE id IN ({chosen})", (*values, query.limit)
    ).fetchone()[0]
    found = [
        Decision._make((bytes.fromhex(each[0]), *each[1:6], (), bytes.fromhex(each[6]))) for each in json.loads(text)
    ]
    return sorted(found, key=lambda decision: (decision.time_us, decision.id), reverse=True)


def namespaces(connection: sqlite3.Connection) -> list[str]:
    """Those that have decisions."""
    following = "SELECT min(namespace) FROM decisions WHERE namespace > ?"
    found: list[str] = []
    while (namespace := connection.execute(following, (found[-1] if found else "",)).fetchone()[0]) is not None:
        found.append(namespace)
    return found


def expire(connection: sqlite3.Connection, namespace: str, before_us: int, limit: int) -> int:
    """Deletes up to `limit` decisions of a namespace from before a moment, the oldest first; gives their number."""
    old = (namespace, before_us, limit)
    connection.execute(f"DELETE FROM decisions_by_policy WHERE id IN ({_OLD})", old)
    return connection.execute(f"DELETE FROM decisions WHERE id IN ({_OLD})", old).rowcount


def _insert(
    connection: sqlite3.Connection, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]], returning: str
) -> list[tuple[bytes]]:
    row = f"({','.join('?' * len(columns))})"
    statement = f"INSERT INTO {table} ({','.join(columns)}) VALUES {','.join([row] * len(rows))} ON CONFLICT DO NOTHING"
    return connection.execute(f"{statement} RETURNING {returning}", tuple(chain.from_iterable(rows))).fetchall()


def _conditions(choice: DecisionChoice) -> tuple[list[str], list[object]]:
    conditions, values = ["namespace = ?"], list[object]([choice.namespace])
    for column, text in (("policy_id", choice.policy_id), ("job_id", choice.job_id)):
        if text:
            conditions.append(f"{column} = ?")
            values.append(text)
    for column, numbers in (("outcome", choice.outcomes), ("operation", choice.operations)):
        if numbers:
            conditions.append(f"{column} IN ({', '.join(str(int(number)) for number in sorted(numbers))})")
    if choice.from_us > 0:
        conditions.append("time_us >= ?")
        values.append(choice.from_us)
    if choice.to_us <= LAST_US:
        conditions.append("time_us < ?")
        values.append(choice.to_us)
    return conditions, values


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    return (values[start : start + ROWS_A_STATEMENT] for start in range(0, len(values), ROWS_A_STATEMENT))
