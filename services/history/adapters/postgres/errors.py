"""PostgreSQL's errors in Chronos's words."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from libs.faults import Unavailable
from services.history.adapters.reasons import LEDGER_CORRUPT, LEDGER_ERROR, LEDGER_FULL

FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What a database that cannot be used now is told by. The network raises OSError or TimeoutError."""

_FULL = frozenset({"53100"})
_CORRUPT = frozenset({"XX001", "XX002"})
_PASSING = ("08", "25", "40", "53", "55", "57", "58")
"""Classes of errors that may pass by themselves: of the connection, the load, the disk, a restart, a fail-over."""


class LedgerRefusedError(Exception):
    """The database cannot be used as it is, and nothing was changed in it. The message says what to do."""


def is_hopeless(error: BaseException) -> bool:
    """Whether trying again is no use before somebody changes the URL, the password or the server."""
    if isinstance(error, asyncpg.ClientConfigurationError):
        return True
    code = _code(error)
    return bool(code) and not code.startswith(_PASSING)


def unavailable(error: BaseException) -> Unavailable:
    """The fault for callers: nothing of what they asked for is acknowledged, and asking again may help."""
    code = _code(error)
    detail = {"postgres_error": code or type(error).__name__}
    if code in _FULL:
        return Unavailable(
            "The disk of the ledger's database is full and nothing was recorded; make room on it, recording then goes "
            "on by itself.",
            reason=LEDGER_FULL,
            metadata=detail,
        )
    if code in _CORRUPT:
        return Unavailable(
            "The ledger's database is damaged and nothing was recorded; restore it from a backup.",
            reason=LEDGER_CORRUPT,
            metadata=detail,
        )
    return Unavailable(
        f"The ledger's database cannot be used now ({told(error)}); look at its log and at the network in between.",
        reason=LEDGER_ERROR,
        metadata=detail,
    )


@contextmanager
def told_as_unavailable() -> Iterator[None]:
    """Raises Unavailable for what the database or the way to it raises."""
    try:
        yield
    except FAULTS as error:
        raise unavailable(error) from error


def told(error: BaseException) -> str:
    """The first line of an error, or its kind where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _code(error: BaseException) -> str:
    """The SQLSTATE; empty for an error that PostgreSQL did not send."""
    return str(getattr(error, "sqlstate", None) or "")
