"""Counters with a limit: how often a token key was used (SP 800-38D, section 8.3)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from twinlock.errors import CallerError
from twinlock.store.database import Database
from twinlock.store.schema import counters
from twinlock.store.statements import insert_or


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

    def value(self, name: str) -> int:
        """Return where a counter stands."""
        with self._database.read() as connection:
            query = select(counters.c.value).where(counters.c.name == name)
            return connection.execute(query).scalar() or 0
