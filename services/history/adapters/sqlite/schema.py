"""Tables and indices of the ledger's file, and how it is opened.

The `id` index holds "first wins"; ids sort by scheduled time, so it grows at its end. `_by_job` and `_by_time` serve
the lists, newest first, with the id to break ties. `_by_shard` serves the seal (what is past the watermark) and
retention (what is old); with some dozens of shards it too grows at a few places only. `_unfinished` holds a shard's
few unfinished executions and nothing else, `_stretches` the few that stand for several skipped runs. `_by_seq` is the
order of changes, for watchers; it is the one index that each change of an execution moves. The indices of dead letters
have all that lists of them filter by, and `_lost` the few whose real end may still come. Those of decisions have so
too, and `decisions_by_policy` is itself such an index, over the policies that had something to say. Responses can be
16 KiB, hence a table with a rowid: a clustered one would carry them through its inner pages.
"""

import sqlite3
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Literal

from services.history.adapters.sqlite.errors import LedgerFileError, is_corruption
from services.history.domain.records import Record

SCHEMA_VERSION = 5
OLDEST_SQLITE = (3, 38, 0)
CACHE_KIB = 64 * 1024
CHECKPOINT_PAGES = 4_000
LARGEST_WAL_BYTES = 64 * 1024 * 1024

COLUMNS = Record._fields
USUAL = COLUMNS[: COLUMNS.index("reason_code")]
"""Those that most executions fill. The others have the defaults of Record in the tables too."""
_FACTS = """
    id BLOB NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    job_id TEXT NOT NULL,
    job_uid TEXT NOT NULL,
    job_name TEXT NOT NULL,
    job_version INTEGER NOT NULL,
    cause INTEGER NOT NULL,
    scheduled_us INTEGER NOT NULL,
    started_us INTEGER,
    completed_us INTEGER,
    status INTEGER NOT NULL,
    attempt_count INTEGER NOT NULL,
    status_code INTEGER NOT NULL,
    response TEXT NOT NULL,
    is_response_truncated INTEGER NOT NULL,
    error TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts BLOB NOT NULL,
    delivery INTEGER NOT NULL,
    trace_id TEXT NOT NULL,
    shard INTEGER NOT NULL,
    epoch INTEGER NOT NULL
"""
_REST = """
    definition_id BLOB NOT NULL DEFAULT x'',
    dispatcher TEXT NOT NULL DEFAULT '',
    reason_code INTEGER NOT NULL DEFAULT 0,
    claimant TEXT NOT NULL DEFAULT '',
    skipped_until_us INTEGER,
    details BLOB NOT NULL DEFAULT x''
"""
TABLES = f"""
CREATE TABLE executions ({_FACTS}, seq INTEGER NOT NULL, {_REST});
CREATE INDEX executions_by_job ON executions (namespace, job_id, scheduled_us, id);
CREATE INDEX executions_by_time ON executions (namespace, scheduled_us, id);
CREATE INDEX executions_by_shard ON executions (shard, scheduled_us);
CREATE INDEX executions_unfinished ON executions (shard) WHERE status < 3;
CREATE INDEX executions_by_seq ON executions (seq);
CREATE TABLE seals (shard INTEGER PRIMARY KEY, epoch INTEGER NOT NULL);
CREATE TABLE ledger (ledger_id TEXT NOT NULL, seq INTEGER NOT NULL);
CREATE TABLE probes (filling BLOB NOT NULL);
"""
SINCE_VERSION_2 = """
CREATE INDEX executions_stretches ON executions (namespace, job_id, skipped_until_us)
    WHERE skipped_until_us IS NOT NULL;
CREATE TABLE definitions (
    definition_id BLOB PRIMARY KEY,
    used_us INTEGER NOT NULL,
    request BLOB NOT NULL,
    job BLOB NOT NULL
);
CREATE INDEX definitions_by_use ON definitions (used_us);
"""
FROM_VERSION_1 = f"""
ALTER TABLE executions ADD COLUMN definition_id BLOB NOT NULL DEFAULT x'';
ALTER TABLE executions ADD COLUMN dispatcher TEXT NOT NULL DEFAULT '';
ALTER TABLE executions ADD COLUMN reason_code INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN claimant TEXT NOT NULL DEFAULT '';
ALTER TABLE executions ADD COLUMN skipped_until_us INTEGER;
ALTER TABLE executions ADD COLUMN details BLOB NOT NULL DEFAULT x'';
{SINCE_VERSION_2}
"""
"""Adds columns without a rewrite of the rows, so it takes no longer for a large ledger than for a small one, but for
the look at each row that the new index takes."""
SINCE_VERSION_3 = f"""
CREATE TABLE dead_letters ({_FACTS}, {_REST}, replayed_by BLOB NOT NULL DEFAULT x'');
CREATE INDEX dead_letters_by_time
    ON dead_letters (namespace, completed_us, id, replayed_by, status, reason_code, job_id);
CREATE INDEX dead_letters_by_job
    ON dead_letters (namespace, job_id, completed_us, id, replayed_by, status, reason_code);
CREATE INDEX dead_letters_by_definition ON dead_letters (definition_id);
CREATE INDEX dead_letters_lost ON dead_letters (id) WHERE status = 8;
"""
SINCE_VERSION_4 = """
CREATE TABLE decisions (
    id BLOB NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    job_id TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    operation INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    content BLOB NOT NULL
);
CREATE INDEX decisions_by_time ON decisions (namespace, time_us, id, outcome, operation);
CREATE INDEX decisions_by_job ON decisions (namespace, job_id, time_us, id, outcome, operation);
CREATE TABLE decisions_by_policy (
    policy_id TEXT NOT NULL,
    id BLOB NOT NULL,
    namespace TEXT NOT NULL,
    job_id TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    operation INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    PRIMARY KEY (namespace, policy_id, time_us, id)
) WITHOUT ROWID;
CREATE INDEX decisions_by_policy_of ON decisions_by_policy (id);
"""
SINCE_VERSION_5 = """
ALTER TABLE executions ADD COLUMN is_settled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN is_settled INTEGER NOT NULL DEFAULT 0;
"""

