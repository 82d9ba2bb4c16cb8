"""Retention: a day that is wholly old goes with its table; single rows go only where a day cannot."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from libs.faults import Unavailable
from libs.log import get_logger
from services.history.adapters.postgres import partitions
from services.history.adapters.postgres.session import Session
from services.history.adapters.postgres.writing import Known, begin

COUNT_TIMEOUT = "SET LOCAL statement_timeout = '15min'"
DROP_PATIENCE = "SET LOCAL lock_timeout = '1s'"
"""Longest wait for queries under way: those that come meanwhile wait too, and so do writes."""
LOCKED = "55P03"
"""What PostgreSQL says when that was not long enough."""

logger = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A partition in which everything has ended and was due before a moment."""

    day: int
    name: str
    rows: int
    last_seq: int | None


async def old_days(session: Session, before_us: int) -> list[tuple[int, str]]:
    """The days before the moment that have a partition, oldest first."""
    last = before_us // partitions.DAY_US
    rows = await session.rows("SELECT day, name FROM partitions WHERE day < $1 ORDER BY day", last)
    return [(row[0], row[1]) for row in rows]


async def look_at(session: Session, day: int, name: str, before_us: int) -> Day | None:
    """What is in a partition; None when something in it must stay. Reads all of it, and holds nobody up."""
    if await session.value(f"SELECT true FROM {name} WHERE status < 3 LIMIT 1"):
        return None
    async with session.transaction():
        await session.execute(COUNT_TIMEOUT)
        row = await session.row(
            f"SELECT count(*), max(seq), coalesce(bool_and(status >= 3 AND scheduled_us < $1), true) FROM {name}",
            before_us,
        )
    assert row is not None
    return Day(day=day, name=name, rows=row[0], last_seq=row[1]) if row[2] else None


async def drop(session: Session, known: Known, day: Day) -> int:
    """Drops a partition unless it changed since the look at it; gives the number of executions in it."""
    await begin(session, known)
    if day.day not in known.days:  # another replica was quicker
        return 0
    last_seq = await session.value(f"SELECT max(seq) FROM {day.name}")
    if last_seq != day.last_seq:
        return 0
    await session.execute(DROP_PATIENCE)
    await session.execute(f"DROP TABLE {day.name}")
    await session.execute("DELETE FROM partitions WHERE day = $1", day.day)
    await session.execute("UPDATE ledger SET version = version + 1")
    return day.rows


async def old_rows(session: Session, name: str, before_us: int, limit: int) -> list[bytes]:
    """Ids of up to `limit` finished executions of a table that were due before a moment."""
    rows = await session.rows(
        f"SELECT id FROM {name} WHERE id < $1 AND scheduled_us < $2 AND status >= 3 ORDER BY id LIMIT $3",
        *(partitions.lowest_id_at(before_us), before_us, limit),
    )
    return [row[0] for row in rows]


async def delete(session: Session, known: Known, ids: list[bytes]) -> int:
    """Deletes finished executions; gives how many."""
    await begin(session, known)
    return await session.execute("DELETE FROM executions WHERE id = ANY($1::uuid[]) AND status >= 3", ids)


Transact = Callable[[Callable[[Session, Known], Awaitable[int]]], Awaitable[int]]


async def expire(session: Session, transact: Transact, before_us: int, limit: int) -> int:
    """Drops every old partition that can go, and deletes up to `limit` rows where none can.

    Reads with `session`; writes with `transact`, which runs each step in a transaction of its own.
    """
    deleted, tables = 0, [partitions.EARLIER]
    for day, name in await old_days(session, before_us):
        found = await look_at(session, day, name, before_us)
        if found is None:
            tables.append(name)
            continue
        try:
            deleted += await transact(partial(drop, day=found))
        except Unavailable as fault:
            if fault.metadata.get("postgres_error") != LOCKED:
                raise
            logger.info("old executions stay while a query reads them", table=name)
            break
    for name in tables:
        ids = await old_rows(session, name, before_us, limit)
        if ids:
            deleted += await transact(partial(delete, ids=ids))
            limit -= len(ids)
        if limit <= 0:
            break
    return deleted
