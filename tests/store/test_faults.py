"""Killed, locked, cut off, damaged: nothing half-written, a clear error, and no restart needed."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from twinlock.errors import EnvError
from twinlock.store import SealedRow, SqlStore
from twinlock.store.address import parse_address
from twinlock.store.database import Database
from twinlock.store.paging import PAGE

from .cluster import Cluster, find_programs
from .expect import SUBPROCESS_ENVIRONMENT, chained, refused

KILLED = """
import os, signal, sys
from twinlock.store import SealedRow, SqlStore
from twinlock.store.paging import PAGE
store = SqlStore.connect(sys.argv[1])
def end():
    if sys.argv[2] == "exit":
        os._exit(1)
    os.kill(os.getpid(), signal.SIGKILL)
def rows():
    for number in range(3 * PAGE):
        yield SealedRow(b"new %d" % number, None, b"new", {"a": b"new"})
    end()
def line(seq, previous):
    end()
if sys.argv[3] == "rows":
    store.records.put_rows("patient", rows(), replace=True)
else:
    store.audit.consume_request(b"r" * 16, 100, line)
"""


def run_until_killed(url: str, how: str, where: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, url, how, where],
        env=SUBPROCESS_ENVIRONMENT,
        check=False,
        timeout=60,
    )
    assert done.returncode == (1 if how == "exit" else -signal.SIGKILL)


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_process_killed_while_it_puts_rows_leaves_none_of_them(
    lasting_url: str, lasting_store: SqlStore, how: str
) -> None:
    before = [SealedRow(b"old", None, b"old", {"a": b"old"})]
    lasting_store.records.put_rows("patient", before)
    run_until_killed(lasting_url, how, "rows")
    assert list(lasting_store.records.rows("patient")) == before
    assert lasting_store.records.update_head("patient", b"old", b"old", b"turned")


def test_a_process_killed_while_it_uses_a_request_has_not_used_it(
    lasting_url: str, lasting_store: SqlStore
) -> None:
    run_until_killed(lasting_url, "kill", "request")
    assert lasting_store.audit.tail().next_seq == 0
    assert lasting_store.audit.consume_request(b"r" * 16, 100, chained).seq == 0


def test_a_writer_that_holds_the_database_makes_others_fail_retryably(
    lasting_url: str, lasting_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twinlock.store.database.WAIT_SECONDS", 1)
    lasting_store.audit.append_line(chained)
    with SqlStore.connect(lasting_url) as impatient:
        outcome: list[EnvError] = []

        def append(seq: int, previous: bytes) -> object:
            with pytest.raises(EnvError) as caught:
                impatient.audit.append_line(chained)
            outcome.append(caught.value)
            return chained(seq, previous)

        lasting_store.audit.append_line(append)  # type: ignore[arg-type]
        assert [(error.code, error.retryable) for error in outcome] == [("store.locked", True)]
        assert impatient.audit.append_line(chained).seq == 2


def test_readers_do_not_wait_for_a_writer(lasting_url: str, lasting_store: SqlStore) -> None:
    lasting_store.audit.append_line(chained)
    with SqlStore.connect(lasting_url) as reader:

        def read(seq: int, previous: bytes) -> object:
            assert reader.audit.tail().next_seq == 1
            assert len(list(reader.audit.lines())) == 1
            return chained(seq, previous)

        assert lasting_store.audit.append_line(read).seq == 1  # type: ignore[arg-type]


def test_too_many_at_once_are_told_to_come_back(
    lasting_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "twinlock.store.database._POOL", {"pool_size": 1, "max_overflow": 1, "pool_timeout": 0.1}
    )
    SqlStore.connect(lasting_url, create=True).close()
    database = Database(parse_address(lasting_url))
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(database.read())
        with pytest.raises(EnvError) as caught, database.read():
            pass
        assert (caught.value.code, caught.value.retryable) == ("store.busy", True)
    with database.read():
        pass
    database.close()


def terminate(admin: Engine, url: str) -> int:
    name = parse_address(url).url.query["application_name"]
    query = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = :name"
    )
    with admin.connect() as connection:
        return int(connection.execute(query, {"name": name}).scalar_one())


def test_a_connection_that_was_cut_between_calls_is_replaced(
    postgres_schema_url: str, postgres_admin: Engine
) -> None:
    with SqlStore.connect(postgres_schema_url, create=True) as store:
        for seq in range(3):
            assert store.audit.append_line(chained).seq == seq
            assert terminate(postgres_admin, postgres_schema_url) >= 1
            assert store.audit.tail().next_seq == seq + 1


def test_a_connection_cut_in_a_transaction_is_retryable_and_writes_nothing(
    postgres_schema_url: str, postgres_admin: Engine
) -> None:
    with SqlStore.connect(postgres_schema_url, create=True) as store:

        def rows() -> Iterator[SealedRow]:
            for number in range(2 * PAGE):
                if number == PAGE:
                    assert terminate(postgres_admin, postgres_schema_url) >= 1
                yield SealedRow(b"%d" % number, None, b"", {})

        with pytest.raises(EnvError) as caught:
            store.records.put_rows("patient", rows())
        assert (caught.value.code, caught.value.retryable) == ("store.unreachable", True)
        assert store.records.tables() == []
        assert store.records.put_rows("patient", []) == 0


def test_a_server_that_was_restarted_is_found_again() -> None:
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL to restart: initdb not found")
    with Cluster(programs) as cluster, SqlStore.connect(cluster.url, create=True) as store:
        store.audit.append_line(chained)
        cluster.stop()
        with pytest.raises(EnvError) as caught:
            store.audit.append_line(chained)
        assert (caught.value.code, caught.value.retryable) == ("store.unreachable", True)
        cluster.start()
        assert store.audit.append_line(chained).seq == 1


@pytest.fixture
def filled_file(tmp_path: Path) -> Path:
    """An SQLite database of some pages, closed."""
    path = tmp_path / "store.db"
    with SqlStore.connect(f"sqlite:///{path}", create=True) as store:
        for _ in range(200):
            store.audit.append_line(chained)
    assert not path.with_name("store.db-wal").exists()
    return path


@pytest.mark.parametrize("create", [False, True])
def test_a_file_that_is_no_database_is_damaged(filled_file: Path, create: bool) -> None:
    filled_file.write_bytes(b"not a database " * 1000)
    with refused("store.damaged", EnvError):
        SqlStore.connect(f"sqlite:///{filled_file}", create=create)


def test_a_file_with_overwritten_pages_is_damaged(filled_file: Path) -> None:
    content = bytearray(filled_file.read_bytes())
    page = 4096
    content[page:] = random.Random(1).randbytes(len(content) - page)
    filled_file.write_bytes(content)
    with refused("store.damaged", EnvError):
        store = SqlStore.connect(f"sqlite:///{filled_file}")
        list(store.audit.lines())


def test_a_truncated_file_is_damaged(filled_file: Path) -> None:
    os.truncate(filled_file, filled_file.stat().st_size // 2)
    with refused("store.damaged", EnvError):
        store = SqlStore.connect(f"sqlite:///{filled_file}")
        list(store.audit.lines())


@pytest.mark.parametrize(
    "planted",
    [
        "UPDATE twinlock_audit_lines SET line = 5 WHERE seq = 3",
        "UPDATE twinlock_audit_lines SET line = 'text' WHERE seq = 3",
        "UPDATE twinlock_audit_lines SET line_hash = x'00' WHERE seq = 3",
        "UPDATE twinlock_audit_tail SET next_seq = x'00'",
        "DELETE FROM twinlock_audit_tail",
    ],
)
def test_a_value_of_a_type_that_is_never_written_is_damage(filled_file: Path, planted: str) -> None:
    connection = sqlite3.connect(filled_file)
    connection.execute(planted)
    connection.commit()
    connection.close()
    with (
        SqlStore.connect(f"sqlite:///{filled_file}") as store,
        refused("store.damaged", EnvError),
    ):
        list(store.audit.lines())
        store.audit.append_line(chained)


def test_a_planted_blob_is_no_name(filled_file: Path) -> None:
    connection = sqlite3.connect(filled_file)
    connection.execute("INSERT INTO twinlock_sealed_tables VALUES (x'00')")
    connection.commit()
    connection.close()
    with (
        SqlStore.connect(f"sqlite:///{filled_file}") as store,
        refused("store.damaged", EnvError),
    ):
        store.records.tables()


def test_a_disk_that_is_full_says_so_and_writes_nothing(filled_file: Path) -> None:
    address = parse_address(f"sqlite:///{filled_file}")
    database = Database(address)
    with refused("store.full", EnvError), database.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        for number in range(100):
            connection.exec_driver_sql(
                "INSERT INTO twinlock_meta VALUES (?, zeroblob(100000))", (str(number),)
            )
    database.close()
    with SqlStore.connect(f"sqlite:///{filled_file}") as store:
        assert store.meta.get("0") is None
