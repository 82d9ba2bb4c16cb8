"""SQLite's errors in Chronos's words."""

import sqlite3

from libs.faults import Unavailable
from services.history.adapters.reasons import LEDGER_CORRUPT, LEDGER_ERROR, LEDGER_FULL

_PRIMARY_CODE = 0xFF


class LedgerFileError(Exception):
    """The ledger's file cannot be used, and nothing was changed in it. The message says what to do."""


def is_corruption(error: sqlite3.Error) -> bool:
    """Whether the file itself is damaged, or is no database at all."""
    return _primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def unavailable(error: sqlite3.Error) -> Unavailable:
    """The fault for callers: nothing of what they asked for was written, and asking again may help."""
    detail = {"sqlite_error": getattr(error, "sqlite_errorname", type(error).__name__)}
    if _primary_code(error) == sqlite3.SQLITE_FULL:
        return Unavailable(
            "The ledger's disk is full and nothing was recorded; make room on it, recording then goes on by itself.",
            reason=LEDGER_FULL,
            metadata=detail,
        )
    if is_corruption(error):
        return Unavailable(
            "The ledger's file is damaged and nothing was recorded; stop history and restore the file from a backup.",
            reason=LEDGER_CORRUPT,
            metadata=detail,
        )
    return Unavailable(
        f"The ledger cannot be used now ({error}); look at history's log and at its disk.",
        reason=LEDGER_ERROR,
        metadata=detail,
    )


def _primary_code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & _PRIMARY_CODE
