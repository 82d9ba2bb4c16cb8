"""The queries.

Limits are part of the text: a plan is made once for a text (see session.py), and must know that few rows are wanted.
"""

from collections.abc import Sequence
from typing import Any

from services.history.adapters.postgres.schema import COLUMNS
from services.history.adapters.postgres.session import Session
from services.history.domain.moments import LAST_US
from services.history.domain.records import Change, Definition, Record
from services.history.ports import ExecutionQuery, Page, Position, Seal, Search

SCAN_ROWS = 50_000
"""Rows that one page looks at when it filters by status. What is rare takes more pages, and no page takes long."""

WHOLE = tuple(COLUMNS)
"""Every column of a Record."""
BRIEF = tuple("''::bytea" if name == "attempts" else name for name in WHOLE)
"""The same with no attempts."""
SEALED = tuple("''::bytea" if name == "response" else name for name in WHOLE)
"""The same with attempts and no response: a shard can have many unfinished executions, and an answer has its bounds."""
NEWEST_FIRST = "ORDER BY scheduled_us DESC, id DESC"
ONE_LOOK = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_RESPONSE, _ERROR = WHOLE.index("response"), WHOLE.index("error")


async def find(session: Session, namespace: str, execution_id: bytes) -> Record | None:
    """The execution with its attempts."""
    source = "executions WHERE id = $1 AND namespace = $2"
    return next(iter(await select(session, source, execution_id, namespace, columns=WHOLE)), None)


async def page(session: Session, query: ExecutionQuery) -> Page:
    """One page of a list, newest scheduled time first."""
    conditions, values = _conditions(query)
    edge: Sequence[Any] | None = None
    if query.statuses:
        seen = f"executions WHERE {' AND '.join(conditions)} {NEWEST_FIRST} OFFSET {SCAN_ROWS - 1} LIMIT 1"
        edge = await session.row(f"SELECT scheduled_us, id FROM {seen}", *values)
        values.append(sorted(int(status) for status in query.statuses))
        conditions.append(f"status = ANY(${len(values)}::smallint[])")
    if edge is not None:
        values += edge
        conditions.append(f"(scheduled_us, id) >= (${len(values) - 1}, ${len(values)})")
    source = f"executions WHERE {' AND '.join(conditions)} {NEWEST_FIRST} LIMIT {int(query.limit) + 1}"
    found = await select(session, source, *values)
    if len(found) > query.limit:
        shown = tuple(found[: query.limit])
        return Page(records=shown, next=_place(shown[-1]))
    return Page(records=tuple(found), next=None if edge is None else (edge[0], edge[1]))


async def search(session: Session, asked: Search) -> list[Record]:
    """The newest that a search asks for, newest scheduled time first."""
    found = await _search(session, asked, "scheduled_us >= $1")
    if asked.with_stretches:
        found += await _search(session, asked, "scheduled_us < $1 AND skipped_until_us >= $1")
    found.sort(key=_place, reverse=True)
    return found[: asked.limit]


async def definitions(session: Session, ids: Sequence[bytes]) -> dict[bytes, Definition]:
    """Those of these definitions that are there."""
    rows = await session.rows(
        "SELECT definition_id, request, job FROM definitions WHERE definition_id = ANY($1::bytea[])", list(ids)
    )
    return {row[0]: Definition._make(row) for row in rows}


async def position(session: Session) -> Position:
    """Where the order of changes stands."""
    row = await session.row("SELECT ledger_id, seq FROM ledger")
    assert row is not None
    return Position(ledger_id=row[0], seq=row[1])


async def changes(session: Session, after_seq: int, limit: int) -> list[Change]:
    """The executions that changed after a place, in that order. Cheap when there are none."""
    if (await position(session)).seq <= after_seq:
        return []
    source = f"executions WHERE seq > $1 ORDER BY seq LIMIT {int(limit)}"
    rows = await session.rows(f"SELECT {', '.join(BRIEF)}, seq FROM {source}", after_seq)
    return [Change(row[-1], record_from(row[:-1])) for row in rows]


async def sealed(session: Session, shard: int, watermark_us: int) -> Seal:
    """What the new owner of a shard must know, once its epoch is sealed; both parts as of one moment."""
    async with session.transaction(ONE_LOOK):
        unfinished = await select(session, "executions WHERE shard = $1 AND status < 3", shard, columns=SEALED)
        recorded = await session.rows(
            "SELECT id FROM executions WHERE shard = $1 AND scheduled_us > $2", shard, watermark_us
        )
    return Seal(unfinished=tuple(unfinished), recorded_ids=tuple(row[0] for row in recorded))


async def select(session: Session, source: str, *values: object, columns: Sequence[str] = BRIEF) -> list[Record]:
    """The records of `SELECT … FROM <source>`."""
    return [record_from(row) for row in await session.rows(f"SELECT {', '.join(columns)} FROM {source}", *values)]


def record_from(row: Sequence[Any]) -> Record:
    """The record in a row of all its columns."""
    values = list(row)
    values[_RESPONSE] = values[_RESPONSE].decode()
    values[_ERROR] = values[_ERROR].decode()
    return Record._make(values)


async def _search(session: Session, asked: Search, begins: str) -> list[Record]:
    values: list[object] = [asked.from_us, asked.to_us, asked.namespace]
    conditions = [begins, "scheduled_us < $2", "namespace = $3"]
    if asked.job_id:
        values.append(asked.job_id)
        conditions.append(f"job_id = ${len(values)}")
    if asked.ids:
        values.append(list(asked.ids))
        conditions.append(f"id = ANY(${len(values)}::uuid[])")
    source = f"executions WHERE {' AND '.join(conditions)} {NEWEST_FIRST} LIMIT {int(asked.limit)}"
    return await select(session, source, *values, columns=SEALED)


def _conditions(query: ExecutionQuery) -> tuple[list[str], list[object]]:
    conditions: list[str] = ["namespace = $1"]
    values: list[object] = [query.namespace]
    if query.job_id:
        values.append(query.job_id)
        conditions.append(f"job_id = ${len(values)}")
    if query.from_us > 0:
        values.append(query.from_us)
        conditions.append(f"scheduled_us >= ${len(values)}")
    if query.to_us <= LAST_US:
        values.append(query.to_us)
        conditions.append(f"scheduled_us < ${len(values)}")
    if query.after:
        values += query.after
        conditions.append(f"(scheduled_us, id) < (${len(values) - 1}, ${len(values)})")
    return conditions, values


def _place(record: Record) -> tuple[int, bytes]:
    return record.scheduled_us, record.id
