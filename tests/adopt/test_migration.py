"""What is added to the application's tables, and the trigger that keeps dual running safe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from tests.adopt.configured import KEY, PATIENTS, read
from twinlock.adopt.database import AppDatabase
from twinlock.adopt.levels import ColumnLevels, count_levels
from twinlock.adopt.migration import (
    as_alembic,
    as_sql,
    collapse,
    drop_columns,
    execute,
    expand,
)
from twinlock.adopt.settings import Adoption
from twinlock.adopt.tables import AppTable, find_table
from twinlock.errors import CallerError

TABLE = """CREATE TABLE patients (
  id INTEGER PRIMARY KEY, ward TEXT, wrapped_dek {blob} NOT NULL, diagnosis_ct {blob},
  diagnosis_nonce {blob}, diagnosis_tag {blob}, notes_ct {blob})"""
HEADS = {"adopted": b"TWA\x01head", "native": b"TWH\x01head"}
CELL = b"TWL\x01cell"
OLD = {
    "id": 1,
    "ward": "3B",
    "wrapped_dek": b"dek",
    "diagnosis_ct": b"ct",
    "diagnosis_nonce": b"nonce",
    "diagnosis_tag": b"tag",
    "notes_ct": b"notes",
}


@pytest.fixture
def database(app_url: str) -> Iterator[AppDatabase]:
    with AppDatabase.connect(app_url) as found:
        blob = "BYTEA" if found.is_postgresql else "BLOB"
        with found.write() as connection:
            connection.execute(text(TABLE.format(blob=blob)))
        yield found


@pytest.fixture
def adoption(tmp_path: Path, app_url: str) -> Adoption:
    return read(
        tmp_path,
        f'[database]\nurl = "{app_url}"\n[adopt]\nauthority = "cardiology"\n{KEY}{PATIENTS}',
    )


def _table(database: AppDatabase, adoption: Adoption) -> AppTable:
    with database.read() as connection:
        return find_table(connection, adoption.tables[0])


def _migrate(database: AppDatabase, adoption: Adoption) -> AppTable:
    table = _table(database, adoption)
    with database.write() as connection:
        execute(connection, expand(connection, [table], postgresql=database.is_postgresql))
    return _table(database, adoption)


def _insert(database: AppDatabase, **values: Any) -> None:
    row = {**OLD, **values}
    names = ", ".join(row)
    with database.write() as connection:
        query = f"INSERT INTO patients ({names}) VALUES ({', '.join(':' + n for n in row)})"
        connection.execute(text(query), row)


def _update(database: AppDatabase, **values: Any) -> None:
    settings = ", ".join(f"{name} = :{name}" for name in values)
    with database.write() as connection:
        connection.execute(text(f"UPDATE patients SET {settings}"), values)


def _state(database: AppDatabase) -> tuple[Any, ...]:
    with database.read() as connection:
        query = text("SELECT twinlock_dek, diagnosis_sealed, notes_sealed FROM patients")
        found = connection.execute(query).one()
    return tuple(None if value is None else bytes(value)[:3] for value in found)


def test_the_columns_are_added_once(database: AppDatabase, adoption: Adoption) -> None:
    before = _table(database, adoption)
    assert before.missing == ("twinlock_dek", "diagnosis_sealed", "notes_sealed")
    with pytest.raises(CallerError) as refused:
        before.require_migrated()
    assert refused.value.code == "adopt.not-migrated"

    after = _migrate(database, adoption)
    after.require_migrated()
    assert _migrate(database, adoption).missing == ()


def test_it_can_be_taken_back(database: AppDatabase, adoption: Adoption) -> None:
    table = _migrate(database, adoption)
    with database.write() as connection:
        execute(connection, collapse([table], postgresql=database.is_postgresql))
    with database.read() as connection:
        assert inspect(connection).get_table_names() == ["patients"]
        names = [column["name"] for column in inspect(connection).get_columns("patients")]
    assert names == list(OLD)
    _insert(database)
    _update(database, ward="4A")


@pytest.mark.parametrize(
    ("written", "head", "expected"),
    [
        # Written by the old application, and what is stale afterwards.
        ({"diagnosis_ct": b"new"}, "adopted", (None, None, b"TWL")),
        ({"diagnosis_nonce": b"new"}, "adopted", (None, None, b"TWL")),
        ({"notes_ct": b"new"}, "adopted", (None, b"TWL", None)),
        ({"wrapped_dek": b"new"}, "adopted", (None, b"TWL", b"TWL")),
        ({"ward": "4A"}, "adopted", (None, b"TWL", b"TWL")),
        ({"diagnosis_ct": b"new", "notes_ct": b"new"}, "adopted", (None, None, None)),
        # A native row's head also opens the other column, so it stays.
        ({"diagnosis_ct": b"new"}, "native", (b"TWH", None, b"TWL")),
        ({"wrapped_dek": b"new"}, "native", (b"TWH", b"TWL", b"TWL")),
        ({"ward": "4A"}, "native", (b"TWH", b"TWL", b"TWL")),
        # The same values again, or NULL: nothing new was written.
        (OLD, "adopted", (b"TWA", b"TWL", b"TWL")),
        ({"diagnosis_ct": None}, "adopted", (b"TWA", b"TWL", b"TWL")),
        ({"notes_ct": None, "notes_sealed": CELL}, "native", (b"TWH", b"TWL", b"TWL")),
        ({"twinlock_dek": b"TWA\x01x"}, "adopted", (b"TWA", b"TWL", b"TWL")),
    ],
)
def test_what_the_old_application_replaced_is_taken_back(
    database: AppDatabase,
    adoption: Adoption,
    written: dict[str, Any],
    head: str,
    expected: tuple[Any, ...],
) -> None:
    _migrate(database, adoption)
    _insert(database, twinlock_dek=HEADS[head], diagnosis_sealed=CELL, notes_sealed=CELL)
    _update(database, **written)
    assert _state(database) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        # Cells under the row's DEK are what adoption made of the old columns, for the old place.
        ({"ward": "4A"}, (b"TWH", None, b"TWL")),
        ({"id": 2}, (b"TWH", None, b"TWL")),
        # Sealed anew in the same statement, or by an application that no longer writes old columns.
        ({"ward": "4A", "diagnosis_sealed": b"TWC\x01new"}, (b"TWH", b"TWC", b"TWL")),
        ({"ward": "4A", "diagnosis_ct": None}, (b"TWH", b"TWC", b"TWL")),
        ({"ward": "3B"}, (b"TWH", b"TWC", b"TWL")),
        ({"wrapped_dek": b"new"}, (b"TWH", b"TWC", b"TWL")),
    ],
)
def test_a_row_that_moves_takes_back_what_was_resealed_of_it(
    database: AppDatabase, adoption: Adoption, written: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    _migrate(database, adoption)
    head = HEADS["native"]
    _insert(database, twinlock_dek=head, diagnosis_sealed=b"TWC\x01cell", notes_sealed=CELL)
    _update(database, **written)
    assert _state(database) == expected


def test_a_row_that_the_old_application_adds_is_legacy(
    database: AppDatabase, adoption: Adoption
) -> None:
    table = _migrate(database, adoption)
    _insert(database)
    _insert(database, id=2, twinlock_dek=HEADS["adopted"], notes_ct=None)
    _insert(database, id=3, twinlock_dek=HEADS["native"], diagnosis_sealed=CELL)
    with database.read() as connection:
        assert count_levels(connection, table) == {
            "diagnosis": ColumnLevels(legacy=1, rewrapped=1, native=1, empty=0),
            "notes": ColumnLevels(legacy=2, rewrapped=0, native=0, empty=1),
        }


def test_an_empty_table_has_no_levels(database: AppDatabase, adoption: Adoption) -> None:
    table = _migrate(database, adoption)
    with database.read() as connection:
        assert set(count_levels(connection, table).values()) == {ColumnLevels(0, 0, 0, 0)}


def test_rows_come_page_by_page_in_the_order_of_the_key(
    database: AppDatabase, adoption: Adoption
) -> None:
    table = _migrate(database, adoption)
    for number in (5, 3, 1, 4, 2):
        _insert(database, id=number)
    with database.read() as connection:
        found = list(table.rows(connection, columns=["ward"], page=2))
    assert [dict(row) for row in found] == [{"id": n, "ward": "3B"} for n in range(1, 6)]


def test_old_columns_can_be_dropped(database: AppDatabase, adoption: Adoption) -> None:
    table = _migrate(database, adoption)
    _insert(database, twinlock_dek=HEADS["native"], diagnosis_sealed=CELL, notes_ct=None)
    gone = table.settings.old
    with database.write() as connection:
        execute(connection, drop_columns(table.settings, gone, postgresql=database.is_postgresql))
    with database.read() as connection:
        names = [column["name"] for column in inspect(connection).get_columns("patients")]
    assert names == ["id", "ward", "twinlock_dek", "diagnosis_sealed", "notes_sealed"]
    _update(database, ward="4A")
    contracted = _table(database, adoption)
    assert set(contracted.gone) == set(gone)
    with database.read() as connection:
        assert count_levels(connection, contracted) == {
            "diagnosis": ColumnLevels(legacy=0, rewrapped=0, native=1, empty=0),
            "notes": ColumnLevels(legacy=0, rewrapped=0, native=0, empty=1),
        }


def test_the_sql_can_be_written_down(database: AppDatabase, adoption: Adoption) -> None:
    table = _table(database, adoption)
    with database.read() as connection:
        statements = expand(connection, [table], postgresql=database.is_postgresql)
    written = as_sql(statements, title="adopt")
    assert written.startswith("-- adopt\nBEGIN;\n")
    assert written.endswith("COMMIT;\n")
    assert all(statement in written for statement in statements)


def test_the_migration_runs_under_alembic(
    database: AppDatabase, adoption: Adoption, tmp_path: Path
) -> None:
    from alembic import command
    from alembic.config import Config

    table = _table(database, adoption)
    with database.read() as connection:
        up = expand(connection, [table], postgresql=database.is_postgresql)
    down = collapse([table], postgresql=database.is_postgresql)
    scripts = tmp_path / "alembic"
    (scripts / "versions").mkdir(parents=True)
    (scripts / "env.py").write_text(
        "from alembic import context\n"
        "context.configure(connection=context.config.attributes['connection'])\n"
        "context.run_migrations()\n"
    )
    made = as_alembic(up, down, revision="twinlock_adopt", revises=None, title="Adopt.")
    (scripts / "versions" / "one.py").write_text(made)
    config = Config()
    config.set_main_option("script_location", str(scripts))
    for step, missing in (
        (lambda: command.upgrade(config, "head"), ()),
        (lambda: command.downgrade(config, "base"), table.missing),
    ):
        with database.write() as connection:
            config.attributes["connection"] = connection
            step()
        assert _table(database, adoption).missing == missing


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('table = "patients"', 'table = "absent"', "adopt.no-sql-table"),
        ('dek = "wrapped_dek"', 'dek = "absent"', "adopt.no-sql-column"),
        ('key = "id"', 'key = "ward"', "adopt.key-not-unique"),
    ],
)
def test_a_table_that_is_not_as_declared_is_refused(
    database: AppDatabase, adoption: Adoption, tmp_path: Path, old: str, new: str, code: str
) -> None:
    changed = read(tmp_path, adoption.path.read_text().replace(old, new))
    with pytest.raises(CallerError) as refused:
        _table(database, changed)
    assert refused.value.code == code
