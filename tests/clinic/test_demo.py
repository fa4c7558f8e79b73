"""``make demo-web``: its own checks on real tokens and databases, and what it refuses."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from examples.clinic import world
from examples.clinic.serving import listen
from tests.clinic.serving import BUILT, ROOT
from twinlock.errors import CallerError, EnvError


@pytest.fixture
def postgresql() -> Iterator[str]:
    """The address of an empty schema that no other test sees."""
    given = os.environ.get("TWINLOCK_TEST_POSTGRES_URL")
    if not given:
        pytest.skip("no PostgreSQL: TWINLOCK_TEST_POSTGRES_URL is not set")
    base = make_url(given).set(drivername="postgresql+psycopg")
    admin = create_engine(base, isolation_level="AUTOCOMMIT")
    schema = f"clinic_{uuid.uuid4().hex}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    own = base.update_query_dict({"options": f"-csearch_path={schema}"})
    yield own.render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    admin.dispose()


def _demo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the demo in a process of its own: SoftHSM reads its configuration once per process."""
    return subprocess.run(
        [sys.executable, "-m", "examples.clinic.demo", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


needs_web = pytest.mark.skipif(not BUILT.exists(), reason="web/dist is not built: run `make web`")


@needs_web
def test_the_demo_s_own_checks_hold_on_sqlite_and_again_when_it_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    first = _demo("--check", "--folder", folder)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Making" in first.stdout
    again = _demo("--check", "--folder", folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Making" not in again.stdout


@needs_web
def test_the_demo_s_own_checks_hold_on_postgresql_and_after_a_reset(
    tmp_path: Path, postgresql: str
) -> None:
    for _ in range(2):
        done = _demo("--check", "--reset", "--folder", tmp_path / "demo", "--database", postgresql)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Making" in done.stdout


def test_a_busy_port_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        done = _demo("--folder", tmp_path / "demo", "--port", str(port))
    assert done.returncode == 1
    assert "clinic.port-busy" in done.stderr
    assert not (tmp_path / "demo").exists()


def test_a_folder_of_something_else_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CallerError) as caught:
        world.remove(tmp_path)
    assert caught.value.code == "clinic.folder"
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("url", ["mysql://host/db", "oracle://host"])
def test_a_database_that_the_demo_does_not_know_is_refused(url: str) -> None:
    with pytest.raises(CallerError) as caught:
        world.postgresql_url(url)
    assert caught.value.code == "clinic.database"


def test_a_port_that_cannot_be_had_is_an_error_of_the_environment() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with pytest.raises(EnvError) as caught:
            listen(busy.getsockname()[1])
    assert caught.value.code == "clinic.port-busy"
