"""``seal``: tables go in whole or not at all, files keep their name, both stream."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.cli.deployment import CANARIES, CSV, Cli, eventually, seal_patients


def _database(cli: Cli) -> Path:
    return Path(cli.env["TWINLOCK_CONFIG"]).parent / "store.db"


def _count(cli: Cli, table: str) -> int:
    with sqlite3.connect(_database(cli)) as connection:
        query = "SELECT count(*) FROM twinlock_sealed_rows WHERE table_name = ?"
        (count,) = connection.execute(query, (table,)).fetchone()
    connection.close()
    return int(count)


def _seal(cli: Cli, *options: object) -> list[object]:
    return ["seal", "--csv", "patients.csv", "--id", "id", *options]


def test_a_table_is_sealed_and_nothing_of_it_lies_in_the_database(own: Cli) -> None:
    sealed = seal_patients(own, "patients")
    assert (sealed["rows"], sealed["columns"]) == (3, ["finding", "outcome"])
    assert sealed["bytes"] == len(CSV)
    raw = b"".join(path.read_bytes() for path in _database(own).parent.glob("store.db*"))
    assert not any(canary.encode() in raw for canary in CANARIES)
    assert b"3B" in raw


@pytest.mark.parametrize("suite", ["rsa-oaep", "token-aes"])
def test_what_was_sealed_opens_again(own: Cli, suite: str) -> None:
    seal_patients(own, "t", "--to", "ward", "--to", "emergency", "--suite", suite)
    records = own.ok("open", "--as", "kim", "--table", "t", "--all")["records"]
    assert [record["id"] for record in records] == ["P1", "P2", "P3"]
    assert records[0]["values"] == {
        "finding": "atrial fibrillation CANARY-ONE",
        "outcome": "discharged, after 5 days",
    }


def test_versions_are_sealed_in_and_shown(own: Cli) -> None:
    own.file("v.csv", "id,version,note\na,7,first\nb,0,second\n")
    ways = ("--to", "ward", "--version-column", "version")
    own.ok("seal", "--csv", "v.csv", "--id", "id", "--columns", "note", *ways)
    with sqlite3.connect(_database(own)) as connection:
        connection.execute("UPDATE twinlock_sealed_rows SET version = 8 WHERE version = 7")
    connection.close()
    opened = own.run("open", "--as", "kim", "--table", "v", "--all", "--json")
    first, second = opened.json["records"]
    assert opened.code == 3
    assert first["error"]["code"] == "data.not-authentic"
    assert (second["version"], second["values"]) == (0, {"note": "second"})


def test_a_table_is_replaced_only_when_that_is_said(own: Cli) -> None:
    seal_patients(own, "t")
    refused = own.run(*_seal(own, "--columns", "finding", "--table", "t", "--to", "ward"), "--json")
    assert (refused.code, refused.error) == (2, "records.exists")
    seal_patients(own, "t", "--to", "ward", "--replace")
    assert _count(own, "t") == 3


def test_a_seal_that_is_killed_leaves_nothing(own: Cli) -> None:
    """SIGKILL while the transaction is open; the next run finds the table empty and works."""
    rows = "".join(f"R{number},value {number}\n" for number in range(20_000))
    own.file("big.csv", "id,note\n" + rows)
    arguments = ("seal", "--csv", "big.csv", "--id", "id", "--columns", "note", "--to", "ward")
    wal = _database(own).with_name("store.db-wal")
    with own.start(*arguments) as process:
        # Rows that SQLite spilled before the commit: the work was well under way.
        eventually(lambda: wal.exists() and wal.stat().st_size > 1 << 20)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert _count(own, "big") == 0
    own.file("big.csv", "id,note\nR1,value\n")
    assert own.ok(*arguments)["rows"] == 1
    assert _count(own, "big") == 1


def _bad_files() -> Iterable[tuple[str, bytes, str, int]]:
    yield "a field too many", b"id,a\n1,x,y\n", "csv.row", 3
    yield "a field too few", b"id,a\n1,x\n2\n", "csv.row", 3
    yield "no id", b"id,a\n,x\n", "csv.row", 3
    yield "no such column", b"id,b\n1,x\n", "csv.no-column", 2
    yield "an empty file", b"", "csv.no-column", 2
    yield "a column twice", b"id,a,a\n1,x,y\n", "csv.column-twice", 2
    yield "Latin-1", "id,a\n1,é\n".encode("latin-1"), "csv.encoding", 3
    yield "an open quote", b'id,a\n1,"x\n', "csv.malformed", 3
    yield "a repeated id", b"id,a\n1,x\n1,y\n", "records.exists", 2


@pytest.mark.parametrize(
    ("content", "error", "code"),
    [pytest.param(*rest, id=name) for name, *rest in _bad_files()],
)
def test_a_file_that_cannot_be_sealed_wholly_is_not_sealed_at_all(
    shared: Cli, content: bytes, error: str, code: int
) -> None:
    path = shared.file("bad.csv", content)
    options = ("--columns", "a", "--to", "ward", "--table", "bad")
    refused = shared.here("seal", "--csv", path, "--id", "id", *options, "--json")
    assert (refused.code, refused.error) == (code, error)
    assert _count(shared, "bad") == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--csv", "patients.csv"), "seal.table"),
        (("--csv", "patients.csv", "--id", "id", "--columns", ","), "csv.no-columns"),
        (("--csv", "patients.csv", "--id", "id", "--columns", "id"), "csv.key-sealed"),
        (("--csv", "patients.csv", "patients.csv"), "seal.what"),
        ((), "seal.what"),
        (("-",), "seal.stdin"),
        (("absent",), "file.missing"),
        (("--csv", "absent", "--id", "id", "--columns", "a"), "file.missing"),
        (
            ("--csv", "patients.csv", "--id", "id", "--columns", "age", "--delimiter", ""),
            "csv.delimiter",
        ),
    ],
    ids=" ".join,
)
def test_what_is_not_said_clearly_is_refused(
    shared: Cli, options: tuple[str, ...], error: str
) -> None:
    refused = shared.here("seal", *options, "--to", "ward", "--json")
    assert (refused.code, refused.error) == (2, error)


@pytest.mark.parametrize(
    ("ways", "error"),
    [
        ((), "seal.no-group"),
        (("--to", "nobody"), "group.unknown"),
        (("--all", "ward,nobody"), "group.unknown"),
        (("--to", "ward", "--suite", "rot13"), "suite.unknown-name"),
    ],
    ids=" ".join,
)
def test_a_seal_needs_groups_and_suites_that_are_known(
    shared: Cli, ways: tuple[str, ...], error: str
) -> None:
    refused = shared.here(*_seal(shared, "--columns", "age", "--table", "x"), *ways, "--json")
    assert (refused.code, refused.error) == (2, error)


def test_other_delimiters_and_a_byte_order_mark_are_read(own: Cli) -> None:
    own.file("semi.csv", "\ufeffid;note\n1;a, b\n\n2;c\n")
    options = ("--columns", "note", "--to", "ward", "--delimiter", ";")
    assert own.ok("seal", "--csv", "semi.csv", "--id", "id", *options)["rows"] == 2


def test_a_file_is_sealed_under_its_name_and_opens_under_no_other(own: Cli) -> None:
    content = bytes(range(256)) * 4000
    own.file("scan.bin", content)
    sealed = own.ok("seal", "scan.bin", "--to", "ward")
    assert (sealed["output"], sealed["record"], sealed["bytes"]) == (
        "scan.bin.twl",
        "scan.bin",
        len(content),
    )
    own.ok("open", "scan.bin.twl", "--as", "kim", "-o", "copy.bin")
    assert (own.folder / "copy.bin").read_bytes() == content
    (own.folder / "scan.bin.twl").rename(own.folder / "other.twl")
    renamed = own.run("open", "other.twl", "--as", "kim", "-o", "c2.bin", "--json")
    assert (renamed.code, renamed.error) == (3, "data.not-authentic")
    assert "--name" in renamed.json["error"]["hint"]
    own.ok("open", "other.twl", "--as", "kim", "-o", "c2.bin", "--name", "scan.bin")


def test_a_file_comes_from_stdin_under_a_given_name(own: Cli) -> None:
    sealed = own.ok("seal", "-", "--name", "note", "-o", "n.twl", "--to", "ward", given="hello")
    assert sealed["bytes"] == 5
    own.ok("open", "n.twl", "--name", "note", "--as", "kim", "-o", "note")
    assert (own.folder / "note").read_text() == "hello"


def test_a_sealed_file_is_replaced_only_when_that_is_said(own: Cli) -> None:
    own.file("a.txt.twl", "precious")
    own.file("a.txt", "a")
    assert own.here("seal", "a.txt", "--to", "ward", "--json").error == "file.exists"
    assert (own.folder / "a.txt.twl").read_text() == "precious"
    own.ok("seal", "a.txt", "--to", "ward", "--force")


def test_columns_that_are_not_sealed_keep_their_order_and_say_which_are(own: Cli) -> None:
    seal_patients(own, "t")
    with sqlite3.connect(_database(own)) as connection:
        query = "SELECT plain FROM twinlock_sealed_rows WHERE record_id = ?"
        (plain,) = connection.execute(query, (b"P1",)).fetchone()
    connection.close()
    assert list(json.loads(plain).items()) == [
        ("id", "P1"),
        ("ward", "3B"),
        ("age", "54"),
        ("finding", None),
        ("outcome", None),
    ]
