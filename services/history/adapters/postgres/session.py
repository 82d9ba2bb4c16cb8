"""A session with the database: how it is opened, and what it promises the others."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg

CONNECT_TIMEOUT = timedelta(seconds=5)
CLIENT_MARGIN = timedelta(seconds=2)
"""How much longer we wait for an answer than the server works on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which database, and how long one statement may take.

    A replica that is paused or cut off inside a transaction holds up the others no longer than `longest_idle`.
    """

    url: str = field(repr=False)
    timeout: timedelta = timedelta(seconds=5)
    longest_idle: timedelta = timedelta(seconds=2)

    def options(self) -> dict[str, Any]:
        """What asyncpg needs for a connection."""
        idle_ms = str(int(self.longest_idle.total_seconds() * 1000))
        return {
            "dsn": self.url,
            "timeout": CONNECT_TIMEOUT.total_seconds(),
            "command_timeout": (self.timeout + CLIENT_MARGIN).total_seconds(),
            "init": _prepare,
            "target_session_attrs": "read-write",  # never a standby: it may be behind
            "server_settings": {
                "application_name": "chronos-history",
                "idle_in_transaction_session_timeout": idle_ms,
                "statement_timeout": str(int(self.timeout.total_seconds() * 1000)),
                "tcp_user_timeout": idle_ms,
                "tcp_keepalives_idle": "1",
                "tcp_keepalives_interval": "1",
                "tcp_keepalives_count": "2",
                "jit": "off",
                "plan_cache_mode": "force_generic_plan",
            },
        }


class Session:
    """One connection. Raises what asyncpg raises; see errors.FAULTS."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, target: Target) -> "Session":
        """A connection of its own. Raises errors.FAULTS."""
        options = target.options()
        prepare = options.pop("init")
        connection = await asyncpg.connect(**options)
        try:
            await prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        return cls(connection)

    @property
    def is_closed(self) -> bool:
        """Whether it is gone, as far as is known here."""
        return bool(self._connection.is_closed())

    async def execute(self, statement: str, *values: object) -> int:
        """Runs a statement and gives the number of rows that it changed."""
        status: str = await self._connection.execute(statement, *values)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0

    async def rows(self, statement: str, *values: object) -> Sequence[Sequence[Any]]:
        """The rows of a query."""
        found: Sequence[Sequence[Any]] = await self._connection.fetch(statement, *values)
        return found

    async def row(self, statement: str, *values: object) -> Sequence[Any] | None:
        """The first row of a query."""
        found: Sequence[Any] | None = await self._connection.fetchrow(statement, *values)
        return found

    async def value(self, statement: str, *values: object) -> Any:
        """The first column of the first row of a query; None without one."""
        return await self._connection.fetchval(statement, *values)

    @asynccontextmanager
    async def transaction(self, begin: str = "BEGIN") -> AsyncIterator[None]:
        """Commits at the end. After an error nothing of it counts, unless the error came from the commit itself."""
        await self._connection.execute(begin)
        try:
            yield
        except Exception:
            await self._connection.execute("ROLLBACK")
            raise
        if await self._connection.execute("COMMIT") != "COMMIT":
            raise asyncpg.InterfaceError("the server rolled the transaction back")

    def abandon(self) -> None:
        """Ends it without a word to the server, and without waiting."""
        self._connection.terminate()

    async def close(self) -> None:
        """Ends it in order."""
        await self._connection.close(timeout=CONNECT_TIMEOUT.total_seconds())


async def _prepare(connection: Any) -> None:
    """Ids are bytes; and a commit waits for the disk, even where the server's default is not to."""
    await connection.set_type_codec("uuid", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")
    await connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
