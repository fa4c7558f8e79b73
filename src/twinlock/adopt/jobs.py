"""The small record of runs, for reporting only: what is still to do is told by the rows alone.

It lives in the application's database, in two tables that ``adopt migration`` makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.schema import CreateTable

from twinlock.adopt.database import DIALECTS
from twinlock.adopt.settings import Mode

_metadata = MetaData()

runs: Final = Table(
    "twinlock_adopt_runs",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("table_name", String(200), nullable=False),
    Column("mode", String(20), nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("workers", Integer, nullable=False),
    Column("adopted", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("host_dek", Integer, nullable=False),
)
findings: Final = Table(
    "twinlock_adopt_findings",
    _metadata,
    Column("table_name", String(200), primary_key=True),
    Column("row_key", Text, primary_key=True),
    Column("code", String(100), nullable=False),
    Column("message", Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a row was left alone. ``key`` is the row's key as it is shown."""

    key: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows that a run adopted, that it left alone, and whose DEK passed through host memory."""

    adopted: int = 0
    failed: int = 0
    host_dek: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.adopted + other.adopted,
            self.failed + other.failed,
            self.host_dek + other.host_dek,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One run over one table. Times are Unix epoch seconds; ``ended`` is None if it was killed."""

    table: str
    mode: Mode
    started: int
    updated: int
    ended: int | None
    workers: int
    counts: Counts

    @property
    def rate(self) -> float:
        """Rows a second, by the last sign of life."""
        return self.counts.adopted / max(1, self.updated - self.started)


def create_statements(*, is_postgresql: bool) -> list[str]:
    """Return the statements that make the two tables where they are missing."""
    dialect = DIALECTS[is_postgresql]
    made = (CreateTable(table, if_not_exists=True) for table in (runs, findings))
    return [str(statement.compile(dialect=dialect)).strip() for statement in made]


def drop_statements() -> list[str]:
    """Return the statements that drop the two tables."""
    return [f"DROP TABLE IF EXISTS {table.name}" for table in (runs, findings)]


def has_tables(connection: Connection) -> bool:
    """Tell whether the tables are there."""
    return inspect(connection).has_table(runs.name)


def begin_run(connection: Connection, table: str, mode: Mode, workers: int, now: int) -> int:
    """Note that a run begins, and forget what earlier runs found in this table; returns its id."""
    connection.execute(delete(findings).where(findings.c.table_name == table))
    made = connection.execute(
        insert(runs).values(
            table_name=table,
            mode=mode.value,
            started=now,
            updated=now,
            workers=workers,
            adopted=0,
            failed=0,
            host_dek=0,
        )
    )
    key = made.inserted_primary_key
    return int(key[0]) if key else 0


def note_progress(
    connection: Connection, run: int, counts: Counts, now: int, *, ended: bool
) -> None:
    """Note how far a run came."""
    values: dict[str, Any] = {
        "updated": now,
        "adopted": counts.adopted,
        "failed": counts.failed,
        "host_dek": counts.host_dek,
    }
    if ended:
        values["ended"] = now
    connection.execute(update(runs).where(runs.c.id == run).values(values))


def note_findings(connection: Connection, table: str, found: Iterable[Finding]) -> None:
    """Note rows that were left alone; a row has one finding."""
    for finding in found:
        same = (findings.c.table_name == table) & (findings.c.row_key == finding.key)
        connection.execute(delete(findings).where(same))
        connection.execute(
            insert(findings).values(
                table_name=table,
                row_key=finding.key,
                code=finding.code,
                message=finding.message,
            )
        )


def all_findings(connection: Connection, table: str) -> list[Finding]:
    """Return what the last run found in a table."""
    query = (
        select(findings.c.row_key, findings.c.code, findings.c.message)
        .where(findings.c.table_name == table)
        .order_by(findings.c.row_key)
    )
    return [Finding(*row) for row in connection.execute(query)]


def all_runs(connection: Connection, table: str) -> Sequence[Run]:
    """Return a table's runs, the oldest first."""
    query = select(runs).where(runs.c.table_name == table).order_by(runs.c.id)
    return [
        Run(
            row["table_name"],
            Mode(row["mode"]),
            row["started"],
            row["updated"],
            row["ended"],
            row["workers"],
            Counts(row["adopted"], row["failed"], row["host_dek"]),
        )
        for row in connection.execute(query).mappings()
    ]