Sync = Literal["full", "normal"]


def open_ledger(path: Path, *, sync: Sync, busy_timeout: timedelta, check_up_to_bytes: int) -> sqlite3.Connection:
    """A connection that may write; creates the file and its tables when there are none.

    Raises LedgerFileError, with a sentence that says what to do, when the file is damaged, is no ledger, was written by
    a newer release, or cannot be opened. Never changes such a file.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise LedgerFileError(f"SQLite {sqlite3.sqlite_version} is too old; run a Python that has 3.38 or newer")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = _connect(path, busy_timeout)
    except (OSError, sqlite3.Error) as error:
        raise LedgerFileError(
            f"{path} cannot be opened ({error}); check the directory's rights and free space"
        ) from error
    try:
        _check(connection, path, check_up_to_bytes)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {sync}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {LARGEST_WAL_BYTES}")
        _update_tables(connection)
    except sqlite3.Error as error:
        connection.close()
        raise LedgerFileError(_sentence(path, error)) from error
    except LedgerFileError:
        connection.close()
        raise
    return connection


def open_reader(path: Path, *, busy_timeout: timedelta) -> sqlite3.Connection:
    """A connection that cannot write, to a ledger that has been opened before."""
    connection = _connect(path, busy_timeout)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _connect(path: Path, busy_timeout: timedelta) -> sqlite3.Connection:
    return sqlite3.connect(
        path,
        timeout=busy_timeout.total_seconds(),
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )


def _check(connection: sqlite3.Connection, path: Path, check_up_to_bytes: int) -> None:
    connection.execute("BEGIN")  # one look at both, while another process may be making the tables
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    connection.execute("COMMIT")
    if version > SCHEMA_VERSION:
        raise LedgerFileError(
            f"{path} was written by a newer release (schema {version}, this one knows {SCHEMA_VERSION}); "
            "run that release or a newer one"
        )
    if version == 0 and tables:
        raise LedgerFileError(f"{path} is another program's database; set data_dir to a directory of its own")
    if version and path.stat().st_size <= check_up_to_bytes:
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise LedgerFileError(_damaged(path, problem))


def _update_tables(connection: sqlite3.Connection) -> None:
    """Makes the tables, or brings those of an older release up to date: all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            _run(connection, TABLES + SINCE_VERSION_2)
            connection.execute("INSERT INTO ledger VALUES (?, 0)", (uuid.uuid4().hex,))
        elif version == 1:
            _run(connection, FROM_VERSION_1)
        if version < 3:
            _run(connection, SINCE_VERSION_3)
        if version < 4:
            _run(connection, SINCE_VERSION_4)
        if version < SCHEMA_VERSION:
            _run(connection, SINCE_VERSION_5)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _run(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";"):
        connection.execute(statement)


def _sentence(path: Path, error: sqlite3.Error) -> str:
    if is_corruption(error):
        return _damaged(path, str(error))
    return f"{path} cannot be used ({error}); check the file's rights and the free space on its disk"


def _damaged(path: Path, problem: str) -> str:
    first_line = " ".join(problem.split())
    return (
        f"{path} is damaged ({first_line}); it was left as it is: restore it from a backup, "
        "or salvage it with `sqlite3 FILE .recover`, or move it away to start an empty ledger"
    )
