"""``audit``: lines for every release, and what somebody did to them shows."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.cli.deployment import Cli, seal_patients


@pytest.fixture
def opened(own: Cli) -> Cli:
    """A deployment in which kim opened three times, signed after the second."""
    seal_patients(own, "t")
    for count in (1, 2, 3):
        own.ok("open", "--as", "kim", "--table", "t", "--limit", count)
        if count == 2:
            assert own.ok("audit", "sign")["signed_seq"] == 1
    return own


def _change(cli: Cli, statement: str) -> None:
    path = Path(cli.env["TWINLOCK_CONFIG"]).parent / "store.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


def test_every_release_has_a_line_and_the_chain_is_whole(opened: Cli) -> None:
    lines = opened.fine("audit", "show")["lines"]
    assert [(x["member"], x["records"], x["outcome"]) for x in lines] == [
        ("kim", 1, "opening"),
        ("kim", 2, "opening"),
        ("kim", 3, "opening"),
    ]
    assert [x["seq"] for x in opened.fine("audit", "show", "--last", "2")["lines"]] == [1, 2]
    report = opened.fine("audit", "verify")
    assert report["ok"] is True
    assert (report["lines"], report["releases"], report["signed_seq"]) == (3, 3, 1)
    assert "last 1 line(s)" in report["warnings"][0]
    opened.ok("audit", "sign")
    assert "warnings" not in opened.fine("audit", "verify")


def test_without_lines_there_is_nothing_to_sign(own: Cli) -> None:
    assert own.fine("audit", "show") == {"lines": []}
    assert own.fine("audit", "verify")["ok"] is True
    assert own.run("audit", "sign").out == "No lines yet.\n"
    assert own.here("audit", "show").out == "No lines yet.\n"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE twinlock_audit_lines SET line = x'80' WHERE seq = 0", "line 0"),
        ("DELETE FROM twinlock_audit_lines WHERE seq = 1", "line 1"),
        ("DELETE FROM twinlock_audit_lines WHERE seq >= 1", "line 1"),
        ("UPDATE twinlock_audit_heads SET signature = zeroblob(64)", "not authentic"),
    ],
    ids=["edited", "deleted", "cut off", "signature"],
)
def test_what_was_done_to_the_chain_shows(opened: Cli, statement: str, said: str) -> None:
    _change(opened, statement)
    verified = opened.here("audit", "verify", "--json")
    assert verified.code == 3
    assert verified.json["ok"] is False
    problems = [*verified.json["problems"], *verified.json["gaps"]]
    assert any(said in problem for problem in problems), problems
    shown = opened.here("audit", "verify")
    assert shown.code == 3
    assert "✗" in shown.out


def test_a_refused_opening_leaves_its_line(own: Cli) -> None:
    """The line is written before anything opens, so also where the token then fails."""
    seal_patients(own, "t")
    _change(
        own,
        "UPDATE twinlock_sealed_rows SET head = "
        "(SELECT head FROM twinlock_sealed_rows WHERE record_id = x'5032') "
        "WHERE record_id = x'5031'",
    )
    assert own.run("open", "--as", "kim", "--table", "t", "--all", "--json").code == 3
    assert [x["records"] for x in own.fine("audit", "show")["lines"]] == [2]
