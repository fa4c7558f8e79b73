"""``device-key`` and the keyring: moving keys there and back, and unlocking with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.test_device_keys import rows_on
from tests.cli.deployment import PASSPHRASE, Cli, Result
from tests.cli.test_members import BLOCKER, CARD
from tests.keyring.desktop import Desktop


def in_session(session: Desktop, folder: Path) -> Cli:
    """The command line in a session, with kim and her key file."""
    cli = Cli(folder, {**session.env, "TWINLOCK_KEYRING": "1", "PW": PASSPHRASE})
    cli.fine("member", "create", "kim", "--deployment", CARD)
    return cli


@pytest.fixture
def kim(session: Desktop, here: None, tmp_path: Path) -> Cli:
    return in_session(session, tmp_path)


def test_the_keyring_of_the_session_is_the_one_that_is_used(kim: Cli) -> None:
    """R-DEVICE-8: a process of its own finds it by itself, and it is no file."""
    moved = kim.ok("device-key", "to-keyring", "kim")
    listed = kim.ok("device-key", "list", "kim")
    assert listed["keyring"] == {"name": "SecretService Keyring", "error": None}
    assert [k["check"] for k in listed["keys"]] == [moved["check"]]
    assert kim.ok("member", "show", "kim")["releases"] == 0


def test_a_key_moves_to_the_keyring_and_unlocks_from_there(kim: Cli) -> None:
    """R-DEVICE-6, R-DEVICE-7."""
    before = (kim.folder / "kim.key").read_bytes()
    shown = kim.fine("member", "show", "kim")
    moved = kim.fine("device-key", "to-keyring", "kim")
    assert [path.name for path in kim.folder.iterdir()] == ["kim.member"]
    for options in ((), ("--key", "keyring"), ("--key", f"keyring:{moved['check']}")):
        assert kim.fine("member", "show", "kim", *options)["fingerprint"] == shown["fingerprint"]
    listed = kim.fine("device-key", "list", "kim")
    assert [(k["place"], k["check"]) for k in listed["keys"]] == [("keyring", moved["check"])]
    back = kim.fine("device-key", "from-keyring", "kim")
    assert back["check"] == moved["check"]
    assert (kim.folder / "kim.key").read_bytes() == before
    gone = kim.here("device-key", "check", "kim", "--key", "keyring", "--json")
    assert (gone.code, gone.error) == (2, "keyring.missing")


def test_a_key_in_the_keyring_is_backed_up_and_restored_into_it(kim: Cli) -> None:
    """R-DEVICE-7: no file ever holds the key in the clear."""
    moved = kim.fine("device-key", "to-keyring", "kim")
    made = kim.fine("device-key", "backup", "kim", "--page", "-")
    assert (made["check"], made["from"]) == (moved["check"], "keyring")
    kim.fine("device-key", "from-keyring", "kim", "--key", "old.key")
    (kim.folder / "old.key").unlink()
    rows = {"ROWS": " ".join(rows_on(made["text"]))}
    options = ("--page-env", "ROWS", "--key", "keyring")
    restored = kim.fine("device-key", "restore", "kim", *options, env=rows)
    assert (restored["check"], restored["to"]) == (moved["check"], "keyring")
    assert [path.name for path in kim.folder.iterdir()] == ["kim.member"]
    assert kim.fine("member", "show", "kim")["releases"] == 0


def test_a_file_goes_before_the_keyring_and_a_named_file_alone_counts(kim: Cli) -> None:
    kim.fine("device-key", "to-keyring", "kim", "--keep-file")
    kim.file("kim.key", "nonsense")
    assert kim.here("member", "show", "kim", "--json").error == "key-file.damaged"
    assert kim.fine("member", "show", "kim", "--key", "keyring")["releases"] == 0
    (kim.folder / "kim.key").unlink()
    assert kim.here("member", "show", "kim", "--key", "x.key", "--json").error == "file.missing"
    assert kim.fine("member", "show", "kim")["releases"] == 0
    forbidden = kim.here("member", "show", "kim", "--json", env={"TWINLOCK_KEYRING": "0"})
    assert forbidden.error == "file.missing"


def test_of_several_keys_in_the_keyring_one_has_to_be_named(kim: Cli) -> None:
    """R-DEVICE-6."""
    kim.fine("member", "enrol", "kim", "--new-key", "second.key")
    first = kim.fine("device-key", "to-keyring", "kim")["check"]
    second = kim.fine("device-key", "to-keyring", "kim", "--key", "second.key")["check"]
    several = kim.here("member", "show", "kim", "--json")
    assert (several.code, several.error) == (2, "keyring.several")
    assert first in several.out
    assert second in several.out
    for check in (first, second.lower()):
        assert kim.fine("member", "show", "kim", "--key", f"keyring:{check}")["releases"] == 0
    kept = kim.fine("device-key", "from-keyring", "kim", "--check", second, "--keep-entry")
    assert kept["check"] == second
    kim.fine("device-key", "from-keyring", "kim", "--check", second, "--key", "third.key")
    assert [k["check"] for k in kim.fine("device-key", "list", "kim")["keys"]] == [second, first]
    (kim.folder / "kim.key").unlink()
    assert kim.fine("member", "show", "kim")["releases"] == 0


def test_another_member_s_keyring_holds_nothing_for_this_one(kim: Cli) -> None:
    kim.fine("device-key", "to-keyring", "kim")
    kim.fine("member", "create", "tom", "--deployment", CARD)
    (kim.folder / "tom.key").unlink()
    assert kim.here("member", "show", "tom", "--json").error == "file.missing"


def test_nothing_is_replaced_or_lost_when_a_key_cannot_be_moved(kim: Cli) -> None:
    """R-DEVICE-5."""
    kim.fine("device-key", "to-keyring", "kim", "--keep-file")
    refused = kim.here("device-key", "from-keyring", "kim", "--json")
    assert (refused.code, refused.error) == (2, "file.exists")
    assert kim.fine("member", "show", "kim", "--key", "keyring")["releases"] == 0
    no_file = kim.here("device-key", "from-keyring", "kim", "--key", "keyring", "--json")
    assert (no_file.code, no_file.error) == (2, "keyring.no-file")
    made = kim.here("member", "create", "tom", "--deployment", CARD, "--key", "keyring", "--json")
    assert (made.code, made.error) == (2, "keyring.no-file")


def test_a_passphrase_that_opens_by_itself_leaves_the_keyring_alone(
    own_session: Desktop, tmp_path: Path
) -> None:
    """A locked keyring is asked for only when its key may be needed."""
    kim = in_session(own_session, tmp_path)
    kim.ok("member", "enrol", "kim", "--new-passphrase-env", "PW")
    kim.ok("device-key", "to-keyring", "kim")
    own_session.lock()
    assert kim.ok("member", "show", "kim", "--passphrase-env", "PW")["releases"] == 0
    asked = kim.run("member", "show", "kim", "--json")
    assert "Passphrase of kim" in asked.json["error"]["message"]


def test_a_locked_keyring_is_said_so_and_loses_nothing(
    own_session: Desktop, tmp_path: Path
) -> None:
    """R-DEVICE-8."""
    kim = in_session(own_session, tmp_path)
    kim.ok("device-key", "to-keyring", "kim")
    kim.ok("member", "create", "tom", "--deployment", CARD)
    own_session.lock()
    for command in (
        ("member", "show", "kim"),
        ("device-key", "backup", "kim", "--page", "page"),
        ("device-key", "from-keyring", "kim"),
        ("device-key", "to-keyring", "tom"),
    ):
        refused = kim.run(*command, "--json")
        assert (refused.code, refused.error) == (4, "keyring.locked"), command
        assert refused.json["error"]["retryable"] is True
    assert sorted(p.name for p in tmp_path.glob("*.*")) == ["kim.member", "tom.key", "tom.member"]


# --- where there is none -------------------------------------------------------------------------


@pytest.fixture
def lone(tmp_path: Path) -> Cli:
    """Kim on a computer without a message bus."""
    bus = f"unix:path={tmp_path}/none"
    cli = Cli(
        tmp_path, {"TWINLOCK_KEYRING": "1", "PW": PASSPHRASE, "DBUS_SESSION_BUS_ADDRESS": bus}
    )
    cli.ok("member", "create", "kim", "--deployment", CARD)
    return cli


def without_package(cli: Cli, *arguments: str) -> Result:
    """Run a command where ``keyring`` is not installed."""
    code = BLOCKER.format(forbidden=["keyring"])
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--json"],
        cwd=cli.folder,
        env=cli._environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def test_without_a_keyring_key_files_work_as_ever(lone: Cli) -> None:
    """R-DEVICE-8."""
    refused = lone.run("device-key", "to-keyring", "kim", "--json")
    assert (refused.code, refused.error) == (4, "keyring.no-backend")
    listed = lone.ok("device-key", "list", "kim")
    assert listed["keyring"]["error"] == "keyring.no-backend"
    assert lone.ok("member", "show", "kim")["releases"] == 0
    (lone.folder / "kim.key").unlink()
    assert lone.run("member", "show", "kim", "--json").error == "file.missing"


def test_without_the_package_all_but_the_keyring_works(lone: Cli) -> None:
    """R-AGENT-9: it is an extra."""
    refused = without_package(lone, "device-key", "to-keyring", "kim")
    assert (refused.code, refused.error) == (2, "keyring.not-installed")
    assert "twinlock[keyring,cli]" in refused.out
    made = without_package(
        lone, *("device-key", "backup", "kim", "--page", "page"),
        *("--file", "stick", "--passphrase-env", "PW"),
    )  # fmt: skip
    assert made.code == 0
    (lone.folder / "kim.key").unlink()
    assert without_package(lone, "member", "show", "kim").error == "file.missing"
    back = ("device-key", "restore", "kim", "--file", "stick", "--passphrase-env", "PW")
    assert without_package(lone, *back).code == 0
    assert without_package(lone, "member", "show", "kim").code == 0
