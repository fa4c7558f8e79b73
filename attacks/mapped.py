"""An application that maps its tables with SQLAlchemy: one begun with Twinlock, one adopted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from attacks.legacy import AAD, COLUMNS, KEY, TABLE, OldApplication
from twinlock.adopt.layout import LegacyLayout
from twinlock.adopt.settings import ColumnSettings, Encoding, Source, TableSettings
from twinlock.adopt.templates import parse_template
from twinlock.integrations.sqlalchemy import (
    Sealed,
    SealedTable,
    error_of,
    opened_rows,
    seal_with,
    sealed_column,
)
from twinlock.server.legacy import LegacyRow

if TYPE_CHECKING:
    from attacks.world import World

ATTRIBUTES: Final = ("diagnosis", "medication")


class Base(DeclarativeBase):
    """Both tables, and a second one of the first's shape."""


class Patient(Base):
    """A row DEK for both attributes; one that is changed alone gets a DEK of its own."""

    __tablename__ = "mapped_patient"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    groups: Mapped[str]
    diagnosis: Mapped[Sealed[str] | None] = sealed_column(to=lambda p: p.groups.split("+"))
    medication: Mapped[Sealed[str] | None] = sealed_column(to=lambda p: p.groups.split("+"))


class Staff(Base):
    """Another table, with the same columns."""

    __tablename__ = "mapped_staff"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    groups: Mapped[str]
    diagnosis: Mapped[Sealed[str] | None] = sealed_column(to=lambda p: p.groups.split("+"))
    medication: Mapped[Sealed[str] | None] = sealed_column(to=lambda p: p.groups.split("+"))


def _layout() -> LegacyLayout:
    columns = tuple(
        ColumnSettings(
            name=name,
            content=f"{name}_ct",
            nonce=None,
            tag=None,
            aad=parse_template(AAD.decode()),
            target=f"{name}_sealed",
            encoding=Encoding.RAW,
        )
        for name in COLUMNS
    )
    settings = TableSettings(
        table="mapped_old",
        schema=None,
        name=TABLE,
        key=("id",),
        key_is_uuid=False,
        tenant=parse_template(""),
        version=None,
        source=Source.HSM,
        dek="wrapped_dek",
        dek_encoding=Encoding.RAW,
        key_name=KEY,
        key_column=None,
        groups=(parse_template("ward"),),
        group_names={},
        target="twinlock_dek",
        columns=columns,
        layout=None,
        watch=(),
        fernet_key_file=None,
        fernet_key_env=None,
    )
    return LegacyLayout(settings)


class OldPatient(Base):
    """A table that is being adopted; its old columns lie there until it is contracted."""

    __tablename__ = "mapped_old"
    __twinlock__ = SealedTable(table=TABLE, to="ward", adopted=_layout)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    wrapped_dek: Mapped[bytes | None]
    diagnosis_ct: Mapped[bytes | None]
    medication_ct: Mapped[bytes | None]
    diagnosis: Mapped[Sealed[str] | None] = sealed_column("diagnosis_sealed")
    medication: Mapped[Sealed[str] | None] = sealed_column("medication_sealed")


def old_columns(row: LegacyRow) -> dict[str, object]:
    """A legacy row as it lies in its table: each nonce in front of its ciphertext."""
    cells = {f"{name}_ct": cell.nonce + cell.ciphertext for name, cell in row.cells.items()}
    return {"wrapped_dek": row.wrapped_dek, **cells}


@dataclass(frozen=True, slots=True)
class Tables:
    """The application's tables in the world's database."""

    world: World
    engine: Engine
    sessions: sessionmaker[Session]

    def shown(self, kind: type[Any], number: int, reader: str) -> dict[str, str | None]:
        """What a page shows of a row to a reader. Raises the first attribute's refusal."""
        with self.sessions() as session:
            row = session.get_one(kind, number)
            agent, vault = self.world.agents[reader], self.world.vault
            with opened_rows([row], vault, agent.release) as (view,):
                for name in ATTRIBUTES:
                    error = error_of(view, name)
                    if error is not None:
                        raise error
                return {name: getattr(view, name) for name in ATTRIBUTES}

    def stored(self, kind: type[Any], number: int) -> dict[str, Any]:
        """A row's columns as they lie in the database."""
        table = kind.__table__
        with self.engine.begin() as connection:
            found = connection.execute(table.select().where(table.c.id == number))
            return dict(found.mappings().one())

    def write(self, kind: type[Any], number: int, **columns: object) -> None:
        """Write columns past the application, as whoever writes the database."""
        table = kind.__table__
        values = {table.c[name]: value for name, value in columns.items()}
        with self.engine.begin() as connection:
            done = connection.execute(table.update().where(table.c.id == number).values(values))
            if done.rowcount != 1:
                raise LookupError(f"{table.name} has no row {number}")


@contextmanager
def mapped(world: World) -> Iterator[Tables]:
    """Make the tables, sealed with the world's vault; they are gone when the block ends."""
    engine = create_engine(world.config.store_url)
    Base.metadata.create_all(engine)
    try:
        yield Tables(world, engine, seal_with(sessionmaker(engine), world.vault))
    finally:
        Base.metadata.drop_all(engine)
        engine.dispose()


def adopt_rows(tables: Tables, old: OldApplication, places: Mapping[int, Any]) -> None:
    """Put old rows into their table, with what their adoption writes beside them."""
    for number, place in places.items():
        row = old.rows[place.name]
        head = old.rewrap(place).head
        with tables.engine.begin() as connection:
            values = {"id": number, "twinlock_dek": head, **old_columns(row)}
            connection.execute(OldPatient.metadata.tables["mapped_old"].insert().values(values))
