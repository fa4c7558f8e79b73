"""The border: what SQLite, PostgreSQL and SQLAlchemy raise becomes one of Twinlock's errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from twinlock.errors import EnvError, TwinlockError

# Primary result codes, https://www.sqlite.org/rescode.html
_SQLITE_SUBJECTS = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_CANTOPEN: "unreachable",
    sqlite3.SQLITE_IOERR: "unreachable",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_FULL: "full",
}

# Prefixes of SQLSTATE, the longest match counts. PostgreSQL manual, appendix A.
_SQLSTATE_SUBJECTS = {
    "08": "unreachable",
    "57P": "unreachable",
    "53": "unreachable",
    "53100": "full",
    "55P03": "locked",
    "40": "locked",
    "25006": "read-only",
    "XX001": "damaged",
    "XX002": "damaged",
}

# Per subject: what happened, what to do next, whether trying again helps.
_FACES = {
    "locked": ("is locked by another writer", "Try again in a moment.", True),
    "busy": ("has no free connection", "Try again in a moment, or serve fewer at once.", True),
    "unreachable": ("cannot be reached", "Check that it runs, and try again.", True),
    "full": ("has no space left", "Free disk space; nothing was written.", True),
    "read-only": ("takes no writes", "Check file rights, or which server is the primary.", False),
    "damaged": ("is damaged", "Stop writing to it, and restore a backup.", False),
    "failed": ("failed unexpectedly", "The cause is in the operator's log.", False),
}


def translate(error: SQLAlchemyError, place: str) -> TwinlockError:
    """Return the error to raise for ``error``; ``place`` names the database without password."""
    if isinstance(error, StatementError) and isinstance(error.orig, TwinlockError):
        return error.orig
    subject = _subject(error)
    what, hint, retryable = _FACES[subject]
    return EnvError(f"store.{subject}", f"The {place} {what}.", hint=hint, retryable=retryable)


@contextmanager
def conflict_means(refusal: TwinlockError) -> Iterator[None]:
    """Raise ``refusal`` when a statement inside breaks a UNIQUE or FOREIGN KEY constraint."""
    try:
        yield
    except IntegrityError as error:
        raise refusal from error


def _subject(error: SQLAlchemyError) -> str:
    if isinstance(error, PoolTimeoutError):
        return "busy"
    if not isinstance(error, DBAPIError):
        return "failed"
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return _SQLITE_SUBJECTS.get(code & 0xFF, "failed")
    state = getattr(error.orig, "sqlstate", None)
    if state:
        matching = [prefix for prefix in _SQLSTATE_SUBJECTS if state.startswith(prefix)]
        return _SQLSTATE_SUBJECTS[max(matching, key=len)] if matching else "failed"
    # Without a state it never came to a statement: refused, timed out, or cut in the middle.
    if error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError)):
        return "unreachable"
    return "failed"
