"""``member enrol | factors | change | drop | publish | accept``: ways in, with the same keys."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.deployment import Cli
from tests.cli.test_members import CARD
from tests.cli.ward import Ward, code_on, ward_here
from tests.passkey.software import SoftwareAuthenticator
from twinlock.agent.factors import DeviceKey
from twinlock.agent.recovery import RecoveryCode
from twinlock.cli.terminal import Terminal
from twinlock.core.deployment import parse_deployment_card
from twinlock.server.setup import deployment_card

WORDS = {"PW": "Zürich, correct horse", "PHRASE": "rivers carry no keys", "OTHER": "other words"}


@pytest.fixture
def ward(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    with ward_here(monkeypatch) as made:
        made.cli.env |= WORDS
        yield made


@pytest.fixture
def stick(monkeypatch: pytest.MonkeyPatch) -> SoftwareAuthenticator:
    """A security key at this computer; its PIN is typed."""
    device = SoftwareAuthenticator(pin="2580", aaguid=os.urandom(16))
    monkeypatch.setattr("fido2.hid.CtapHidDevice.list_devices", lambda: iter([device]))
    monkeypatch.setattr(Terminal, "ask_secret", lambda _self, _prompt: "2580")
    return device


# --- enrol ---------------------------------------------------------------------------------------


def test_a_new_way_in_reaches_the_server_and_opens(ward: Ward) -> None:
    """R-WAYS-5, R-WAYS-8."""
    added = ward.kim("enrol", "--new-recovery", "paper", "--label", "drawer")
    assert (added["factors"], added["label"], added["at_server"], added["delivered"]) == (
        ["recovery-code"],
        "drawer",
        True,
        True,
    )
    page = ward.cli.folder / "paper"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert ward.opens(RecoveryCode(code_on(page.read_text())))
    ways = ward.ways()
    assert [(w["here"], w["at_server"]) for w in ways.values()] == [(True, True), (True, True)]
    assert ways["drawer"]["id"] == added["id"]
    (kim,) = [m for m in ward.cli.fine("member", "list")["members"] if m["member"] == "kim"]
    assert kim["kept"] == 2


def test_the_page_with_a_code_says_how_to_recover_on_an_empty_computer(ward: Ward) -> None:
    """R-WAYS-7: the card on it is the deployment's, however it is typed."""
    page = ward.cli.here("member", "enrol", "kim", "--new-recovery", "-").out
    assert "twinlock member recover kim --service URL --deployment CARD" in page
    start = page.index("    twinlock-deployment1:")
    lines = page[start : page.index("\n\n", start)]
    assert parse_deployment_card(lines) == deployment_card(ward.made.config)


