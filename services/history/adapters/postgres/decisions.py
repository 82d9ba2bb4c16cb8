"""The tables of decisions: one row for each, and one for each policy that had something to say to it."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from services.history.adapters.postgres.session import Session
from services.history.domain.decisions import Decision, DecisionChoice
from services.history.domain.moments import LAST_US
from services.history.ports import DecisionQuery

T = TypeVar("T")

ROWS_A_STATEMENT = 500
"""Encoding more at once would hold up the event loop."""
_INSERT = """
INSERT INTO decisions (id, namespace, job_id, time_us, operation, outcome, content)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::integer[], $6::integer[], $7::bytea[])
ON CONFLICT DO NOTHING RETURNING id
"""
_INSERT_POLICIES = """
INSERT INTO decisions_by_policy (policy_id, id, namespace, job_id, time_us, operation, outcome)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::integer[], $7::integer[])
"""
_OLD = "SELECT id FROM decisions WHERE namespace = $1 AND time_us < $2 ORDER BY time_us, id LIMIT $3"


async def insert(session: Session, decisions: Sequence[Decision]) -> frozenset[bytes]:
    """Adds those that are not known yet; gives their ids."""
    new: set[bytes] = set()
    for part in _parts(decisions):
        columns = zip(*((*decision[:6], decision.content) for decision in part), strict=True)
        new.update(row[0] for row in await session.rows(_INSERT, *map(list, columns)))
    spoken = [(policy, *each[:6]) for each in decisions if each.id in new for policy in each.policy_ids]
    for rest in _parts(spoken):
        await session.execute(_INSERT_POLICIES, *map(list, zip(*rest, strict=True)))
    return frozenset(new)


async def select(session: Session, query: DecisionQuery) -> list[Decision]:
    """Some of the decisions, newest first. Their policies are not read: they are in the content."""
    conditions, values = _conditions(query.choice)
    if query.after:
        values += query.after
        conditions.append(f"(time_us, id) < (${len(values) - 1}, ${len(values)})")
    table = "decisions_by_policy" if query.choice.policy_id else "decisions"
    newest = f"ORDER BY time_us DESC, id DESC LIMIT {int(query.limit)}"
    rows = await session.rows(
        "SELECT id, namespace, job_id, time_us, operation, outcome, content FROM decisions"
        f" WHERE id = ANY (ARRAY(SELECT id FROM {table} WHERE {' AND '.join(conditions)} {newest}))"
        " ORDER BY time_us DESC, id DESC",
        *values,
    )
    return [Decision._make((*row[:6], (), row[6])) for row in rows]


async def old(session: Session, before_us: int, limit: int) -> list[bytes]:
    """Up to `limit` decisions from before a moment, the oldest of a namespace first. Holds nobody up.

    By namespace, as lists are: an index over the time alone would tempt the planner to read lists off it.
    """
    found: list[bytes] = []
    namespace = ""
    while len(found) < limit:
        namespace = await session.value("SELECT min(namespace) FROM decisions WHERE namespace > $1", namespace)
        if namespace is None:
            break
        found += [row[0] for row in await session.rows(_OLD, namespace, before_us, limit - len(found))]
    return found


async def delete(session: Session, ids: Sequence[bytes]) -> int:
    """Deletes decisions; gives their number."""
    await session.execute("DELETE FROM decisions_by_policy WHERE id = ANY($1::uuid[])", ids)
    return await session.execute("DELETE FROM decisions WHERE id = ANY($1::uuid[])", ids)


def _conditions(choice: DecisionChoice) -> tuple[list[str], list[object]]:
    conditions, values = ["namespace = $1"], list[object]([choice.namespace])

    def add(condition: str, value: object) -> None:
        values.append(value)
        conditions.append(condition.format(f"${len(values)}"))

    if choice.policy_id:
        add("policy_id = {}", choice.policy_id)
    if choice.job_id:
        add("job_id = {}", choice.job_id)
    if choice.outcomes:
        add("outcome = ANY({}::integer[])", sorted(map(int, choice.outcomes)))
    if choice.operations:
        add("operation = ANY({}::integer[])", sorted(map(int, choice.operations)))
    if choice.from_us > 0:
        add("time_us >= {}", choice.from_us)
    if choice.to_us <= LAST_US:
        add("time_us < {}", choice.to_us)
    return conditions, values


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    return (values[start : start + ROWS_A_STATEMENT] for start in range(0, len(values), ROWS_A_STATEMENT))
