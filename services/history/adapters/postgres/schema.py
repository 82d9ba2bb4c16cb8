"""The tables of the ledger's database, and how they come about.

`executions` is partitioned by id: ids begin with the milliseconds of the scheduled time, so a range of ids is a range
of time, and the key that makes the first record win is unique across all partitions. `_by_job` and `_by_time` serve the
lists, newest first. `_by_shard` serves the seal. `_unfinished` holds the few executions without an end, `_stretches`
the few that stand for several skipped runs, `_by_seq` the order of changes. The indices of `dead_letters` have all that
lists of them filter by, and `_lost` the few whose real end may still come.

`decisions` is a plain table from which retention deletes rows: only what was refused or warned of is in it, some orders
less than there are executions. `decisions_by_policy` has a row for each policy that had something to say.

`ledger` has one row. Each transaction that writes begins by updating it: so they come one after another, whichever
replica they are of, and `seq` rises in the order of the commits. `version` rises with each change of seals and
partitions, and when the first LOST one becomes a dead letter: a writer that knows it need not read them again.
"""

import secrets
from collections.abc import Sequence

from services.history.adapters.postgres.errors import LedgerRefusedError
from services.history.adapters.postgres.partitions import EARLIER, LAST_DAY, LATER, create
from services.history.adapters.postgres.session import Session
from services.history.domain.records import Record

COLUMNS: dict[str, str] = {
    "id": "uuid",
    "namespace": "text",
    "job_id": "text",
    "job_uid": "text",
    "job_name": "text",
    "job_version": "bigint",
    "cause": "integer",
    "scheduled_us": "bigint",
    "started_us": "bigint",
    "completed_us": "bigint",
    "status": "smallint",
    "attempt_count": "bigint",
    "status_code": "bigint",
    "response": "bytea",  # as bytes: PostgreSQL's text has no U+0000
    "is_response_truncated": "smallint",
    "error": "bytea",
    "reason": "text",
    "attempts": "bytea",
    "delivery": "bigint",
    "trace_id": "text",
    "shard": "bigint",
    "epoch": "bigint",
    "definition_id": "bytea",
    "dispatcher": "text",
    "reason_code": "integer",
    "claimant": "text",
    "skipped_until_us": "bigint",
    "details": "bytea",
    "is_settled": "smallint",
}
"""Every column of a Record, in its order, and its type."""
assert tuple(COLUMNS) == Record._fields

_MAY_BE_NULL = {"started_us", "completed_us", "skipped_until_us"}
_SINCE_SCHEMA_4 = {"is_settled"}
_AT_FIRST = {name: kind for name, kind in COLUMNS.items() if name not in _SINCE_SCHEMA_4}
_LOCK = 4_127_064_101
"""Number of the advisory lock that whoever makes or changes the tables holds."""

