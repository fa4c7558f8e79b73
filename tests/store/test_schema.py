"""Migrations make the tables that the code uses; a database of another release is refused."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, inspect

from twinlock.errors import EnvError
from twinlock.store import SqlStore, migrate, schema
from twinlock.store.address import parse_address
from twinlock.store.database import Database

from .expect import refused


def run(url: str, *commands: str) -> None:
    database = Database(parse_address(url))
    with database.write() as connection:
        for command in commands:
            connection.exec_driver_sql(command)
    database.close()


def test_migrating_from_nothing_equals_the_metadata(url: str) -> None:
    database = Database(parse_address(url))
    migrate.upgrade(database)
    with database.read() as connection:
        options = {"version_table": schema.VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []
    database.close()


def test_migrating_from_nothing_makes_the_same_constraints_as_the_metadata(
    lasting_url: str,
) -> None:
    database = Database(parse_address(lasting_url))
    found = []
    for build in (lambda _: migrate.upgrade(database), _create_from_metadata):
        with database.write() as connection:
            everything = MetaData()
            everything.reflect(connection)
            everything.drop_all(connection)
        build(database)
        found.append(_constraints(database))
    database.close()
    assert found[0] == found[1]
    assert found[0]["twinlock_audit_tail"]["checks"] == ["ck_twinlock_audit_tail_one_row"]


def _create_from_metadata(database: Database) -> None:
    with database.write() as connection:
        schema.metadata.create_all(connection)


def _constraints(database: Database) -> dict[str, dict[str, Any]]:
    with database.read() as connection:
        look = inspect(connection)
        return {
            name: {
                "primary": look.get_pk_constraint(name),
                "foreign": sorted(look.get_foreign_keys(name), key=str),
                "unique": look.get_unique_constraints(name),
                "checks": [check["name"] for check in look.get_check_constraints(name)],
                "indexes": sorted(look.get_indexes(name), key=str),
            }
            for name in schema.metadata.tables
        }


def test_the_code_and_the_newest_migration_name_the_same_revision() -> None:
    scripts = ScriptDirectory(str(migrate._MIGRATIONS))
    assert scripts.get_heads() == [schema.SCHEMA_REVISION]


def test_an_empty_database_is_an_old_one(lasting_url: str) -> None:
    run(lasting_url, "CREATE TABLE of_the_application (id INTEGER)")
    with refused("store.schema-old", EnvError):
        SqlStore.connect(lasting_url)
    with SqlStore.connect(lasting_url, create=True) as store:
        assert store.records.tables() == []


def test_a_database_that_is_not_of_any_revision_is_an_old_one(lasting_url: str) -> None:
    SqlStore.connect(lasting_url, create=True).close()
    run(lasting_url, f"DELETE FROM {schema.VERSION_TABLE}")
    with refused("store.schema-old", EnvError):
        SqlStore.connect(lasting_url)


def test_a_database_of_a_newer_release_is_refused_and_left_alone(lasting_url: str) -> None:
    SqlStore.connect(lasting_url, create=True).close()
    run(lasting_url, f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    for create in (False, True):
        with refused("store.schema-newer", EnvError):
            SqlStore.connect(lasting_url, create=create)
    run(lasting_url, f"UPDATE {schema.VERSION_TABLE} SET version_num = '{schema.SCHEMA_REVISION}'")
    SqlStore.connect(lasting_url).close()


def test_a_migration_that_fails_leaves_nothing_behind(lasting_url: str) -> None:
    run(lasting_url, "CREATE TABLE twinlock_sealed_cells (id INTEGER)")
    with refused("store.failed", EnvError):
        SqlStore.connect(lasting_url, create=True)
    database = Database(parse_address(lasting_url))
    with database.read() as connection:
        assert inspect(connection).get_table_names() == ["twinlock_sealed_cells"]
    database.close()


def test_alembic_of_the_application_and_ours_do_not_meet(lasting_url: str) -> None:
    run(
        lasting_url,
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "INSERT INTO alembic_version VALUES ('of the application')",
    )
    SqlStore.connect(lasting_url, create=True).close()
    SqlStore.connect(lasting_url).close()
    database = Database(parse_address(lasting_url))
    with database.read() as connection:
        rows = connection.exec_driver_sql("SELECT version_num FROM alembic_version").all()
    database.close()
    assert [tuple(row) for row in rows] == [("of the application",)]


def test_of_several_that_create_at_once_one_migrates_and_all_can_work(lasting_url: str) -> None:
    start = threading.Barrier(4)

    def create(_: int) -> int:
        start.wait()
        with SqlStore.connect(lasting_url, create=True) as store:
            return store.counters.add("opened", 1, 4)

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(create, range(4))) == [1, 2, 3, 4]
    with SqlStore.connect(lasting_url) as store:
        assert store.counters.value("opened") == 4
