"""``open`` in one step, its formats, and records that are not what they were."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.deployment import CSV, Cli, seal_patients

KIM = ("--as", "kim", "--table", "patients")


@contextmanager
def _changing(cli: Cli) -> Iterator[sqlite3.Connection]:
    """A database writer at work."""
    path = Path(cli.env["TWINLOCK_CONFIG"]).parent / "store.db"
    connection = sqlite3.connect(path)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


@pytest.fixture
def sealed(own: Cli) -> Cli:
    """A deployment with the table, to be changed behind its back."""
    seal_patients(own, "patients")
    return own


def test_the_table_shows_sealed_columns_and_unprotected_ones_when_asked(shared: Cli) -> None:
    shown = shared.run("open", *KIM, "--limit", "1")
    assert shown.out.splitlines()[0].split() == ["id", "finding", "outcome"]
    assert "54" not in shown.out
    with_plain = shared.run("open", *KIM, "--limit", "1", "--plain")
    assert with_plain.out.splitlines()[0].split() == [
        "id",
        "finding",
        "outcome",
        "id",
        "ward",
        "age",
    ]
    assert "54" in with_plain.out


def test_csv_and_json_carry_the_same_values(shared: Cli) -> None:
    source = list(csv.DictReader(CSV.splitlines()))
    as_csv = shared.run("open", *KIM, "--all", "--format", "csv")
    rows = list(csv.DictReader(as_csv.out.splitlines()))
    assert [(r["finding"], r["outcome"]) for r in rows] == [
        (r["finding"], r["outcome"]) for r in source
    ]
    as_json = json.loads(shared.run("open", *KIM, "--all", "--format", "json").out)
    assert [r["values"] for r in as_json] == [
        {c: r[c] for c in ("finding", "outcome")} for r in source
    ]


@pytest.mark.parametrize("format", ["table", "csv", "json"])
def test_a_file_gets_what_the_terminal_would_show_and_is_not_replaced(
    shared: Cli, tmp_path: Path, format: str
) -> None:
    target = tmp_path / "out"
    facts = shared.ok("open", *KIM, "--all", "--format", format, "-o", target)
    assert (facts["records"], facts["failed"]) == (3, 0)
    assert target.read_text() == shared.run("open", *KIM, "--all", "--format", format).out
    again = shared.run("open", *KIM, "--all", "-o", target, "--json")
    assert (again.code, again.error) == (2, "file.exists")


def test_rows_are_chosen_by_id_limit_and_place(shared: Cli) -> None:
    def ids(*options: str) -> list[str]:
        return [r["id"] for r in shared.ok("open", *KIM, *options)["records"]]

    assert ids("--ids", "P3, P1,P3") == ["P3", "P1"]
    assert ids("--limit", "2") == ["P1", "P2"]
    assert ids("--all", "--after", "P1") == ["P2", "P3"]
    assert ids("--all", "--after", "P3") == []


def test_more_rows_than_one_request_takes_are_opened_page_by_page(own: Cli) -> None:
    rows = "".join(f"R{n:05},v{n}\n" for n in range(1203))
    own.file("many.csv", "id,note\n" + rows)
    options = ("--columns", "note", "--to", "ward", "--suite", "token-aes")
    own.ok("seal", "--csv", "many.csv", "--id", "id", *options)
    facts = own.ok("open", "--as", "kim", "--table", "many", "--all", "--format", "csv", "-o", "o")
    assert (facts["records"], facts["failed"]) == (1203, 0)
    assert (own.folder / "o").read_text() == "id,note\n" + rows
    lines = own.fine("audit", "show")["lines"]
    assert [line["records"] for line in lines] == [1000, 203]


# --- a database writer ---------------------------------------------------------------------------


def test_a_forged_record_is_shown_as_such_and_the_others_open(sealed: Cli) -> None:
    with _changing(sealed) as database:
        chosen = "WHERE record_id = x'5031' AND column_name = 'finding'"
        query = f"SELECT cell FROM twinlock_sealed_cells {chosen}"
        (cell,) = database.execute(query).fetchone()
        changed = cell[:-80] + bytes([cell[-80] ^ 1]) + cell[-79:]
        database.execute(f"UPDATE twinlock_sealed_cells SET cell = ? {chosen}", (changed,))
    shown = sealed.run("open", *KIM, "--all")
    assert shown.code == 3
    assert "not authentic [data.not-authentic]" in shown.out
    assert "CANARY-TWO" in shown.out
    assert "CANARY-ONE" not in shown.out
    assert "1 of 3 record(s) did not open" in shown.err
    facts = sealed.run("open", *KIM, "--all", "--json")
    assert (facts.code, facts.json["failed"]) == (3, 1)
    assert facts.json["records"][0]["error"]["code"] == "data.not-authentic"
    as_csv = sealed.run("open", *KIM, "--all", "--format", "csv")
    assert as_csv.code == 3
    assert [line[:2] for line in as_csv.out.splitlines()] == ["id", "P2", "P3"]
    assert "P1: not authentic [data.not-authentic]" in as_csv.err


def test_rows_that_were_swapped_do_not_open(sealed: Cli) -> None:
    with _changing(sealed) as database:
        for table in ("rows", "cells"):
            for old, new in (("5031", "58"), ("5032", "5031"), ("58", "5032")):
                database.execute("PRAGMA defer_foreign_keys = ON")
                database.execute(
                    f"UPDATE twinlock_sealed_{table} SET record_id = x'{new}' "
                    f"WHERE record_id = x'{old}'"
                )
    facts = sealed.run("open", *KIM, "--all", "--json")
    codes = [r.get("error", {}).get("code") for r in facts.json["records"]]
    assert codes == ["data.not-authentic", "data.not-authentic", None]


def test_a_cell_that_is_gone_is_not_filled_from_what_nothing_vouches_for(sealed: Cli) -> None:
    """Plaintext planted beside the row must never pass for a sealed value."""
    plain = json.dumps({"id": "P1", "finding": "PLANTED", "outcome": "PLANTED"})
    with _changing(sealed) as database:
        database.execute(
            "UPDATE twinlock_sealed_rows SET plain = ? WHERE record_id = x'5031'", (plain.encode(),)
        )
    for options in ((), ("--plain",), ("--plain", "--format", "csv"), ("--plain", "--json")):
        shown = sealed.run("open", *KIM, "--all", *options)
        assert shown.code == 0
        assert "PLANTED" not in shown.out + shown.err
    with _changing(sealed) as database:
        database.execute(
            "DELETE FROM twinlock_sealed_cells "
            "WHERE record_id = x'5032' AND column_name = 'finding'"
        )
    gone = sealed.run("open", *KIM, "--all", "--json")
    assert gone.code == 3
    assert gone.json["records"][1]["error"]["code"] == "records.column-missing"


@pytest.mark.parametrize("plain", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"a": {"b": 1}, "c": 2}'])
def test_nonsense_beside_a_row_harms_nobody(sealed: Cli, plain: bytes) -> None:
    with _changing(sealed) as database:
        database.execute("UPDATE twinlock_sealed_rows SET plain = ?", (plain,))
    assert sealed.ok("open", *KIM, "--all", "--plain")["failed"] == 0


def test_damaged_heads_are_told_one_by_one(sealed: Cli) -> None:
    with _changing(sealed) as database:
        query = "UPDATE twinlock_sealed_rows SET head = ? WHERE record_id = ?"
        database.execute(query, (b"nonsense", b"P1"))
        database.execute(query, (b"", b"P2"))
    facts = sealed.run("open", *KIM, "--all", "--json")
    assert facts.code == 3
    codes = [r.get("error", {}).get("code") for r in facts.json["records"]]
    assert codes[2] is None
    assert all(code.startswith(("format.", "suite.", "data.")) for code in codes[:2])


def test_terminal_codes_in_a_record_do_not_reach_the_terminal(own: Cli) -> None:
    own.file("evil.csv", 'id,note\n1,"a\x1b[2Jb\u202ec"\n')
    own.ok("seal", "--csv", "evil.csv", "--id", "id", "--columns", "note", "--to", "ward")
    shown = own.run("open", "--as", "kim", "--table", "evil", "--all")
    assert "a\\x1b[2Jb\\u202ec" in shown.out
    assert "\x1b" not in shown.out


# --- asking clearly ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("open", "open.what"),
        ("open a", "open.what"),
        ("open a b c", "open.what"),
        ("open a --as kim", "open.no-output"),
        ("open a b --as kim", "open.what"),
        ("open a --as kim --table t", "open.what"),
        ("open --as kim --table patients", "records.selection"),
        ("open --as kim --all", "records.selection"),
        ("open --as kim --table t --all", "records.no-table"),
        ("open --as kim --table patients --ids P7", "records.unknown-ids"),
        ("open --as tom --table patients --all", "member.not-here"),
        ("open absent --as kim -o x", "file.missing"),
        ("open patients.csv --as kim -o x", "format.malformed"),
    ],
)
def test_what_is_not_said_clearly_is_refused(shared: Cli, arguments: str, error: str) -> None:
    refused = shared.here(*arguments.split(), "--json")
    assert refused.error == error
    assert refused.code in (2, 3)


def test_a_budget_that_is_spent_asks_the_member(own: Cli) -> None:
    own.ok(
        "group", "set-policy", "ward", "--budget", "2", "--as", "weber", "--passphrase-env", "PW"
    )
    seal_patients(own, "patients")
    refused = own.run("open", *KIM, "--all", "--json")
    assert (refused.code, refused.error) == (2, "release.needs-approval")
    asked = own.run("open", *KIM, "--all", given="y\n")
    assert asked.code == 0
    assert "budget 2" in asked.err
    assert own.ok("open", *KIM, "--all", "--approve")["failed"] == 0


def test_in_production_a_member_on_the_server_needs_a_group_that_allows_it(own: Cli) -> None:
    """The agent would be in the server: a takeover would get what the member may open."""
    seal_patients(own, "patients")
    config = Path(own.env["TWINLOCK_CONFIG"])
    config.write_text(config.read_text().replace('"development"', '"production"'))
    refused = own.run("open", *KIM, "--all", "--json")
    assert (refused.code, refused.error) == (2, "release.placement")
    weber = ("--as", "weber", "--passphrase-env", "PW")
    own.ok("group", "set-policy", "ward", "--placement", "server", *weber)
    assert own.ok("open", *KIM, "--all")["failed"] == 0
    checks = {c["name"]: c["detail"] for c in own.ok("doctor")["deployment"]}
    assert "who log in meanwhile" in checks["live takeover"]
