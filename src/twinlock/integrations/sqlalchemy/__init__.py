"""Sealed attributes of SQLAlchemy's mapped classes (2.0 and later).

    class Patient(Base):
        diagnosis: Mapped[Sealed[str]] = sealed_column(to=lambda p: (p.ward, "emergency"))

Values are sealed when a session flushes, and opened for a whole page at once; see
docs/sqlalchemy.md.
"""

from __future__ import annotations

from twinlock.integrations.sqlalchemy.binding import seal_with
from twinlock.integrations.sqlalchemy.codecs import Codec
from twinlock.integrations.sqlalchemy.declare import sealed_column
from twinlock.integrations.sqlalchemy.groups import all_of
from twinlock.integrations.sqlalchemy.handle import Sealed, SealedUseError
from twinlock.integrations.sqlalchemy.migrations import include_name
from twinlock.integrations.sqlalchemy.opening import opened_rows, opened_views, sealed_items
from twinlock.integrations.sqlalchemy.source import RowView, error_of, row_of, seal_again
from twinlock.integrations.sqlalchemy.spec import SealedTable

__all__ = [
    "Codec",
    "RowView",
    "Sealed",
    "SealedTable",
    "SealedUseError",
    "all_of",
    "error_of",
    "include_name",
    "opened_rows",
    "opened_views",
    "row_of",
    "seal_again",
    "seal_with",
    "sealed_column",
    "sealed_items",
]
