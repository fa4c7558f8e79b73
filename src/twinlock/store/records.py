"""Sealed rows by table and record id: the command line's own table, for data without a home."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from twinlock.errors import CallerError
from twinlock.store.database import Database
from twinlock.store.failures import conflict_means
from twinlock.store.paging import PAGE, paged
from twinlock.store.schema import sealed_cells, sealed_rows, sealed_tables
from twinlock.store.statements import insert_or, inserted
from twinlock.store.values import SealedRow


@dataclass(frozen=True, slots=True)
class RecordStore:
    """The command line's own table of sealed rows."""

    _database: Database

    def put_rows(self, table: str, rows: Iterable[SealedRow], *, replace: bool = False) -> int:
        """Put rows in one transaction, all or none, in constant memory; return how many.

        ``rows`` is consumed inside the transaction: it may read from the store, not write to it
        (``store.nested-write``), and other SQLite writers wait until it ends. With ``replace`` a
        row takes the place of the whole row with its record id, and of two the later counts.

        Raises ``records.exists`` without ``replace``.
        """
        exists = CallerError(
            "records.exists",
            f"A row with one of these record ids is in {table!r} already.",
            hint="Put other ids, or say that rows shall be replaced; nothing was written.",
        )
        count = 0
        with self._database.write() as connection:
            inserted(connection, sealed_tables, name=table)
            for batch in self._batches(rows):
                if replace:
                    _replace_batch(connection, table, batch)
                else:
                    with conflict_means(exists):
                        connection.execute(insert(sealed_rows), _row_values(table, batch))
                _insert_cells(connection, table, batch, replace=replace)
                count += len(batch)
        return count

    def rows(
        self,
        table: str,
        *,
        record_ids: Iterable[bytes] | None = None,
        limit: int | None = None,
        after: bytes | None = None,
    ) -> Iterator[SealedRow]:
        """Yield rows ordered by record id (as bytes), in constant memory.

        ``record_ids`` selects (ids without a row are left out), ``after`` goes on behind this id.
        Each row is consistent in itself; rows written meanwhile may or may not appear.
        """
        if record_ids is not None:
            wanted = sorted({key for key in record_ids if after is None or key > after})
            return islice(self._rows_of(table, wanted), limit)

        def fetch(last: bytes | None, size: int) -> list[SealedRow]:
            behind = [] if last is None else [sealed_rows.c.record_id > last]
            return self._fetch(and_(sealed_rows.c.table_name == table, *behind), size)

        return paged(fetch, after, lambda row: row.record_id, limit)

    def row(self, table: str, record_id: bytes) -> SealedRow | None:
        """Return one row."""
        return next(self._rows_of(table, [record_id]), None)

    def update_head(self, table: str, record_id: bytes, old_head: bytes, new_head: bytes) -> bool:
        """Replace a row's head if it is still ``old_head``; return whether it was."""
        row = sealed_rows.c
        step = update(sealed_rows).where(
            row.table_name == table, row.record_id == record_id, row.head == old_head
        )
        with self._database.write() as connection:
            return connection.execute(step.values(head=new_head)).rowcount == 1

    def tables(self) -> list[str]:
        """Return the names of all tables, sorted."""
        with self._database.read() as connection:
            return sorted(connection.execute(select(sealed_tables.c.name)).scalars())

    def delete_table(self, table: str) -> int:
        """Delete a table with its rows; return how many rows."""
        with self._database.write() as connection:
            counted = select(func.count()).where(sealed_rows.c.table_name == table)
            count = connection.execute(counted).scalar_one()
            connection.execute(delete(sealed_tables).where(sealed_tables.c.name == table))
            return count

    def _batches(self, rows: Iterable[SealedRow]) -> Iterator[list[SealedRow]]:
        with self._database.callers_code():
            source = iter(rows)
        while True:
            with self._database.callers_code():
                batch = list(islice(source, PAGE))
            if not batch:
                return
            yield batch

    def _rows_of(self, table: str, record_ids: Sequence[bytes]) -> Iterator[SealedRow]:
        for start in range(0, len(record_ids), PAGE):
            chosen = sealed_rows.c.record_id.in_(record_ids[start : start + PAGE])
            yield from self._fetch(and_(sealed_rows.c.table_name == table, chosen), PAGE)

    def _fetch(self, condition: ColumnElement[bool], size: int) -> list[SealedRow]:
        row, cell = sealed_rows.c, sealed_cells.c
        columns = (row.table_name, row.record_id, row.version, row.head, row.plain)
        query = select(*columns).where(condition).order_by(row.record_id).limit(size)
        with self._database.read() as connection:
            found = connection.execute(query).all()
            if not found:
                return []
            cells: dict[bytes, dict[str, bytes]] = {item.record_id: {} for item in found}
            of_these = select(cell.record_id, cell.column_name, cell.cell).where(
                cell.table_name == found[0].table_name,
                cell.record_id.in_(list(cells)),
                # Says nothing new, and makes PostgreSQL use the index before its first ANALYZE.
                cell.record_id.between(found[0].record_id, found[-1].record_id),
            )
            for record_id, column, value in connection.execute(of_these):
                cells[record_id][column] = value
        return [
            SealedRow(item.record_id, item.version, item.head, cells[item.record_id], item.plain)
            for item in found
        ]


def _replace_batch(connection: Connection, table: str, batch: Sequence[SealedRow]) -> None:
    statement = insert_or(connection, sealed_rows)
    new = {name: statement.excluded[name] for name in ("version", "head", "plain")}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["table_name", "record_id"], set_=new),
        _row_values(table, batch),
    )
    cell = sealed_cells.c
    connection.execute(
        delete(sealed_cells).where(
            cell.table_name == table, cell.record_id.in_([row.record_id for row in batch])
        )
    )


def _insert_cells(
    connection: Connection, table: str, batch: Sequence[SealedRow], *, replace: bool
) -> None:
    # Of several rows with one record id in a batch, which only `replace` lets through, the last.
    rows = {row.record_id: row for row in batch}.values() if replace else batch
    values = [
        {"table_name": table, "record_id": row.record_id, "column_name": column, "cell": cell}
        for row in rows
        for column, cell in row.cells.items()
    ]
    if values:
        connection.execute(insert(sealed_cells), values)


def _row_values(table: str, batch: Sequence[SealedRow]) -> list[dict[str, Any]]:
    return [
        {
            "table_name": table,
            "record_id": row.record_id,
            "version": row.version,
            "head": row.head,
            "plain": row.plain,
        }
        for row in batch
    ]
