"""Alembic: sealed columns are ordinary binary columns in migrations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, create_engine, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.sqlalchemy.clinic import Patient
from twinlock.integrations.sqlalchemy import Sealed, include_name, sealed_column
from twinlock.store.schema import metadata as twinlock_tables

ENV = """
from alembic import context
from sqlalchemy import create_engine
from {module} import Base

with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata{more})
    with context.begin_transaction():
        context.run_migrations()
"""
SCRIPT = """
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
${imports if imports else ""}
from alembic import op
import sqlalchemy as sa

def upgrade():
    ${upgrades}

def downgrade():
    ${downgrades}
"""


class Base(DeclarativeBase):
    pass


class Later(Base):
    """What ``patient`` becomes in the next release: one sealed attribute more."""

    __tablename__ = "patient"
    __table_args__ = {"extend_existing": True}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    notes: Mapped[Sealed[str] | None] = sealed_column(to="cardiology")


def project(folder: Path, module: str, more: str = "") -> Config:
    (folder / "migrations" / "versions").mkdir(parents=True)
    (folder / "migrations" / "env.py").write_text(ENV.format(module=module, more=more))
    (folder / "migrations" / "script.py.mako").write_text(SCRIPT)
    config = Config()
    config.set_main_option("script_location", str(folder / "migrations"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", f"sqlite:///{folder}/app.db")
    return config


def test_autogenerate_writes_a_migration_that_needs_no_twinlock_and_runs(tmp_path: Path) -> None:
    config = project(tmp_path, "tests.sqlalchemy.clinic")
    command.revision(config, message="patients", autogenerate=True)
    [path] = (tmp_path / "migrations" / "versions").glob("*.py")
    script = path.read_text()
    for column in ("diagnosis", "notes", "twinlock_dek"):
        assert f"sa.Column('{column}', sa.LargeBinary(), nullable=True)" in script
    assert "twinlock." not in script
    command.upgrade(config, "head")
    engine = create_engine(f"sqlite:///{tmp_path}/app.db")
    types = {
        column["name"]: str(column["type"]) for column in inspect(engine).get_columns("patient")
    }
    assert types["diagnosis"] == types["twinlock_dek"] == "BLOB"
    command.check(config)
    engine.dispose()


def test_an_added_sealed_attribute_is_an_added_binary_column(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/app.db")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE patient (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR NOT NULL)"
        )
        context = MigrationContext.configure(connection)
        changes: list[Any] = compare_metadata(context, Base.metadata)
    assert sorted((kind, column.name) for kind, _, _, column in changes) == [
        ("add_column", "notes"),
        ("add_column", "twinlock_dek"),
    ]
    engine.dispose()


@pytest.mark.parametrize("ignored", [True, False])
def test_twinlocks_own_tables_can_be_left_alone(ignored: bool, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/app.db")
    twinlock_tables.create_all(engine)
    Patient.metadata.create_all(engine)
    options = {"include_name": include_name} if ignored else {}
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        changes: list[Any] = compare_metadata(context, Patient.metadata)
        nothing = compare_metadata(context, MetaData())
    assert (changes == []) is ignored
    assert nothing != []
    engine.dispose()
