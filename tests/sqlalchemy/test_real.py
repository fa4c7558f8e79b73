"""The same on a real token and a real PostgreSQL: SoftHSM, psycopg, sync and async."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, make_url, select, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from tests.server.world import World, world_on_softhsm
from tests.sqlalchemy.clinic import Base, Patient
from tests.sqlalchemy.test_flush import Base as Visits
from tests.sqlalchemy.test_flush import Ordered, Unit, Visit
from tests.token.rigs import init_softhsm
from twinlock import AsyncVault, CallerError
from twinlock.integrations.sqlalchemy import error_of, opened_rows, seal_again, seal_with


@pytest.fixture(scope="module")
def world(softhsm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    uri = init_softhsm("sqlalchemy tests")
    with world_on_softhsm(tmp_path_factory.mktemp("deployment"), uri) as world:
        yield world


@pytest.fixture
def url() -> Iterator[str]:
    """An empty schema that no other test sees."""
    given = os.environ.get("TWINLOCK_TEST_POSTGRES_URL")
    if not given:
        pytest.skip("no PostgreSQL: TWINLOCK_TEST_POSTGRES_URL is not set")
    base = make_url(given).set(drivername="postgresql+psycopg")
    admin = create_engine(base, isolation_level="AUTOCOMMIT")
    schema = f"test_{uuid.uuid4().hex}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    options = {"options": f"-csearch_path={schema}"}
    yield base.update_query_dict(options).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    admin.dispose()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    Visits.metadata.create_all(engine)
    yield engine
    engine.dispose()


def read(world: World, row: Any, *names: str) -> list[Any]:
    with opened_rows([row], world.vault, world.weber.release) as [view]:
        return [getattr(view, name) for name in names]


@pytest.mark.parametrize("suite", ["rsa-oaep", "token-aes"])
def test_rows_are_sealed_changed_moved_and_opened(suite: str, world: World, engine: Engine) -> None:
    sessions = seal_with(sessionmaker(engine), world.vault, suite=suite)
    with sessions() as session:
        session.add_all(
            [Patient(name=str(n), diagnosis=f"I48.{n}", notes="rests") for n in range(5)]
        )
        session.commit()
        patients = session.scalars(select(Patient).order_by(Patient.name)).all()
        patients[0].diagnosis = "changed"
        session.commit()
        patients[4].ward = "emergency"
        with pytest.raises(CallerError) as refused:
            session.flush()
        assert refused.value.code == "sealed.regrouped"
        session.rollback()
        with opened_rows([patients[4]], world.vault, world.weber.release) as [view]:
            patients[4].ward = "emergency"
            seal_again(view)
        session.commit()
        session.execute(
            text("UPDATE patient SET diagnosis = set_byte(diagnosis, 80, 0) WHERE name = '1'")
        )
        session.expire_all()
        with opened_rows(patients, world.vault, world.weber.release) as views:
            assert error_of(views[1], "diagnosis") is not None
            assert [view.diagnosis for view in (views[0], *views[2:])] == [
                "changed",
                "I48.2",
                "I48.3",
                "I48.4",
            ]


def test_a_key_from_a_sequence_is_known_before_the_row_is_sealed(
    world: World, engine: Engine
) -> None:
    with seal_with(sessionmaker(engine), world.vault)() as session:
        rows = [Ordered(text="a"), Ordered(text="b")]
        session.add_all(rows)
        session.commit()
        assert {row.id for row in rows} == {1, 2}
        assert sorted(read(world, row, "text")[0] for row in rows) == ["a", "b"]


def test_composite_keys_and_versions_come_back_as_they_were_sealed(
    world: World, engine: Engine
) -> None:
    with seal_with(sessionmaker(engine), world.vault)() as session:
        visit = Visit(unit=Unit(id=1, group="cardiology"), number="7", finding="clear")
        session.add(visit)
        session.commit()
        session.expunge_all()
        visit = session.scalars(select(Visit)).one()
        assert read(world, visit, "finding", "sealed_version") == ["clear", 1]


def test_an_async_session_on_psycopg_seals_beside_the_loop(world: World, url: str) -> None:
    async def main() -> None:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        vault = AsyncVault(world.vault)
        sessions = seal_with(async_sessionmaker(engine), vault, suite="token-aes")
        async with sessions() as session:
            session.add_all([Patient(name=str(n), diagnosis=f"I48.{n}") for n in range(3)])
            await session.commit()
        async with sessions() as session:
            patients = (await session.scalars(select(Patient).order_by(Patient.name))).all()
            async with opened_rows(patients, vault, world.kim.release) as views:
                assert [view.diagnosis for view in views] == ["I48.0", "I48.1", "I48.2"]
        await engine.dispose()

    asyncio.run(main())