FIRST = (
    "CREATE TABLE executions ("
    + ", ".join(f"{name} {kind}{'' if name in _MAY_BE_NULL else ' NOT NULL'}" for name, kind in _AT_FIRST.items())
    + ", seq bigint NOT NULL, PRIMARY KEY (id)) PARTITION BY RANGE (id)",
    "CREATE INDEX executions_by_job ON executions (namespace, job_id, scheduled_us, id)",
    "CREATE INDEX executions_by_time ON executions (namespace, scheduled_us, id)",
    "CREATE INDEX executions_by_shard ON executions (shard, scheduled_us)",
    "CREATE INDEX executions_unfinished ON executions (shard) WHERE status < 3",
    "CREATE INDEX executions_stretches ON executions (namespace, job_id, skipped_until_us)"
    " WHERE skipped_until_us IS NOT NULL",
    "CREATE INDEX executions_by_seq ON executions (seq)",
    "CREATE TABLE partitions (day integer PRIMARY KEY, name text NOT NULL)",
    "CREATE TABLE seals (shard bigint PRIMARY KEY, epoch bigint NOT NULL)",
    "CREATE TABLE definitions ("
    "definition_id bytea PRIMARY KEY, used_us bigint NOT NULL, request bytea NOT NULL, job bytea NOT NULL)",
    "CREATE INDEX definitions_by_use ON definitions (used_us)",
    "CREATE TABLE probes (filling bytea NOT NULL)",
    "CREATE TABLE ledger (ledger_id text NOT NULL, seq bigint NOT NULL, version bigint NOT NULL, "
    "first_day integer NOT NULL) WITH (fillfactor = 10)",
)
DEAD_LETTERS = (
    "CREATE TABLE dead_letters ("
    + ", ".join(
        f"{name} {kind}{'' if name in _MAY_BE_NULL - {'completed_us'} else ' NOT NULL'}"
        for name, kind in _AT_FIRST.items()
    )
    + ", replayed_by bytea NOT NULL DEFAULT '', PRIMARY KEY (id))",
    "CREATE INDEX dead_letters_by_time"
    " ON dead_letters (namespace, completed_us, id, replayed_by, status, reason_code, job_id)",
    "CREATE INDEX dead_letters_by_job"
    " ON dead_letters (namespace, job_id, completed_us, id, replayed_by, status, reason_code)",
    "CREATE INDEX dead_letters_by_definition ON dead_letters (definition_id)",
    "CREATE INDEX dead_letters_lost ON dead_letters (id) WHERE status = 8",
)
DECISIONS = (
    "CREATE TABLE decisions (id uuid PRIMARY KEY, namespace text NOT NULL, job_id text NOT NULL,"
    " time_us bigint NOT NULL, operation integer NOT NULL, outcome integer NOT NULL, content bytea NOT NULL)",
    "CREATE INDEX decisions_by_time ON decisions (namespace, time_us, id, outcome, operation)",
    "CREATE INDEX decisions_by_job ON decisions (namespace, job_id, time_us, id, outcome, operation)",
    "CREATE TABLE decisions_by_policy (policy_id text NOT NULL, id uuid NOT NULL, namespace text NOT NULL,"
    " job_id text NOT NULL, time_us bigint NOT NULL, operation integer NOT NULL, outcome integer NOT NULL,"
    " PRIMARY KEY (namespace, policy_id, time_us, id) INCLUDE (job_id, outcome, operation))",
    "CREATE INDEX decisions_by_policy_of ON decisions_by_policy (id)",
)
SETTLED = (
    "ALTER TABLE executions ADD COLUMN is_settled smallint NOT NULL DEFAULT 0",
    "ALTER TABLE dead_letters ADD COLUMN is_settled smallint NOT NULL DEFAULT 0",
)
STEPS: tuple[Sequence[str], ...] = (FIRST, DEAD_LETTERS, DECISIONS, SETTLED)
"""What makes schema 1 out of nothing, schema 2 out of schema 1, and so on. Steps that were released never change."""


async def migrate(session: Session, today: int, steps: Sequence[Sequence[str]] = STEPS) -> None:
    """Brings the tables to this release's schema, in one transaction; replicas that start together take turns.

    `today` counts days since 1970: executions of the days before yesterday share one partition. Raises
    LedgerRefusedError when a newer release made the tables.
    """
    async with session.transaction():
        await session.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await session.execute("CREATE TABLE IF NOT EXISTS chronos_schema (version integer NOT NULL)")
        found = await session.value("SELECT max(version) FROM chronos_schema")
        version = found or 0
        if version > len(steps):
            raise LedgerRefusedError(
                f"the database's tables are of schema {version}, made by a newer release; this one knows up to "
                f"{len(steps)}: run that release, or give this one a database of its own"
            )
        for step in steps[version:]:
            for statement in step:
                await session.execute(statement)
        if version == 0:
            await _begin(session, today - 1)
        if version < len(steps):
            await session.execute("INSERT INTO chronos_schema VALUES ($1)", len(steps))


async def _begin(session: Session, first_day: int) -> None:
    ledger_id = secrets.token_hex(16)
    await session.execute("INSERT INTO ledger VALUES ($1, 0, 0, $2)", ledger_id, first_day)
    await create(session, EARLIER, None, first_day)
    await create(session, LATER, LAST_DAY, None)
