"""The partitions of `executions`: one for each day of ids, one for all before the first day, one for the far future."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from services.history.adapters.postgres.session import Session
from services.history.domain.moments import EPOCH
from services.history.domain.records import Record

DAY_MS = 86_400_000
DAY_US = DAY_MS * 1000
LAST_DAY = (date(2100, 1, 1) - EPOCH.date()).days
"""Ids of this day and after share one partition: no run is due then, and each day would be one more table."""
EARLIER = "executions_earlier"
LATER = "executions_later"


def day_of(execution_id: bytes) -> int:
    """The day, since 1970, that an id belongs to by its first 48 bits."""
    return int.from_bytes(execution_id[:6], "big") // DAY_MS


def first_id(day: int) -> bytes:
    """The lowest id of a day."""
    return (day * DAY_MS).to_bytes(6, "big") + bytes(10)


def lowest_id_at(us: int) -> bytes:
    """The lowest id of a moment; ids before it are of earlier milliseconds."""
    return max(us // 1000, 0).to_bytes(6, "big") + bytes(10)


def wanted_days(records: Sequence[Record], today: int) -> Iterable[int]:
    """The days that must have a partition: of some records, and today and tomorrow so that it is there ahead."""
    if not records:
        return (today, today + 1)
    ids = [record.id for record in records]
    first, last = day_of(min(ids)), day_of(max(ids))
    if first == last:
        return {first, today, today + 1}
    return {today, today + 1, *map(day_of, ids)}


def name_of(day: int) -> str:
    """The table of a day: `executions_20260131`."""
    return f"executions_{EPOCH.date() + timedelta(days=day):%Y%m%d}"


async def create(session: Session, name: str, from_day: int | None, to_day: int | None) -> None:
    """Adds a table for the ids of some days; None means that it has no end on that side.

    Made apart and then attached: that locks out neither readers nor writers of the other tables.
    """
    low = "MINVALUE" if from_day is None else f"'{first_id(from_day).hex()}'"
    high = "MAXVALUE" if to_day is None else f"'{first_id(to_day).hex()}'"
    await session.execute(f"CREATE TABLE {name} (LIKE executions INCLUDING ALL)")
    await session.execute(f"ALTER TABLE executions ATTACH PARTITION {name} FOR VALUES FROM ({low}) TO ({high})")


async def create_days(session: Session, days: Iterable[int]) -> None:
    """Adds the partitions of days. The ledger's row is locked, so nobody else does."""
    for day in days:
        name = name_of(day)
        await create(session, name, day, day + 1)
        await session.execute("INSERT INTO partitions VALUES ($1, $2)", day, name)
    await session.execute("UPDATE ledger SET version = version + 1")
