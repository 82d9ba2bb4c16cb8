"""The table of definitions: how versions of jobs were delivered.

An index over the executions' definitions would cost each record; instead each definition knows until when it was in
use, to the day. What was last in use before anything that is kept can go.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import TypeVar

from services.history.domain.records import Batch, Definition, Record

T = TypeVar("T")

DAY_US = 86_400_000_000
ROWS_A_STATEMENT = 500
MOST_REMEMBERED = 200_000

_definition_of = attrgetter("definition_id")


class DefinitionUses:
    """Notes, once a day for each definition, that it is in use. Remembers for which it has; one for each writer."""

    def __init__(self) -> None:
        self._used_us: dict[bytes, int] = {}

    def note(
        self, connection: sqlite3.Connection, batches: Sequence[Batch], taken: Sequence[Record], now_us: int
    ) -> None:
        """Keeps the definitions that batches bring, and notes that those of the records are in use until now."""
        brought = {told.id: told for batch in batches for told in batch.definitions}
        if brought:
            _insert(connection, brought.values())
        used = {*map(_definition_of, taken), *brought}
        used.discard(b"")
        if not used:
            return
        until_us = (now_us // DAY_US + 1) * DAY_US
        used_us = self._used_us
        unnoted = [each for each in used if used_us.get(each, 0) < until_us or each in brought]
        if not unnoted:
            return
        _mark(connection, unnoted, until_us)
        if len(used_us) > MOST_REMEMBERED:
            used_us.clear()
        used_us.update(dict.fromkeys(unnoted, until_us))

    def forget(self) -> None:
        """Forgets what it noted: the transaction may have failed."""
        self._used_us.clear()


def find(connection: sqlite3.Connection, ids: Sequence[bytes]) -> dict[bytes, Definition]:
    """Those of these definitions that are there."""
    found: dict[bytes, Definition] = {}
    for part in _parts(ids):
        rows = connection.execute(
            f"SELECT definition_id, request, job FROM definitions WHERE definition_id IN ({_marks(part)})", part
        )
        found.update((row[0], Definition(*row)) for row in rows)
    return found


def sweep(connection: sqlite3.Connection, before_us: int, limit: int) -> int:
    """Deletes up to `limit` definitions that only expired executions used, and no dead letter; gives their number."""
    return connection.execute(
        "DELETE FROM definitions WHERE definition_id IN (SELECT definition_id FROM definitions WHERE used_us < ?"
        " AND definition_id NOT IN (SELECT definition_id FROM executions INDEXED BY executions_unfinished"
        " WHERE status < 3) AND NOT EXISTS (SELECT 1 FROM dead_letters AS letter"
        " WHERE letter.definition_id = definitions.definition_id) LIMIT ?)",
        (before_us, limit),
    ).rowcount


def _insert(connection: sqlite3.Connection, brought: Iterable[Definition]) -> None:
    for part in _parts(list(brought)):
        rows = ",".join(["(?,?,?,0)"] * len(part))
        connection.execute(
            f"INSERT OR IGNORE INTO definitions (definition_id, request, job, used_us) VALUES {rows}",
            tuple(chain.from_iterable(part)),
        )


def _mark(connection: sqlite3.Connection, ids: Sequence[bytes], until_us: int) -> None:
    for part in _parts(ids):
        connection.execute(
            f"UPDATE definitions SET used_us = max(used_us, ?) WHERE definition_id IN ({_marks(part)})",
            (until_us, *part),
        )


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _parts(values: Sequence[T]) -> Iterable[Sequence[T]]:
    return (values[start : start + ROWS_A_STATEMENT] for start in range(0, len(values), ROWS_A_STATEMENT))
