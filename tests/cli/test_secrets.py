"""No secret and no plaintext in what commands say, write beside their results, or pass on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.deployment import CANARIES, PASSPHRASE, Cli, Result, eventually, seal_patients

WEBER = ("--as", "weber", "--passphrase-env", "PW")


def _secrets(cli: Cli) -> list[str]:
    """Everything that must not show: PIN, passphrase, plaintexts, and the keys in files."""
    base = Path(cli.env["TWINLOCK_CONFIG"]).parent
    keys = [base / "writer.key", *(base / "members").glob("*.key")]
    bodies = [path.read_text().split()[1] for path in keys]
    return [*CANARIES, (base / "pin").read_text().strip(), *bodies]


def _assert_silent(cli: Cli, *results: Result) -> None:
    for result in results:
        for secret in _secrets(cli):
            assert secret not in result.out + result.err


@pytest.mark.parametrize("debug", ["", "1"], ids=["plain", "debug"])
def test_errors_say_no_secret_even_with_tracebacks(own: Cli, debug: str) -> None:
    seal_patients(own, "patients")
    own.env["TWINLOCK_DEBUG"] = debug
    base = Path(own.env["TWINLOCK_CONFIG"]).parent
    own.file("broken.csv", 'id,finding\nP1,"CANARY-ONE\nP2,CANARY-TWO,x\n')
    table = ("--csv", "broken.csv", "--id", "id", "--columns", "finding", "--to", "ward")
    results = [
        own.run("seal", *table),
        own.run("seal", "--csv", "patients.csv", "--id", "id", "--columns", "x", "--to", "ward"),
        own.run("open", "--as", "weber", "--table", "patients", "--all", "-o", "/no/such/dir/x"),
        own.run("open", *WEBER, "--table", "patients", "--all", "-o", "/no/such/dir/x"),
        own.run("release", "patients.csv", *WEBER, "-o", "x", "--yes"),
        own.run("group", "new-epoch", "nowhere", *WEBER),
        own.run("member", "show", "weber", "--passphrase-env", "HOME"),
    ]
    (base / "writer.key").write_text("twinlock-writer-key-1\nQ0FOQVJZ\n")
    results.append(own.run("seal", "patients.csv", "--to", "ward", "-o", "x.twl"))
    for result in results:
        assert result.code in (2, 3, 4), result
    _assert_silent(own, *results)


def test_plaintext_goes_only_where_it_was_asked_for(own: Cli) -> None:
    seal_patients(own, "patients")
    own.run("open", "--as", "kim", "--table", "patients", "--all", "-o", "wanted.csv")
    own.fine("member", "hello", "kim", "-o", "h")
    own.ok("request", "--for", "h", "--table", "patients", "--all", "-o", "q")
    own.fine("release", "q", "--as", "kim", "-o", "r", "--yes")
    own.fine("open", "q", "r", "-o", "wanted.json")
    for path in own.folder.rglob("*"):
        if path.is_file() and path.name not in ("wanted.csv", "wanted.json", "patients.csv"):
            data = path.read_bytes()
            assert not any(canary.encode() in data for canary in CANARIES), path


def test_the_holder_s_command_line_and_environment_hold_no_pin(own: Cli) -> None:
    """A PIN from a file stays there; nobody reads it from the process list."""
    seal_patients(own, "patients")
    own.fine("member", "hello", "kim", "-o", "h")
    request = own.folder / "q"
    rows = ("--table", "patients", "--all", "-o", request, "--wait", "20")
    own.ok("request", "--for", "h", *rows)
    pin = (Path(own.env["TWINLOCK_CONFIG"]).parent / "pin").read_text().strip().encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if b"twinlock.cli.holder" in arguments and str(own.folder).encode() in environment:
            found.append(arguments + environment)
    assert len(found) == 1
    assert pin not in found[0]
    own.fine("release", request, "--as", "kim", "-o", "r", "--yes")
    own.fine("open", request, "r")
    run = Path(own.env["TWINLOCK_CONFIG"]).parent / "run"
    eventually(lambda: not list(run.glob("*.sock")))


def test_a_message_file_is_its_owner_s_alone(own: Cli) -> None:
    own.fine("member", "hello", "kim", "-o", "h")
    own.fine("group", "invite", "ward", *WEBER, "-o", "i")
    for name in ("h", "i"):
        assert os.stat(own.folder / name).st_mode & 0o077 == 0


def test_an_invitation_is_shown_only_where_it_was_asked_for(own: Cli) -> None:
    shown = own.fine("group", "invite", "ward", *WEBER)
    assert shown["invitation"].startswith("twinlock-invite1:")
    written = own.here("group", "invite", "ward", *WEBER, "-o", "i", "--json")
    assert "twinlock-invite1:" not in written.out + written.err
    damaged = shown["invitation"][:-3]
    refused = own.here("member", "create", "tom", "--invitation", damaged, "--json")
    assert damaged not in refused.out + refused.err
    assert PASSPHRASE not in refused.out
