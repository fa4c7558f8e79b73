"""Counters with a limit: uses of a token key (SP 800-38D, section 8.3), attempts in a window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import case, delete, select

from twinlock.errors import CallerError
from twinlock.store.database import Database
from twinlock.store.schema import counters
from twinlock.store.statements import insert_or

WINDOW_LIMIT: Final = (1 << 20) - 1
"""The largest limit in a window: such a counter holds window * 2^20 + count."""


class WindowFullError(Exception):
    """A counter reached its limit in this window; ``name`` says which. Nothing was added."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True, slots=True)
class CounterStore:
    """Counters that never pass a limit."""

    _database: Database

    def add(self, name: str, amount: int, limit: int) -> int:
        """Add ``amount`` (>= 0) and return the sum, which is at most ``limit``.

        A counter starts at 0. Raises ``token.key-exhausted`` with nothing added.
        """
        exhausted = CallerError(
            "token.key-exhausted",
            f"{name!r} may count to {limit} and cannot take {amount} more.",
            hint="Make a new key; the old one still opens what it sealed.",
        )
        if amount > limit:
            raise exhausted
        with self._database.write() as connection:
            statement = insert_or(connection, counters).values(name=name, value=amount)
            # Written as a difference: the sum might not fit into 64 bits.
            added = statement.on_conflict_do_update(
                index_elements=["name"],
                set_={"value": counters.c.value + statement.excluded.value},
                where=counters.c.value <= limit - amount,
            ).returning(counters.c.value)
            total = connection.execute(added).scalar()
            if total is None:
                raise exhausted
            return int(total)

    def add_in_window(self, limits: Mapping[str, int], window: int) -> None:
        """Count one under each name in this window, all or none.

        ``limits`` maps names to limits of 1 to ``WINDOW_LIMIT``; callers keep one order of kinds,
        so that no two wait for each other. Windows are numbered from 0 and count from 0 each; in
        one that ended (the clock went back) a counter is full. Raises ``WindowFullError``.
        """
        base = window * (WINDOW_LIMIT + 1)
        with self._database.write() as connection, self._database.callers_code():
            for name, limit in limits.items():
                value = counters.c.value
                statement = insert_or(connection, counters).values(name=name, value=base + 1)
                added = statement.on_conflict_do_update(
                    index_elements=["name"],
                    set_={"value": case((value < base, base + 1), else_=value + 1)},
                    where=value < base + limit,
                ).returning(value)
                if connection.execute(added).scalar() is None:
                    raise WindowFullError(name)

    def forget_windows(self, prefix: str, window: int) -> None:
        """Forget the counters of earlier windows whose names begin with ``prefix``."""
        ended = counters.c.value < window * (WINDOW_LIMIT + 1)
        with self._database.write() as connection:
            connection.execute(
                delete(counters).where(counters.c.name.startswith(prefix, autoescape=True), ended)
            )

    def value(self, name: str) -> int:
        """Return where a counter stands."""
        with self._database.read() as connection:
            query = select(counters.c.value).where(counters.c.name == name)
            return connection.execute(query).scalar() or 0