@pytest.mark.parametrize(
    ("options", "kinds", "at_server", "strength"),
    [
        (("--new-key", "b.key"), ["device-key"], True, "full"),
        (("--new-passphrase-env", "PHRASE"), ["passphrase"], False, "guessable"),
        (("--new-password-env", "PW"), ["password"], True, "hardened"),
        (
            ("--new-password-env", "PW", "--new-key", "b.key"),
            ["device-key", "password"],
            True,
            "full",
        ),
        (
            ("--new-passphrase-env", "PHRASE", "--new-recovery", "p"),
            ["passphrase", "recovery-code"],
            True,
            "full",
        ),
        (("--new-recovery", "p", "--local-only"), ["recovery-code"], False, "full"),
        (
            ("--new-scram-env", "PW", "--new-key", "b.key", "--sign-in"),
            ["device-key", "scram"],
            True,
            "full",
        ),
        (
            ("--new-scram-env", "PW", "--scram-alone", "--sign-in", "--local-only"),
            ["scram"],
            False,
            "guessable",
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else None,
)
def test_what_is_named_is_needed_together_and_is_judged(
    ward: Ward, options: tuple[str, ...], kinds: list[str], at_server: bool, strength: str
) -> None:
    """R-WAYS-3."""
    if "--scram-alone" in options:
        ward.cli.fine("group", "set-policy", "ward", "--as", "weber", "--allow-scram-alone")
    added = ward.kim("enrol", *options)
    assert (added["factors"], added["at_server"]) == (kinds, at_server)
    way = ward.ways("--with", "device-key")["+".join(kinds)]
    assert (way["factors"], way["at_server"], way["strength"]) == (kinds, at_server, strength)
    assert way["quantum_safe"] is ("device-key" in kinds or "recovery-code" in kinds)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ((), "member.no-factor"),
        (("--label", "x"), "member.no-factor"),
        (("--new-scram-env", "PW", "--sign-in"), "factor.scram-alone"),
        (("--new-scram-env", "PW", "--new-key", "b.key"), "scram.refused"),
        (("--new-key", "kim.key"), "file.exists"),
        (("--new-key", "b.key", "--label", "x" * 61), "enrolment.label"),
        (("--new-passphrase-env", "ABSENT"), "factor.passphrase-env"),
        (("--new-passkey", "not a domain"), "passkey.rp-id"),
        (("--new-key", "b.key", "--with", "passphrase"), "factor.no-such-way"),
        (("--new-key", "b.key", "--with", "magic"), "factor.unknown-kind"),
        (("--new-card", "pkcs11:token=none?module-path=/absent"), "token.module-unusable"),
    ],
)
def test_what_cannot_be_made_changes_nothing(
    ward: Ward, options: tuple[str, ...], error: str, stick: SoftwareAuthenticator
) -> None:
    names = {path.name for path in ward.cli.folder.iterdir()}
    key = (ward.cli.folder / "kim.key").read_bytes()
    assert ward.refused("enrol", *options) == error
    assert {path.name for path in ward.cli.folder.iterdir()} == names
    assert (ward.cli.folder / "kim.key").read_bytes() == key
    assert ward.kim("show", "--locked")["enrolments"] == [["device-key"]]
    assert ward.made.vault.store.members.members() == []


def test_a_password_needs_a_server_and_a_token_that_hardens(
    monkeypatch: pytest.MonkeyPatch, bare: Cli
) -> None:
    bare.env |= WORDS
    options = ("kim", "--deployment", CARD, "--password-env", "PW")
    alone = bare.here("member", "create", *options, "--json")
    assert (alone.code, alone.error) == (2, "service.unnamed")
    assert list(bare.folder.iterdir()) == []
    with ward_here(monkeypatch, keys=False) as ward:
        ward.cli.env |= WORDS
        assert ward.refused("enrol", "--new-password-env", "PW") == "hardening.no-key"


def test_a_change_goes_by_file_where_there_is_no_network(ward: Ward, tmp_path: Path) -> None:
    """R-WAYS-5: and the server takes it once."""
    offline = {"TWINLOCK_CONFIG": ""}
    made = ward.kim("enrol", "--new-recovery", "-", "-o", "kim.change", env=offline)
    assert (made["delivered"], made["output"]) == (False, "kim.change")
    assert stat.S_IMODE((ward.cli.folder / "kim.change").stat().st_mode) == 0o600
    taken = ward.cli.fine("member", "accept", "kim.change")
    assert (taken["member"], taken["enrolments"], taken["kept"]) == ("kim", 2, 2)
    again = ward.cli.here("member", "accept", "kim.change", "--json")
    assert (again.code, again.error) == (3, "enrolment.list-stale")
    other = ward.cli.here("member", "accept", "kim.member", "--json")
    assert (other.code, other.error) == (3, "message.other-kind")


def test_what_the_server_was_not_told_it_is_told_later(ward: Ward) -> None:
    offline = {"TWINLOCK_CONFIG": ""}
    assert ward.kim("enrol", "--new-key", "b.key", env=offline)["delivered"] is False
    assert ward.made.vault.store.members.members() == []
    assert ward.refused("publish", env=offline) == "member.not-published"
    told = ward.kim("publish")
    assert (told["kept"], told["delivered"]) == (2, True)
    assert ward.ways()["device-key"]["at_server"] is True


