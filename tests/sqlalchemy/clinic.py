"""A small clinic: mapped classes with sealed attributes, and sessions that seal them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.pool import StaticPool

from twinlock import Opened, Request, Vault
from twinlock.integrations.sqlalchemy import (
    Sealed,
    SealedTable,
    all_of,
    opened_rows,
    seal_with,
    sealed_column,
)
from twinlock.testing import MemoryDeployment, MemoryMember


class Base(DeclarativeBase):
    pass


class Patient(Base):
    """The class of the documentation: two sealed attributes for the ward and for emergencies."""

    __tablename__ = "patient"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str] = mapped_column(default="")
    ward: Mapped[str] = mapped_column(default="cardiology")
    diagnosis: Mapped[Sealed[str] | None] = sealed_column(to=lambda p: (p.ward, "emergency"))
    notes: Mapped[Sealed[str] | None] = sealed_column(to=lambda p: (p.ward, "emergency"))


class Chart(Base):
    """One attribute of every type, and one with other groups."""

    __tablename__ = "chart"
    __twinlock__ = SealedTable(to="cardiology")

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[Sealed[str] | None] = sealed_column()
    raw: Mapped[Sealed[bytes] | None] = sealed_column()
    number: Mapped[Sealed[int] | None] = sealed_column()
    day: Mapped[Sealed[date] | None] = sealed_column()
    moment: Mapped[Sealed[datetime] | None] = sealed_column()
    amount: Mapped[Sealed[Decimal] | None] = sealed_column()
    table: Mapped[Sealed[dict[str, Any]] | None] = sealed_column()
    series: Mapped[Sealed[list[int]] | None] = sealed_column()
    audited: Mapped[Sealed[str] | None] = sealed_column(
        to=all_of("cardiology", "data-office"), deferred=True
    )


def engine_in_memory() -> Engine:
    """An SQLite database that all connections share."""
    return create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )


@dataclass
class Clinic:
    """A database with the tables, sessions that seal, and every statement that was sent."""

    deployment: MemoryDeployment
    engine: Engine
    sessions: sessionmaker[Session]
    statements: list[str] = field(default_factory=list)

    @property
    def vault(self) -> Vault:
        return self.deployment.vault

    def open(self, *rows: Any, member: MemoryMember | None = None) -> list[Opened]:
        """The results of the vault for these rows, in order."""
        from twinlock.integrations.sqlalchemy import sealed_items

        request = self.vault.request(sealed_items(rows))
        return self.vault.open(request, (member or self.deployment.weber).release(request))

    @contextmanager
    def views(self, *rows: Any, member: MemoryMember | None = None) -> Iterator[list[Any]]:
        with opened_rows(rows, self.vault, (member or self.deployment.weber).release) as views:
            yield views

    def read(self, row: Any, *names: str) -> list[Any]:
        """The plaintext of a row's attributes."""
        with self.views(row) as [view]:
            return [getattr(view, name) for name in names]

    def stored(self, table: str, column: str) -> list[Any]:
        """A column's bytes as they are in the database."""
        with self.engine.connect() as connection:
            return list(connection.exec_driver_sql(f"SELECT {column} FROM {table}").scalars())

    @contextmanager
    def recorded(self) -> Iterator[list[str]]:
        """The statements that the block sends."""
        start = len(self.statements)
        seen: list[str] = []
        yield seen
        seen += self.statements[start:]


def clinic_on(
    deployment: MemoryDeployment, engine: Engine, base: type[DeclarativeBase] = Base
) -> Clinic:
    """A clinic in a database, whose tables are made."""
    clinic = Clinic(deployment, engine, seal_with(sessionmaker(engine), deployment.vault))
    base.metadata.create_all(engine)

    @event.listens_for(engine, "before_cursor_execute")
    def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        clinic.statements.append(statement)

    return clinic


def counted(vault: Vault) -> tuple[Vault, list[int]]:
    """A vault, and how many items each of its requests had from now on."""
    sizes: list[int] = []
    ask: Callable[..., Request] = vault.request

    def request(items: Iterable[Any], **options: Any) -> Request:
        listed = list(items)
        sizes.append(len(listed))
        return ask(listed, **options)

    vault.request = request  # type: ignore[method-assign]
    return vault, sizes
