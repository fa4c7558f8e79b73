"""scripts/with-postgres lends a database to a command and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.habits.source import ROOT

SCRIPT = ROOT / "scripts" / "with-postgres"


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment with a temporary folder whose path is short enough for a socket."""
    if not os.environ.get("TWINLOCK_PG_BIN"):
        pytest.skip("no PostgreSQL: scripts/bootstrap dev finds or installs it")
    folder = Path("/tmp") / f"twinlock-{os.getpid()}-{tmp_path_factory.mktemp('pg').name}"
    folder.mkdir()
    folder.chmod(0o777)
    yield {**os.environ, "TMPDIR": str(folder)}
    shutil.rmtree(folder)


def test_the_command_gets_an_empty_database_and_its_status_is_passed_on(
    environment: dict[str, str],
) -> None:
    query = (
        "import os, sqlalchemy as s;"
        "e = s.create_engine(os.environ['TWINLOCK_TEST_POSTGRES_URL']);"
        "print(e.connect().execute(s.text('select count(*) from pg_tables"
        " where schemaname = current_schema()')).scalar());"
        "raise SystemExit(7)"
    )
    ended = subprocess.run(
        [SCRIPT, "python", "-c", query], env=environment, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "0\n", "")
    assert _left(environment) == []


def test_a_command_keeps_its_standard_input(environment: dict[str, str]) -> None:
    ended = subprocess.run([SCRIPT, "cat"], env=environment, input=b"line\n", capture_output=True)
    assert ended.stdout == b"line\n"
    assert _left(environment) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_command_and_the_database(
    environment: dict[str, str], number: signal.Signals
) -> None:
    command = [SCRIPT, "sh", "-c", "echo ready; exec sleep 600"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(timeout=60) == 128 + number
    assert _left(environment) == []


def test_without_postgresql_the_command_runs_all_the_same(environment: dict[str, str]) -> None:
    without = {**environment, "TWINLOCK_PG_BIN": ""}
    ended = subprocess.run(
        [SCRIPT, "sh", "-c", 'echo "[$TWINLOCK_TEST_POSTGRES_URL]"'],
        env=without,
        capture_output=True,
        text=True,
    )
    assert ended.stdout == "[]\n"
    assert "no PostgreSQL found" in ended.stderr


def _left(environment: dict[str, str]) -> list[str]:
    return [path.name for path in Path(environment["TMPDIR"]).iterdir()]