def test_a_member_of_no_group_is_told_that_the_server_keeps_nothing(ward: Ward) -> None:
    ward.cli.fine("member", "create", "tom", "--deployment", ward.card)
    added = ward.cli.fine("member", "enrol", "tom", "--new-recovery", "-")
    assert added["delivered"] is False
    assert any("in no group yet" in text for text in added["warnings"])
    published = ward.cli.here("member", "publish", "tom", "--json")
    assert (published.code, published.error) == (2, "member.not-published")
    ward.cli.fine("member", "card", "tom", "-o", "tom.card")
    ward.cli.fine("group", "add", "ward", "tom.card", "--as", "weber", "--compared")
    ward.cli.fine("group", "invite", "ward", "--as", "weber", "-o", "i")
    ward.cli.fine("member", "card", "tom", "--invitation", "i", "-o", "tom.card")
    listed = ward.cli.fine("member", "factors", "tom")
    assert any("would not know ward" in text for text in listed["warnings"])
    assert ward.cli.fine("member", "publish", "tom")["kept"] == 2
    assert not any(
        "ward" in t for t in ward.cli.fine("member", "factors", "tom").get("warnings", [])
    )


# --- warnings ------------------------------------------------------------------------------------


def warned(ward: Ward, *arguments: str) -> str:
    return " ".join(ward.kim("factors", *arguments).get("warnings", []))


def test_a_member_is_warned_before_the_last_way_in_can_be_lost(ward: Ward) -> None:
    """R-WAYS-2."""
    assert "one way in" in warned(ward)
    assert ward.refused("drop", "device-key") == "enrolment.unknown"
    only = ward.ways()["device-key"]["id"]
    assert ward.refused("drop", only, "--yes") == "enrolment.last"
    ward.kim("enrol", "--new-passphrase-env", "PHRASE", "--label", "words")
    said = warned(ward, "--with", "device-key")
    assert "Every way in needs a file of this computer" in said
    assert "words (passphrase) opens for whoever copies kim.member and guesses" in said
    ward.kim("enrol", "--new-recovery", "-", "--label", "paper", "--with", "device-key")
    assert "this computer" not in warned(ward, "--with", "device-key")
    asked = ward.cli.here("member", "drop", "kim", "paper", "--with", "device-key", given="n\n")
    assert asked.error == "member.declined"
    assert "2 way(s) in are left" in asked.err
    dropped = ward.kim("drop", "paper", "--yes", "--with", "device-key")
    assert dropped["enrolments"] == 2
    last = ward.cli.here("member", "drop", "kim", "words", "--with", "device-key", given="y\n")
    assert last.code == 0
    assert "Losing that one would lose what opens for this member alone" in last.err


def test_a_sole_passkey_is_refused_unless_it_is_asked_for(
    ward: Ward, stick: SoftwareAuthenticator
) -> None:
    """R-WAYS-2, R-PASSKEY-2."""
    made = ward.kim("enrol", "--new-passkey", "agent.example", "--label", "stick")
    assert made["factors"] == ["passkey"]
    only = ward.ways("--with", "device-key")["device-key"]["id"]
    options = ("drop", only, "--yes", "--with", "device-key")
    assert ward.refused(*options) == "enrolment.sole-passkey"
    assert ward.refused(*options, "--sole-passkey") == "enrolment.policy"
    ward.cli.fine("group", "set-policy", "ward", "--as", "weber", "--allow-sole-passkey")
    ward.kim(*options, "--sole-passkey")
    assert "Every way in needs a passkey" in warned(ward, "--with", "passkey")
    create = ("member", "create", "tom", "--deployment", ward.card, "--passkey", "agent.example")
    refused = ward.cli.here(*create, "--json")
    assert (refused.code, refused.error) == (2, "enrolment.sole-passkey")
    assert not (ward.cli.folder / "tom.key").exists()
    both = ward.cli.fine(*create, "--recovery", "-")
    assert (both["factors"], both["enrolments"]) == (["device-key", "passkey"], 2)
    assert ward.cli.fine("member", "show", "tom", "--passkey", "x")["releases"] == 0


# --- change and drop -----------------------------------------------------------------------------


