"""The table of dead letters: copies of rows that stay when those go. See domain/dead_letters.py for which there are."""

from collections.abc import AsyncIterator, Sequence

from services.history.adapters.details import replayed_id
from services.history.adapters.postgres.reading import WHOLE, record_from
from services.history.adapters.postgres.schema import COLUMNS
from services.history.adapters.postgres.session import Session
from services.history.domain.dead_letters import ALIVE, DEAD, MOST_REPLAYS, Choice, DeadLetter, ends_of
from services.history.domain.moments import LAST_US
from services.history.domain.records import Record, Status
from services.history.ports import DeadLetterQuery

HAS_LOST = f"SELECT EXISTS (SELECT FROM dead_letters WHERE status = {int(Status.LOST)})"
"""Whether the real end of an execution may take a letter away."""
_NAMES = ", ".join(COLUMNS)
_VALUES = ", ".join("coalesce(completed_us, scheduled_us)" if name == "completed_us" else name for name in COLUMNS)
_NEWER = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "id")
_DEAD = ", ".join(str(int(status)) for status in sorted(DEAD))
_ALIVE = ", ".join(str(int(status)) for status in sorted(ALIVE))
_THESE = "id = ANY($1::uuid[]) AND id >= $2 AND id <= $3"
"""Some executions; their bounds let the planner leave the days out that they are not of."""
_LAST_FIRST = "ORDER BY completed_us DESC, id DESC"


async def follow(session: Session, records: Sequence[Record], first_seq: int, *, has_lost: bool) -> list[int]:
    """Brings the letters in line with records just written from `first_seq` on; gives the statuses of new letters."""
    ends = ends_of(records, with_alive=has_lost)
    repeated = {each async for each in _settle(session, ends.replays, first_seq)}
    if ends.alive:
        await session.execute(
            "DELETE FROM dead_letters AS letter WHERE id = ANY($1::uuid[])"
            f" AND EXISTS (SELECT FROM executions AS it WHERE it.id = letter.id AND it.status IN ({_ALIVE}))",
            ends.alive,
        )
    dead = [each for each in ends.dead if each not in repeated]
    if not dead:
        return []
    rows = await session.rows(
        f"INSERT INTO dead_letters ({_NAMES}) SELECT {_VALUES} FROM executions"
        f" WHERE {_THESE} AND seq >= $4 AND status IN ({_DEAD})"
        f" ON CONFLICT (id) DO UPDATE SET {_NEWER} RETURNING status",
        *(*_bounded(dead), first_seq),
    )
    return [row[0] for row in rows]


async def select(session: Session, query: DeadLetterQuery) -> list[DeadLetter]:
    """Some of the letters, the last to die first."""
    conditions, values = _conditions(query.choice)
    if query.after:
        values += query.after
        conditions.append(f"(completed_us, id) < (${len(values) - 1}, ${len(values)})")
    source = f"dead_letters WHERE {' AND '.join(conditions)} {_LAST_FIRST} LIMIT {int(query.limit)}"
    rows = await session.rows(f"SELECT {', '.join(WHOLE)}, replayed_by FROM {source}", *values)
    return [DeadLetter(record_from(row[: len(WHOLE)]), row[-1]) for row in rows]


async def count(session: Session, choice: Choice | None) -> dict[int, int]:
    """How many there are of each status."""
    conditions, values = _conditions(choice) if choice else (["replayed_by = ''"], [])
    rows = await session.rows(
        f"SELECT status, count(*) FROM dead_letters WHERE {' AND '.join(conditions)} GROUP BY status", *values
    )
    return {row[0]: row[1] for row in rows}


async def delete(session: Session, choice: Choice, limit: int) -> int:
    """Deletes up to `limit` letters; gives their number."""
    conditions, values = _conditions(choice)
    chosen = f"SELECT id FROM dead_letters WHERE {' AND '.join(conditions)} LIMIT {int(limit)}"
    return await session.execute(f"DELETE FROM dead_letters WHERE id IN ({chosen})", *values)


async def stale(session: Session, before_us: int, most: int, limit: int) -> list[bytes]:
    """Up to `limit` letters that are too old, or the oldest of too many in a namespace. Holds nobody up."""
    found: list[bytes] = []
    namespace = ""
    while len(found) < limit:
        namespace = await session.value("SELECT min(namespace) FROM dead_letters WHERE namespace > $1", namespace)
        if namespace is None:
            break
        found += await _stale(session, namespace, before_us, most, limit - len(found))
    return found


async def delete_these(session: Session, ids: Sequence[bytes]) -> int:
    """Deletes letters; gives their number."""
    return await session.execute("DELETE FROM dead_letters WHERE id = ANY($1::uuid[])", ids)


async def _stale(session: Session, namespace: str, before_us: int, most: int, limit: int) -> list[bytes]:
    first = await session.row(
        f"SELECT completed_us, id FROM dead_letters WHERE namespace = $1 {_LAST_FIRST} OFFSET {int(most)} LIMIT 1",
        namespace,
    )
    end = max((before_us, bytes(16)), (first[0] if first else 0, first[1] if first else bytes(16)))
    rows = await session.rows(
        "SELECT id FROM dead_letters WHERE namespace = $1 AND (completed_us, id) <= ($2, $3)"
        f" ORDER BY completed_us, id LIMIT {int(limit)}",
        *(namespace, *end),
    )
    return [row[0] for row in rows]


async def _settle(session: Session, replays: Sequence[bytes], first_seq: int) -> AsyncIterator[bytes]:
    """Marks what replays have delivered; gives the replays that died while the letter of their work is open."""
    if not replays:
        return
    rows = await session.rows(
        f"SELECT id, status, details FROM executions WHERE {_THESE} AND seq >= $4", *(*_bounded(replays), first_seq)
    )
    for replay, status, details in rows:
        letter = await _open_letter(session, replayed_id(details))
        if letter and status == Status.SUCCESS:
            await session.execute("UPDATE dead_letters SET replayed_by = $1 WHERE id = $2", replay, letter)
        elif letter and status in DEAD:
            yield replay


async def _open_letter(session: Session, execution_id: bytes) -> bytes:
    """The open letter of an execution, or of the one that it repeats, and so on back; empty when there is none."""
    for _ in range(MOST_REPLAYS):
        if not execution_id:
            break
        if await session.value("SELECT replayed_by = '' FROM dead_letters WHERE id = $1", execution_id):
            return execution_id
        details = await session.value("SELECT details FROM executions WHERE id = $1", execution_id)
        execution_id = replayed_id(details or b"")
    return b""


def _bounded(ids: Sequence[bytes]) -> tuple[object, ...]:
    return ids, min(ids), max(ids)


def _conditions(choice: Choice) -> tuple[list[str], list[object]]:
    conditions, values = ["namespace = $1"], list[object]([choice.namespace])

    def add(condition: str, value: object) -> None:
        values.append(value)
        conditions.append(condition.format(f"${len(values)}"))

    if choice.job_id:
        add("job_id = {}", choice.job_id)
    if choice.ids:
        add("id = ANY({}::uuid[])", list(choice.ids))
    if choice.statuses:
        add("status = ANY({}::smallint[])", sorted(map(int, choice.statuses)))
    if choice.reason_codes:
        add("reason_code = ANY({}::integer[])", sorted(map(int, choice.reason_codes)))
    if choice.from_us > 0:
        add("completed_us >= {}", choice.from_us)
    if choice.to_us <= LAST_US:
        add("completed_us < {}", choice.to_us)
    if not choice.with_replayed:
        conditions.append("replayed_by = ''")
    return conditions, values
