"""The table of definitions. Each knows until when it was in use, to the day; see adapters/sqlite/definitions.py."""

from collections.abc import Sequence

from services.history.adapters.postgres.partitions import DAY_US
from services.history.adapters.postgres.session import Session
from services.history.domain.records import Batch, Record

MOST_REMEMBERED = 200_000


class DefinitionUses:
    """Notes, once a day for each definition, that it is in use. Remembers for which it has; one for each writer."""

    def __init__(self) -> None:
        self._used_us: dict[bytes, int] = {}

    async def note(self, session: Session, batches: Sequence[Batch], taken: Sequence[Record], now_us: int) -> None:
        """Keeps the definitions that batches bring, and notes that those of the records are in use until now."""
        brought = {told.id: told for batch in reversed(batches) for told in reversed(batch.definitions)}
        if brought:
            ids, requests, jobs = zip(*brought.values(), strict=True)
            await session.execute(
                "INSERT INTO definitions (definition_id, used_us, request, job)"
                " SELECT id, 0, request, job FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS t(id, request, job)"
                " ON CONFLICT DO NOTHING",
                *(ids, requests, jobs),
            )
        used = {*(record.definition_id for record in taken), *brought}
        used.discard(b"")
        until_us = (now_us // DAY_US + 1) * DAY_US
        unnoted = [each for each in used if self._used_us.get(each, 0) < until_us or each in brought]
        if unnoted:
            await session.execute(
                "UPDATE definitions SET used_us = greatest(used_us, $1) WHERE definition_id = ANY($2::bytea[])",
                *(until_us, unnoted),
            )
            if len(self._used_us) > MOST_REMEMBERED:
                self._used_us.clear()
            self._used_us.update(dict.fromkeys(unnoted, until_us))

    def forget(self) -> None:
        """Forgets what it noted: the transaction may have failed."""
        self._used_us.clear()


async def sweep(session: Session, before_us: int, limit: int) -> int:
    """Deletes up to `limit` definitions that only expired executions used, and no dead letter; gives their number."""
    return await session.execute(
        "DELETE FROM definitions WHERE definition_id IN (SELECT definition_id FROM definitions WHERE used_us < $1"
        " AND definition_id <> ALL (ARRAY(SELECT DISTINCT definition_id FROM executions WHERE status < 3))"
        " AND NOT EXISTS (SELECT FROM dead_letters AS letter WHERE letter.definition_id = definitions.definition_id)"
        " LIMIT $2)",
        *(before_us, limit),
    )
