"""What the server keeps in a database: SQLite by default, PostgreSQL by URL."""

from twinlock.store.audit import BuildLine
from twinlock.store.sql import SqlStore
from twinlock.store.values import (
    AuditHead,
    AuditLine,
    AuditTail,
    EnrolmentList,
    LogEntry,
    LogHead,
    SealedGroupKey,
    SealedRow,
    StoredGroup,
    StoredLine,
    StoredMember,
    StoredStatement,
)

__all__ = [
    "AuditHead",
    "AuditLine",
    "AuditTail",
    "BuildLine",
    "EnrolmentList",
    "LogEntry",
    "LogHead",
    "SealedGroupKey",
    "SealedRow",
    "SqlStore",
    "StoredGroup",
    "StoredLine",
    "StoredMember",
    "StoredStatement",
]
