"""``device-key``: backups of a member's device key, on paper and on a stick."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.agent.test_device_keys import rows_on
from tests.cli.deployment import PASSPHRASE, Cli
from tests.cli.test_members import CARD, _without_server
from tests.cli.test_prompts import Screen

OTHER = "\n".join(["00000"] * 14)


@pytest.fixture
def kim(bare: Cli) -> Cli:
    """A member with a device key, in a folder of its own."""
    bare.env["PW"] = PASSPHRASE
    bare.fine("member", "create", "kim", "--deployment", CARD)
    return bare


def test_a_lost_key_comes_back_from_its_page(kim: Cli) -> None:
    """R-DEVICE-1, R-DEVICE-3, R-DEVICE-5."""
    shown = kim.fine("member", "show", "kim")
    made = kim.fine("device-key", "backup", "kim", "--page", "kim.page")
    page, before = kim.folder / "kim.page", (kim.folder / "kim.key").read_bytes()
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert made["check"] in page.read_text()
    assert kim.fine("device-key", "check", "kim")["check"] == made["check"]
    (kim.folder / "kim.key").unlink()
    typed = {"ROWS": " ".join(rows_on(page.read_text())).lower()}
    back = kim.fine("device-key", "restore", "kim", "--page-env", "ROWS", env=typed)
    assert (back["check"], back["to"]) == (made["check"], "kim.key")
    assert (kim.folder / "kim.key").read_bytes() == before
    assert stat.S_IMODE((kim.folder / "kim.key").stat().st_mode) == 0o600
    assert kim.fine("member", "show", "kim")["fingerprint"] == shown["fingerprint"]


def test_a_lost_key_comes_back_from_a_stick(kim: Cli) -> None:
    """R-DEVICE-4, R-DEVICE-5."""
    options = ("--file", "stick/kim.backup", "--passphrase-env", "PW")
    made = kim.fine("device-key", "backup", "kim", *options)
    checked = kim.fine("device-key", "check", "kim", *options, "--is", made["check"].lower())
    assert checked["agrees"] == ["page", "stick/kim.backup"]
    before = (kim.folder / "kim.key").read_bytes()
    (kim.folder / "kim.key").unlink()
    wrong = kim.here("device-key", "restore", "kim", *options, "--json", env={"PW": "wrong"})
    assert (wrong.code, wrong.error) == (3, "device-key.backup-wrong")
    assert not (kim.folder / "kim.key").exists()
    assert kim.fine("device-key", "restore", "kim", *options)["check"] == made["check"]
    assert (kim.folder / "kim.key").read_bytes() == before


def test_a_page_may_be_shown_instead_and_is_shown_with_what_to_do_next(kim: Cli) -> None:
    as_json = kim.fine("device-key", "backup", "kim", "--page", "-")
    shown = kim.here("device-key", "backup", "kim", "--page", "-").out
    assert not (kim.folder / "-").exists()
    assert rows_on(shown) == rows_on(as_json["text"])
    assert f"twinlock device-key check kim --is {as_json['check']}" in shown


def test_of_several_keys_each_has_its_check_and_opens(kim: Cli) -> None:
    """R-DEVICE-3: also those that are elsewhere."""
    kim.fine("member", "enrol", "kim", "--new-key", "kim.laptop.key")
    kim.fine("member", "enrol", "kim", "--new-key", "usb/kim.key")
    kim.file("kim.broken.key", "nonsense")
    kim.file("kimono.key", (kim.folder / "kim.key").read_bytes())
    listed = kim.fine("device-key", "list", "kim")
    places = {key["place"]: key for key in listed["keys"]}
    assert set(places) == {"kim.key", "kim.laptop.key", "kim.broken.key"}
    assert places["kim.broken.key"]["error"] == "key-file.damaged"
    assert listed["keyring"]["error"] == "keyring.forbidden"
    laptop = kim.fine("device-key", "check", "kim", "--key", "kim.laptop.key")
    assert laptop["check"] == places["kim.laptop.key"]["check"] != places["kim.key"]["check"]
    for path in ("kim.key", "kim.laptop.key", "usb/kim.key"):
        assert kim.fine("member", "show", "kim", "--key", path)["releases"] == 0
    text = kim.here("device-key", "list", "kim")
    assert laptop["check"] in text.out
    assert "[keyring.forbidden]" in text.err


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        ("backup kim", 2, "device-key.nowhere"),
        ("backup tom --page x", 2, "member.not-here"),
        ("backup kim --page kim.key", 2, "file.exists"),
        ("backup kim --page x --file kim.key --passphrase-env PW", 2, "file.exists"),
        ("backup kim --file x", 2, "cli.no-terminal"),
        ("backup kim --file x --passphrase-env NO", 2, "factor.passphrase-env"),
        ("backup kim --key other --page x", 2, "file.missing"),
        ("restore kim", 2, "file.exists"),
        ("restore kim --key new", 2, "cli.no-terminal"),
        ("restore kim --key new --page-env NO", 2, "device-key.page-env"),
        ("restore kim --key new --page-env SHORT", 2, "device-key.mistyped"),
        ("restore kim --key new --page-env OTHER", 2, "device-key.mistyped"),
        ("restore kim --key new --file absent", 2, "file.missing"),
        ("restore kim --key new --file kim.key", 3, "device-key.backup-damaged"),
        ("check kim --is 0000-0000", 2, "device-key.check-differs"),
        ("check kim --is 0000", 2, "device-key.check-malformed"),
        ("check kim --key kim.member", 3, "key-file.damaged"),
        ("check kim --key keyring:0000", 2, "device-key.check-malformed"),
        ("check kim --key keyring", 2, "keyring.forbidden"),
        ("to-keyring kim", 2, "keyring.forbidden"),
        ("to-keyring kim --key keyring", 2, "keyring.no-file"),
        ("to-keyring tom", 2, "member.not-here"),
        ("from-keyring kim --key new", 2, "keyring.forbidden"),
        ("list tom", 2, "member.not-here"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(
    kim: Cli, arguments: str, code: int, error: str
) -> None:
    """R-DEVICE-5."""
    before = {path.name: path.read_bytes() for path in kim.folder.iterdir()}
    env = {"SHORT": "00000-00000", "OTHER": OTHER}
    refused = kim.here("device-key", *arguments.split(), "--json", env=env)
    assert (refused.code, refused.error) == (code, error)
    assert {path.name: path.read_bytes() for path in kim.folder.iterdir()} == before


def test_a_backup_of_another_key_is_found_out(kim: Cli) -> None:
    """R-DEVICE-3."""
    kim.fine("device-key", "backup", "kim", "--file", "stick", "--passphrase-env", "PW")
    kim.fine("member", "enrol", "kim", "--new-key", "second.key")
    options = ("--key", "second.key", "--file", "stick", "--passphrase-env", "PW")
    refused = kim.here("device-key", "check", "kim", *options, "--json")
    assert (refused.code, refused.error) == (2, "device-key.check-differs")


# --- typing --------------------------------------------------------------------------------------


def test_rows_are_typed_one_by_one_and_a_slip_is_named_at_once(kim: Cli) -> None:
    """R-DEVICE-2, R-DEVICE-5: what is typed is not shown."""
    kim.fine("device-key", "backup", "kim", "--page", "kim.page")
    rows = rows_on((kim.folder / "kim.page").read_text())
    before = (kim.folder / "kim.key").read_bytes()
    (kim.folder / "kim.key").unlink()
    groups = rows[1].split("-")
    screen = Screen.of(kim, "device-key", "restore", "kim")
    screen.until("Row 1: ")
    screen.type(f"{rows[0].lower()}\n")
    screen.until("Row 2: ")
    screen.type("-".join([groups[1], groups[0], *groups[2:]]) + "\n")
    screen.until("Row 2: ")
    assert "Groups 5 and 6 are not as printed" in screen.seen
    for number, row in enumerate(rows[1:], 2):
        screen.type(f"{row.replace('-', ' ')}\n")
        screen.until(f"Row {number + 1}: " if number < len(rows) else "Next:")
    assert screen.end() == 0
    assert (kim.folder / "kim.key").read_bytes() == before
    assert not any(g.lower() in screen.seen.lower() for row in rows for g in row.split("-"))


def test_after_three_slips_in_a_row_nothing_is_restored(kim: Cli) -> None:
    """R-DEVICE-2."""
    screen = Screen.of(kim, "device-key", "restore", "kim", "--key", "new")
    for _ in range(3):
        screen.until("Row 1: ")
        screen.type("00000-00000-00000-00000\n")
    assert screen.end() == 2
    assert "device-key.mistyped" in screen.seen
    assert not (kim.folder / "new").exists()


def test_the_first_answer_may_be_the_whole_page(kim: Cli) -> None:
    """R-DEVICE-2."""
    text = kim.fine("device-key", "backup", "kim", "--page", "-")["text"]
    screen = Screen.of(kim, "device-key", "restore", "kim", "--key", "new.key")
    screen.until("Row 1: ")
    screen.type(" ".join(rows_on(text)) + "\n")
    assert screen.end() == 0
    assert (kim.folder / "new.key").read_bytes() == (kim.folder / "kim.key").read_bytes()


def test_a_backup_s_passphrase_is_asked_for_twice(kim: Cli) -> None:
    screen = Screen.of(kim, "device-key", "backup", "kim", "--file", "stick")
    screen.until("Passphrase of the backup of kim: ")
    screen.type(f"{PASSPHRASE}\n")
    screen.until("Once more: ")
    screen.type("another\n")
    assert screen.end() == 2
    assert "factor.passphrase-mismatch" in screen.seen
    assert not (kim.folder / "stick").exists()


def test_backups_need_nothing_of_the_server(kim: Cli, tmp_path: Path) -> None:
    """R-AGENT-9."""
    member = Cli(tmp_path, kim.env)
    for command in (
        ("device-key", "backup", "kim", "--page", "p", "--file", "f", "--passphrase-env", "PW"),
        ("device-key", "check", "kim", "--file", "f", "--passphrase-env", "PW"),
        ("device-key", "restore", "kim", "--file", "f", "--passphrase-env", "PW", "--key", "k"),
    ):
        code, out, err = _without_server(member, *command)
        assert code == 0, (command, out, err)
