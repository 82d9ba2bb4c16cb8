"""What the history service can be told."""

from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from libs.settings import ServiceSettings


class HistorySettings(ServiceSettings):
    """Settings of the history service."""

    data_dir: Path = Path("data/history")
    """Directory of the ledger's file, `ledger.sqlite3`; made when absent. Replicas on one machine share it."""
    ledger_url: SecretStr = SecretStr("")
    """`postgresql://user:password@host:port/database` keeps the ledger in PostgreSQL. Empty means the file."""
    ledger_timeout: timedelta = Field(default=timedelta(seconds=5), ge=timedelta(seconds=3), le=timedelta(minutes=5))
    """Longest time that PostgreSQL may take for one statement."""
    ledger_connections: int = Field(default=4, ge=1, le=100)
    """Most connections to PostgreSQL for queries; one more writes."""
    sync: Literal["full", "normal"] = "full"
    """`full` waits for the disk at each commit, as PostgreSQL always does. `normal` may lose the last moments in a
    power cut, not in a crash."""
    retention: timedelta = Field(default=timedelta(days=30), ge=timedelta(0))
    """Age, by scheduled time, at which finished executions are deleted. 0 keeps them."""
    dead_letter_retention: timedelta = Field(default=timedelta(days=30), ge=timedelta(0))
    """Time after its death at which a dead letter is deleted, whatever became of its execution. 0 keeps them."""
    max_dead_letters: int = Field(default=100_000, ge=1, le=10_000_000)
    """Most dead letters that a namespace keeps; beyond that the oldest go, at the next look."""
    decision_retention: timedelta = Field(default=timedelta(days=90), ge=timedelta(0))
    """Age at which a decision of policies is deleted from their account. 0 keeps them."""
    retention_interval: timedelta = Field(default=timedelta(minutes=1), ge=timedelta(milliseconds=100))
    """Time between two looks for what is over that age."""
    max_response_bytes: int = Field(default=16 * 1024, ge=0, le=1024 * 1024)
    """Most bytes of an answer's body that are kept."""
    max_pending_records: int = Field(default=20_000, ge=1)
    """Records that may wait for the disk before streams are read no further; bounds memory."""
    max_commit_records: int = Field(default=5_000, ge=1)
    """Most records in one transaction, but for a single larger batch; bounds the wait of those behind it."""
    reader_threads: int = Field(default=2, ge=1, le=64)
    """Queries that may run at the same time."""
    busy_timeout: timedelta = Field(default=timedelta(seconds=10), ge=timedelta(0))
    """Longest wait for another replica's transaction on the same file."""
    check_up_to_bytes: int = Field(default=1024**3, ge=0)
    """A ledger up to this size is checked page by page at start; a larger one would take minutes."""
    watch_interval: timedelta = Field(default=timedelta(milliseconds=50), ge=timedelta(milliseconds=5))
    """Time between two looks for what other replicas recorded, while anybody watches."""
    watch_keep_alive: timedelta = Field(default=timedelta(seconds=10), gt=timedelta(0), le=timedelta(seconds=15))
    """Longest silence on a watch: then a message that only moves its resume token on."""
    watch_buffer: int = Field(default=2_000, ge=1)
    """Changes kept in memory for one watcher; a slower one reads them from the ledger later."""

    @field_validator("ledger_url")
    @classmethod
    def _check_url(cls, value: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(value.get_secret_value())
            is_known = parts.scheme in ("postgresql", "postgres") and bool(parts.path.strip("/"))
        except ValueError:
            is_known = False
        if value.get_secret_value() and not is_known:
            raise ValueError("must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
        return value
