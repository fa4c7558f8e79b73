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


def translate(error: SQLAlchemyError, place: str) -> TwinlockError:
    """Return the error to raise for ``error``; ``place`` names the database without password."""
    if isinstance(error, StatementError) and isinstance(error.orig, TwinlockError):
        return error.orig
    return _faces(f"The {place}")[_subject(error)]


def _faces(what: str) -> dict[str, EnvError]:
    """Per subject: what happened, what to do next, whether trying again helps."""
    again = "Try again in a moment."
    return {
        "locked": EnvError(
            "store.locked", f"{what} is locked by another writer.", hint=again, retryable=True
        ),
        "busy": EnvError(
            "store.busy", f"{what} has no free connection.", hint=again, retryable=True
        ),
        "unreachable": EnvError(
            "store.unreachable",
            f"{what} cannot be reached.",
            hint="Check that it runs, and try again.",
            retryable=True,
        ),
        "full": EnvError(
            "store.full",
            f"{what} has no space left.",
            hint="Free disk space; nothing was written.",
            retryable=True,
        ),
        "read-only": EnvError(
            "store.read-only",
            f"{what} takes no writes.",
            hint="Check file rights, or which server is the primary.",
        ),
        "damaged": EnvError(
            "store.damaged", f"{what} is damaged.", hint="Stop writing to it, and restore a backup."
        ),
        "failed": EnvError(
            "store.failed",
            f"{what} failed unexpectedly.",
            hint="The cause is in the operator's log.",
        ),
    }


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
