"""Every test of the contract runs on an SQLite file, on SQLite in memory and on PostgreSQL."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from twinlock.store import SqlStore

from .cluster import Cluster, find_programs


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server: the one that the command brought, else one of our own."""
    given = os.environ.get("TWINLOCK_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL: TWINLOCK_TEST_POSTGRES_URL is not set and initdb not found")
    with Cluster(programs) as cluster:
        yield cluster.url


@pytest.fixture(scope="session")
def postgres_admin(postgres_url: str) -> Iterator[Engine]:
    url = make_url(postgres_url).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_schema_url(postgres_url: str, postgres_admin: Engine) -> Iterator[str]:
    """A URL of an empty schema that no other test sees."""
    schema = f"test_{uuid.uuid4().hex}"
    with postgres_admin.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    url = make_url(postgres_url).set(drivername="postgresql")
    url = url.update_query_dict({"options": f"-csearch_path={schema}", "application_name": schema})
    yield url.render_as_string(hide_password=False)
    with postgres_admin.connect() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))


MakeUrl = Callable[[str], str]


@pytest.fixture
def url_of(request: pytest.FixtureRequest, tmp_path: Path) -> MakeUrl:
    def make(kind: str) -> str:
        if kind == "postgresql":
            url: str = request.getfixturevalue("postgres_schema_url")
            return url
        return "sqlite://" if kind == "sqlite-memory" else f"sqlite:///{tmp_path}/store.db"

    return make


@pytest.fixture(params=["sqlite-file", "sqlite-memory", "postgresql"])
def url(request: pytest.FixtureRequest, url_of: MakeUrl) -> str:
    return url_of(request.param)


@pytest.fixture(params=["sqlite-file", "postgresql"])
def lasting_url(request: pytest.FixtureRequest, url_of: MakeUrl) -> str:
    """A database that outlives a connection and that other processes reach."""
    return url_of(request.param)


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    with SqlStore.connect(url, create=True) as store:
        yield store


@pytest.fixture
def lasting_store(lasting_url: str) -> Iterator[SqlStore]:
    with SqlStore.connect(lasting_url, create=True) as store:
        yield store
