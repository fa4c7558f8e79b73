"""``member recover``: an empty computer, one way in that the server keeps, and the card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_members import CARD
from tests.cli.test_prompts import Screen
from tests.cli.test_revoke import reachable as reachable
from tests.cli.ward import Ward, code_on, ward_here
from twinlock.agent.factors import DeviceKey
from twinlock.agent.recovery import RecoveryCode

WORDS = {"PW": "Zürich, correct horse", "PHRASE": "rivers carry no keys"}
WRONG = "00001-00002-00003-00004-00005-00006-002Q5"


@pytest.fixture
def ward(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    with ward_here(monkeypatch) as made:
        made.cli.env |= WORDS
        made.kim("enrol", "--new-recovery", "paper", "--label", "paper")
        made.cli.env["CODE"] = code_on((made.cli.folder / "paper").read_text())
        yield made


@pytest.fixture
def empty(tmp_path: Path) -> tuple[str, str]:
    return "--home", str(tmp_path)


def card_file(ward: Ward) -> Path:
    """The card as it was typed from the page."""
    page = (ward.cli.folder / "paper").read_text()
    start = page.index("    twinlock-deployment1:")
    return ward.cli.file("card.txt", page[start : page.index("\n\n", start)])


def arrived(ward: Ward, *options: object, **settings: Any) -> dict[str, Any]:
    return ward.kim("recover", "--deployment", ward.card, *options, **settings)


def test_a_page_of_paper_brings_a_member_back(reachable: Ward, tmp_path: Path) -> None:
    """R-WAYS-7: the code and what is printed beside it are enough."""
    ward = reachable
    (ward.cli.folder / "kim.key").unlink()
    options = ("--recovery-env", "CODE", "--new-key", tmp_path / "kim.key", "--label", "new")
    came = ward.kim("recover", "--deployment", card_file(ward), "--home", tmp_path, *options)
    assert (came["opened_with"], came["new"], came["groups"]) == (
        ["recovery-code"],
        ["device-key"],
        ["ward"],
    )
    assert (came["enrolments"], came["delivered"]) == (3, True)
    assert ward.opens(DeviceKey(tmp_path / "kim.key"), home=tmp_path)
    lost = ward.ways("--home", tmp_path)["device-key"]["id"]
    typed = ("--recovery-env", "CODE", "--with", "device-key")
    ward.kim("revoke", "--lost", lost, "--yes", "--home", tmp_path, *typed)
    assert ward.opens(RecoveryCode(ward.cli.env["CODE"]), home=tmp_path)


@pytest.mark.parametrize(
    ("enrolled", "typed", "kinds"),
    [
        (("--new-password-env", "PW"), ("--password-env", "PW"), ["password"]),
        (("--new-key", "usb.key"), ("--key", "usb.key"), ["device-key"]),
        (
            ("--new-password-env", "PW", "--new-key", "usb.key"),
            ("--password-env", "PW", "--key", "usb.key"),
            ["device-key", "password"],
        ),
        (
            ("--new-passphrase-env", "PHRASE", "--new-key", "usb.key"),
            ("--passphrase-env", "PHRASE", "--key", "usb.key"),
            ["device-key", "passphrase"],
        ),
    ],
    ids=["password", "key", "password and key", "passphrase and key"],
)
def test_any_way_in_that_the_server_keeps_will_do(
    reachable: Ward,
    empty: tuple[str, str],
    enrolled: tuple[str, ...],
    typed: tuple[str, ...],
    kinds: list[str],
) -> None:
    """R-WAYS-8."""
    reachable.kim("enrol", *enrolled, "--with", "device-key")
    came = arrived(reachable, *empty, *typed)
    assert came["opened_with"] == kinds
    assert reachable.kim("show", *empty, *typed, "--with", "+".join(kinds))["releases"] == 0


def test_by_a_file_from_an_operator_where_there_is_no_network(
    ward: Ward, empty: tuple[str, str]
) -> None:
    offline = {"TWINLOCK_CONFIG": ""}
    written = ward.cli.fine("member", "bundle", "kim", "-o", "kim.bundle")
    assert written["member"] == "kim"
    came = arrived(ward, "kim.bundle", *empty, "--recovery-env", "CODE", env=offline)
    assert (came["enrolments"], came["groups"]) == (2, [])
    assert any("Only the recovery code opens here" in text for text in came["warnings"])
    ward.kim("hello", *empty, "--recovery-env", "CODE", "-o", "k.hello")
    ward.cli.fine("group", "bundle", "--for", "k.hello", "-o", "k.news")
    followed = ward.kim("follow", "k.news", *empty, "--recovery-env", "CODE", env=offline)
    assert [group["group"] for group in followed["groups"]] == ["ward"]


@pytest.mark.parametrize(
    ("options", "env", "error"),
    [
        (("--recovery-env", "CODE"), {"CODE": WRONG}, "factor.wrong"),
        (("--recovery-env", "CODE"), {"CODE": "AAAAA"}, "factor.recovery-mistyped"),
        (("--password-env", "PW"), {}, "factor.wrong"),
        (("--with", "smart-card", "--card", "pkcs11:token=x"), {}, "factor.no-such-way"),
        (("--with", "magic"), {}, "factor.unknown-kind"),
        ((), {"TWINLOCK_CONFIG": ""}, "recovery.no-server"),
        (("kim.member",), {}, "message.other-kind"),
        (("weber.bundle", "--recovery-env", "CODE"), {}, "recovery.other-name"),
        (("--recovery-env", "CODE", "--new-key", "kim.key"), {}, "file.exists"),
    ],
)
def test_what_does_not_open_leaves_nothing_here(
    ward: Ward,
    tmp_path: Path,
    empty: tuple[str, str],
    options: tuple[str, ...],
    env: dict[str, str],
    error: str,
) -> None:
    """R-WAYS-8: a wrong factor and a factor that is not there look alike."""
    ward.cli.fine("member", "publish", "weber")
    ward.cli.fine("member", "bundle", "weber", "-o", "weber.bundle")
    refused = ("--deployment", ward.card, *options, *empty)
    assert ward.refused("recover", *refused, env=env) == error
    left = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert left == ([] if error != "file.exists" else ["kim.member"])


def test_another_deployment_s_card_leads_nowhere(ward: Ward, empty: tuple[str, str]) -> None:
    """R-WAYS-7."""
    options = ("--deployment", CARD, "--recovery-env", "CODE", *empty)
    assert ward.refused("recover", *options) == "member.other-deployment"


def test_a_name_that_is_no_member_s_looks_like_a_wrong_code(
    ward: Ward, empty: tuple[str, str]
) -> None:
    """R-WAYS-8: to the person at the keyboard, too."""
    asked = ("--deployment", ward.card, "--recovery-env", "CODE", *empty)
    stranger = ward.cli.here("member", "recover", "nobody", *asked)
    wrong = ward.cli.here("member", "recover", "kim", *asked, env={"CODE": WRONG})
    assert stranger.error == wrong.error == "factor.wrong"
    assert stranger.err == wrong.err


def test_a_member_who_is_here_is_set_aside_only_when_that_is_said(ward: Ward) -> None:
    before = (ward.cli.folder / "kim.member").read_bytes()
    options = ("--deployment", ward.card, "--recovery-env")
    assert ward.refused("recover", *options, "CODE") == "file.exists"
    wrong = {"OTHER": WRONG}
    assert ward.refused("recover", *options, "OTHER", "--replace", env=wrong) == "factor.wrong"
    assert (ward.cli.folder / "kim.member").read_bytes() == before
    ward.kim("recover", *options, "CODE", "--replace")
    assert (ward.cli.folder / "kim.member.before").read_bytes() == before
    assert ward.opens(DeviceKey(ward.cli.folder / "kim.key"))


def test_a_person_is_asked_to_make_a_way_in_when_paper_is_all_that_is_left(own: Any) -> None:
    """The whole thing at a terminal, on a real token."""
    own.ok("member", "publish", "kim")
    own.ok("member", "enrol", "kim", "--new-recovery", "paper")
    page = (own.folder / "paper").read_text()
    card = own.ok("token", "card")["card"]
    home = own.folder / "new"
    screen = Screen.of(own, "member", "recover", "kim", "--deployment", card, "--home", home)
    screen.until("Recovery code of kim: ")
    screen.type(f"{code_on(page)}\n")
    screen.until("Make a device key, ")
    screen.type("y\n")
    assert screen.end() == 0
    assert "kim is here, opened with recovery-code." in screen.seen
    assert (home / "kim.key").exists()
    assert own.ok("member", "factors", "kim", "--home", home)["enrolments"][-1]["factors"] == [
        "device-key"
    ]