def test_a_changed_way_in_counts_in_the_place_of_the_old_one(ward: Ward) -> None:
    """R-WAYS-9, R-WAYS-10: the keys stay."""
    first = ward.kim("enrol", "--new-password-env", "PW", "--label", "home", "--sign-in")
    fingerprint = ward.kim("show", "--with", "password", "--password-env", "PW")["fingerprint"]
    before = ward.made.vault.members.logins("kim", "split")
    options = ("--new-password-env", "OTHER", "--label", "home", "--sign-in")
    changed = ward.kim("change", "home", *options, "--with", "device-key")
    assert changed["instead_of"] == first["id"]
    assert len(ward.ways("--with", "device-key")) == 2
    assert ward.made.vault.members.logins("kim", "split") != before
    old = ("--with", "password", "--password-env", "PW")
    assert ward.refused("show", *old) == "factor.wrong"
    shown = ward.kim("show", "--with", "password", "--password-env", "OTHER")
    assert shown["fingerprint"] == fingerprint


@pytest.mark.parametrize(
    ("named", "error"),
    [
        ("", "enrolment.unknown"),
        ("abc", "enrolment.unknown"),
        ("zzzz", "enrolment.unknown"),
        ("twice", "enrolment.ambiguous"),
    ],
)
def test_a_way_in_that_is_not_one_is_named_so(ward: Ward, named: str, error: str) -> None:
    for name in ("b", "c"):
        ward.kim("enrol", "--new-key", f"{name}.key", "--label", "twice")
    assert ward.refused("change", named, "--new-recovery", "-") == error
    assert ward.refused("drop", named, "--yes") == error
    first = ward.kim("factors")["enrolments"][0]["enrolment_id"]
    assert ward.kim("drop", first[:6].upper(), "--yes", "--key", "b.key")["enrolments"] == 2


def test_two_computers_agree_through_the_server(ward: Ward, tmp_path: Path) -> None:
    """R-WAYS-9: what one ended, the other learns; a fork is settled by who is asked."""
    page = ward.kim("enrol", "--new-recovery", "-", "--label", "paper")
    ward.cli.env["CODE"] = page["recovery_code"]
    other = ("--home", str(tmp_path))
    came = ("--deployment", ward.card, "--recovery-env", "CODE", "--new-key", tmp_path / "kim.key")
    ward.kim("recover", *came, "--label", "laptop", *other)
    assert set(ward.ways()) == {"device-key", "paper", "laptop"}
    ward.kim("drop", "paper", "--yes", *other)
    told = ward.kim("factors")
    assert any("Ended on another computer: paper" in text for text in told["warnings"])
    offline = {"TWINLOCK_CONFIG": ""}
    ward.kim("enrol", "--new-key", "b.key", "--label", "b", env=offline)
    ward.kim("enrol", "--new-key", tmp_path / "c.key", "--label", "c", *other)
    assert ward.refused("factors") == "enrolment.list-forked"
    ward.kim("publish", "--mine")
    assert set(ward.ways()) == {"device-key", "laptop", "b"}
    assert "c" not in ward.ways(*other)


def test_an_older_list_at_the_server_is_said_and_replaced(ward: Ward) -> None:
    ward.kim("enrol", "--new-key", "b.key", "--label", "b")
    ward.kim("enrol", "--new-key", "c.key", "--label", "c", env={"TWINLOCK_CONFIG": ""})
    told = ward.kim("factors")
    assert any("older list" in text for text in told["warnings"])
    ward.kim("enrol", "--new-key", "d.key", "--label", "d")
    assert not any("older" in t for t in ward.kim("factors").get("warnings", []))
    assert ward.opens(DeviceKey(ward.cli.folder / "d.key"))


# --- create --------------------------------------------------------------------------------------


def test_a_member_may_begin_with_a_password_alone(ward: Ward) -> None:
    options = ("--deployment", ward.card, "--no-key", "--password-env", "PW")
    made = ward.cli.fine("member", "create", "tom", *options, "--label", "home")
    assert (made["factors"], made["key"]) == (["password"], None)
    assert any("one way in" in text for text in made["warnings"])
    (way,) = ward.cli.fine("member", "factors", "tom", "--password-env", "PW")["enrolments"]
    assert (way["label"], way["at_server"], way["strength"]) == ("home", True, "hardened")
    offline = {"TWINLOCK_CONFIG": ""}
    unreached = ward.cli.here("member", "show", "tom", "--json", env=offline)
    assert (unreached.code, unreached.error) == (2, "service.unnamed")
