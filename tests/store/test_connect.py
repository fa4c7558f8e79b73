"""Opening a store: what it takes, what it refuses, and that no password shows."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from twinlock.errors import CallerError, EnvError, TwinlockError
from twinlock.store import SqlStore
from twinlock.store.address import parse_address
from twinlock.store.database import WAIT_SECONDS, Database
from twinlock.store.members import PutMember

from .expect import refused

PASSWORD = "hunter2secret"


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        with SqlStore.connect(f"sqlite:///{tmp_path}/store.db", create=True) as store:
            store.meta.set_once("key", b"value")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(old_mask)
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


def test_what_was_written_is_there_after_reopening(lasting_url: str) -> None:
    with SqlStore.connect(lasting_url, create=True) as store:
        store.meta.set_once("key", b"value")
    for create in (False, True):
        with SqlStore.connect(lasting_url, create=create) as store:
            assert store.meta.get("key") == b"value"


def test_a_missing_file_is_not_created_by_opening_it(tmp_path: Path) -> None:
    with refused("store.missing", EnvError):
        SqlStore.connect(f"sqlite:///{tmp_path}/store.db")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_a_missing_folder_cannot_be_created(tmp_path: Path) -> None:
    with refused("store.unreachable", EnvError):
        SqlStore.connect(f"sqlite:///{tmp_path}/none/store.db", create=True)


def test_sqlite_is_set_to_lose_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    SqlStore.connect(url, create=True).close()
    database = Database(parse_address(url))
    with database.read() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    database.close()
    full = 2
    assert found == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "busy_timeout": WAIT_SECONDS * 1000,
    }


def test_postgresql_commits_to_disk_and_does_not_wait_for_ever(postgres_schema_url: str) -> None:
    database = Database(parse_address(postgres_schema_url))
    with database.write() as connection:
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == f"{WAIT_SECONDS}s"
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
    with database.read() as connection:
        assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"
        assert (
            connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "repeatable read"
        )
    database.close()


@pytest.mark.parametrize("setting", ["off", "remote_apply"])
def test_only_a_weaker_commit_is_made_stronger(postgres_schema_url: str, setting: str) -> None:
    expected = "on" if setting == "off" else setting
    address = parse_address(postgres_schema_url)
    options = f"{address.url.query['options']} -csynchronous_commit={setting}"
    url = address.url.update_query_dict({"options": options})
    database = Database(parse_address(url.render_as_string(hide_password=False)))
    with database.read() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == expected
    database.close()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (f"{PASSWORD}", "store.url-invalid"),
        ("", "store.url-invalid"),
        (f"postgresql://user:{PASSWORD}@host:port/name", "store.url-invalid"),
        (f"mysql://user:{PASSWORD}@host/name", "store.url-unsupported"),
        (f"postgresql+asyncpg://user:{PASSWORD}@host/name", "store.url-unsupported"),
        (f"sqlite+pysqlcipher://:{PASSWORD}@/name", "store.url-unsupported"),
        (f"sqlite:///name?uri=true&key={PASSWORD}", "store.url-unsupported"),
        (f"sqlite://{PASSWORD}/name", "store.url-unsupported"),
    ],
)
def test_a_url_that_is_not_supported_is_refused_without_showing_it(url: str, code: str) -> None:
    with pytest.raises(CallerError) as caught:
        SqlStore.connect(url)
    assert caught.value.code == code
    assert caught.value.hint
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{PASSWORD}@127.0.0.1:1/name",
        f"postgresql://127.0.0.1:1/name?user=user&password={PASSWORD}",
        f"postgresql://user:{PASSWORD}@/name?host=/nonexistent",
        f"postgresql+psycopg://user:{PASSWORD}@127.0.0.1:1/name?connect_timeout=1",
    ],
)
def test_an_unreachable_server_says_so_without_the_password(url: str) -> None:
    with pytest.raises(EnvError) as caught:
        SqlStore.connect(url)
    assert (caught.value.code, caught.value.retryable) == ("store.unreachable", True)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_an_open_store_does_not_show_its_password(postgres_schema_url: str) -> None:
    address = parse_address(postgres_schema_url)
    url = address.url.set(password=PASSWORD).render_as_string(hide_password=False)
    with SqlStore.connect(url, create=True) as store:
        assert PASSWORD not in repr(store) + str(store) + store.place


def test_values_stay_out_of_the_errors_of_the_database(store: SqlStore) -> None:
    blob = bytes(range(65, 91))
    alice = PutMember(
        member_id=b"a" * 16, name="alice", counter=1, signed_list=blob, blobs={b"e" * 16: blob}
    )
    store.members.put(alice)
    with pytest.raises(TwinlockError) as caught:
        store.members.put(replace(alice, member_id=b"b" * 16))
    shown = "".join(traceback.format_exception(caught.value)) + repr(store.members.members())
    assert "IntegrityError" in shown
    assert blob.decode() not in shown
    assert blob.hex() not in shown


def test_stores_in_memory_are_apart() -> None:
    with (
        SqlStore.connect("sqlite://", create=True) as one,
        SqlStore.connect("sqlite://", create=True) as other,
    ):
        one.meta.set_once("key", b"value")
        assert other.meta.get("key") is None


def test_a_missing_driver_is_named_with_its_remedy() -> None:
    code = """
import sys
sys.modules["psycopg"] = None
from twinlock.store import SqlStore
from twinlock.errors import EnvError
try:
    SqlStore.connect("postgresql://user@host/name")
except EnvError as error:
    print(error.code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["store.driver-missing"]
