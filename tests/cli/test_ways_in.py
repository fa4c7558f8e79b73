"""Recovery codes and smart cards, as a member uses them on the command line."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.deployment import PASSPHRASE, Cli
from tests.cli.test_members import BLOCKER, CARD
from tests.cli.test_prompts import Screen
from tests.token.rigs import PIN, SOFTHSM, init_softhsm_folder

CODE_LINES = slice(2, 4)


def code_on(page: str) -> str:
    """The code that a printed page shows."""
    return "".join(page.splitlines()[CODE_LINES]).replace(" ", "")


def made(cli: Cli, *options: str) -> str:
    """Make kim with a device key and a printed code; returns the code."""
    cli.fine("member", "create", "kim", "--deployment", CARD, *options, "--recovery", "kim.paper")
    return code_on((cli.folder / "kim.paper").read_text())


def test_a_code_is_written_once_and_opens_when_the_key_is_lost(bare: Cli) -> None:
    """R-RECOVERY-4, R-FACTOR-9."""
    code = made(bare)
    assert stat.S_IMODE((bare.folder / "kim.paper").stat().st_mode) == 0o600
    (bare.folder / "kim.paper").unlink()
    shown = bare.fine("member", "show", "kim")
    assert shown["enrolments"] == [["device-key"], ["recovery-code"]]
    (bare.folder / "kim.key").unlink()
    typed = {"CODE": f"  {code.lower().replace('-', ' ')}\n"}
    again = bare.fine(
        *("member", "enrol", "kim", "--recovery-env", "CODE"),
        *("--new-key", "kim.key"),
        env=typed,
    )
    assert (again["factors"], again["enrolments"]) == (["device-key"], 3)
    renewed = bare.fine("member", "show", "kim")
    by_code = bare.fine("member", "show", "kim", "--recovery-env", "CODE", env=typed)
    assert renewed["fingerprint"] == by_code["fingerprint"] == shown["fingerprint"]
    everything = b"".join(p.read_bytes() for p in bare.folder.iterdir())
    assert not any(group.encode() in everything for group in code.split("-"))


def test_a_code_may_be_shown_instead_and_be_needed_with_a_passphrase(bare: Cli) -> None:
    bare.env["PW"] = PASSPHRASE
    bare.fine("member", "create", "kim", "--deployment", CARD)
    options = ("--new-recovery", "-", "--new-passphrase-env", "PW")
    added = bare.fine("member", "enrol", "kim", *options)
    assert added["factors"] == ["passphrase", "recovery-code"]
    assert not (bare.folder / "-").exists()
    bare.env["CODE"] = added["recovery_code"]
    both = ("--recovery-env", "CODE", "--passphrase-env", "PW")
    assert bare.fine("member", "show", "kim", *both)["releases"] == 0
    page = bare.here("member", "enrol", "kim", "--new-recovery", "-").out
    assert sum(line.startswith("    ") and line.count("-") > 1 for line in page.splitlines()) >= 2


@pytest.mark.parametrize(
    ("typed", "exit_code", "error"),
    [
        ("", 2, "factor.recovery-env"),
        ("AAAAA", 2, "factor.recovery-mistyped"),
        ("00001-00002-00003-00004-00005-00006-002Q5", 3, "factor.wrong"),
    ],
    ids=["empty", "mistyped", "another code"],
)
def test_what_is_not_the_code_opens_nothing(
    bare: Cli, typed: str, exit_code: int, error: str
) -> None:
    made(bare)
    env = {"CODE": typed}
    refused = bare.here("member", "show", "kim", "--recovery-env", "CODE", "--json", env=env)
    assert (refused.code, refused.error) == (exit_code, error)


def test_a_person_is_told_which_group_is_mistyped_and_may_try_again(bare: Cli) -> None:
    """R-RECOVERY-3: what is typed is not shown."""
    code = made(bare)
    (bare.folder / "kim.key").unlink()
    first, *others = code.split("-")
    slip = "-".join([first, others[1], others[0], *others[2:]])
    screen = Screen.of(bare, "member", "show", "kim")
    screen.until("Recovery code of kim: ")
    screen.type(f"{slip}\n")
    screen.until("Recovery code of kim: ")
    assert "Groups 2 and 3 are not as printed" in screen.seen
    screen.type(f"{code.lower()}\n")
    assert screen.end() == 0
    assert not any(group.lower() in screen.seen.lower() for group in code.split("-"))


def test_nothing_of_a_member_stays_when_its_code_cannot_be_written(bare: Cli) -> None:
    bare.file("kim.paper", "precious")
    refused = bare.here(
        *("member", "create", "kim", "--deployment", CARD, "--recovery", "kim.paper", "--json")
    )
    assert (refused.code, refused.error) == (2, "file.exists")
    assert [path.name for path in bare.folder.iterdir()] == ["kim.paper"]
    assert (bare.folder / "kim.paper").read_text() == "precious"


# --- smart cards ---------------------------------------------------------------------------------

_INIT = """
import sys
from tests.token.rigs import init_softhsm
print(init_softhsm(sys.argv[1]))
"""


@pytest.fixture
def card(bare: Cli) -> str:
    """The URI of a card with its PIN in the environment; its SoftHSM folder is the test's own."""
    folder = bare.folder / "reader"
    folder.mkdir()
    before = os.environ.get("SOFTHSM2_CONF")
    init_softhsm_folder(folder)
    bare.env |= {"SOFTHSM2_CONF": os.environ["SOFTHSM2_CONF"], "CARD_PIN": PIN.reveal().decode()}
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before
    root = Path(__file__).resolve().parents[2]
    environment = {**bare._environment({}), "PYTHONPATH": f"{root}/src:{root}"}
    command = [sys.executable, "-c", _INIT, "kim"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_member_is_made_with_a_card_and_opens_with_it_alone(bare: Cli, card: str) -> None:
    """R-FACTOR-10, R-FACTOR-13: no file of the member says which module to load."""
    named = f"{card}&pin-source=env:CARD_PIN"
    options = ("--card", named, "--no-key")
    created = bare.ok("member", "create", "kim", "--deployment", CARD, *options)
    assert created["factors"] == ["smart-card"]
    assert sorted(path.name for path in bare.folder.iterdir()) == ["kim.member", "reader"]
    assert SOFTHSM.encode() not in (bare.folder / "kim.member").read_bytes()
    shown = bare.ok("member", "show", "kim", "--card", named)
    by_environment = bare.ok("member", "show", "kim", env={"TWINLOCK_CARD": named})
    assert shown["fingerprint"] == by_environment["fingerprint"]
    unnamed = bare.run("member", "show", "kim", "--json")
    assert (unnamed.code, unnamed.error) == (2, "card.unnamed")
    wrong = bare.run("member", "show", "kim", "--card", named, "--json", env={"CARD_PIN": "0000"})
    assert (wrong.code, wrong.error) == (2, "card.pin-wrong")
    again = bare.run("member", "show", "kim", "--card", named, "--json")
    assert (again.code, again.error) == (2, "cli.no-terminal")


def test_a_card_is_added_by_a_key_of_its_own_or_by_one_that_is_there(bare: Cli, card: str) -> None:
    named = f"{card}&pin-source=env:CARD_PIN"
    bare.ok("member", "create", "kim", "--deployment", CARD)
    added = bare.ok("member", "enrol", "kim", "--new-card", named)
    assert (added["factors"], added["enrolments"]) == (["smart-card"], 2)
    for key_id, error in (("00" * 16, "card.key-missing"), ("xyz", "card.key-id")):
        options = ("--new-card", named, "--card-key", key_id, "--json")
        refused = bare.run("member", "enrol", "kim", *options)
        assert (refused.code, refused.error) == (2, error)
    bare.ok("member", "show", "kim", "--card", named)


def test_a_person_types_the_pin(bare: Cli, card: str) -> None:
    bare.env["TWINLOCK_CARD"] = card
    screen = Screen.of(bare, "member", "create", "kim", "--deployment", CARD, "--card", card)
    screen.until("PIN of the smart card: ")
    screen.type(f"{PIN.reveal().decode()}\n")
    assert screen.end() == 0
    assert PIN.reveal().decode() not in screen.seen


def test_without_pkcs11_a_card_is_refused_with_what_to_install(bare: Cli) -> None:
    """R-AGENT-9."""
    command = ("member", "create", "kim", "--deployment", CARD, "--card", "pkcs11:token=x")
    done = subprocess.run(
        [sys.executable, "-c", BLOCKER.format(forbidden=("pkcs11",)), *command, "--json"],
        cwd=bare.folder,
        env=bare._environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done
    assert '"card.not-installed"' in done.stdout
    assert "twinlock[card,cli]" in done.stdout
    assert list(bare.folder.iterdir()) == []
