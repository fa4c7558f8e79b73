"""For Alembic's autogenerate: leave alone what is not the application's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twinlock.store.schema import VERSION_TABLE, metadata


def include_name(name: str | None, kind: str, _parents: Mapping[str, Any]) -> bool:
    """Return False for Twinlock's own tables, which ``twinlock init --migrate`` takes care of.

    Pass it as ``context.configure(include_name=include_name)`` if Twinlock's store is in the
    application's database.
    """
    return kind != "table" or name is None or name not in {VERSION_TABLE, *metadata.tables}
