"""``member contacts``: a member loses everything, and two others bring him back, by files."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.deployment import Cli, copy_dev
from twinlock.agent.factors import DeviceKey
from twinlock.agent.state import load_state, save_state, state_path
from twinlock.cli.sharing import sharing
from twinlock.core.enrolment import unlock_any
from twinlock.errors import CallerError

DAY = 86400


class People:
    """Members' computers, each in a folder of its own, and the server that files go to."""

    def __init__(self, server: Cli, folder: Path) -> None:
        self.server = server
        self.side = Cli(folder, {"PW": server.env["PW"]})
        self.homes = {name: folder / f"home-{name}" for name in ("weber", "kim", "anna", "new")}
        members = Path(server.env["TWINLOCK_HOME"])
        for name in ("weber", "kim"):
            self.homes[name].mkdir()
            for suffix in ("member", "key"):
                shutil.copy(members / f"{name}.{suffix}", self.homes[name])
        self.homes["new"].mkdir()
        self.homes["anna"].mkdir()

    def member(self, *arguments: object, at: str) -> dict[str, Any]:
        return self.side.fine("member", *arguments, "--home", self.homes[at], *self._pw(at))

    def refused(self, *arguments: object, at: str) -> str:
        told = self.side.here(
            "member", *arguments, "--home", self.homes[at], *self._pw(at), "--json"
        )
        assert told.code != 0
        return told.error

    def file(self, name: str) -> Path:
        return self.side.folder / name

    def news(self, name: str, at: str = "") -> Path:
        """Have the server write the news for a member's agent."""
        self.member("hello", name, "-o", f"{name}.hello", at=at or name)
        return self.bundle(self.file(f"{name}.hello"), f"{name}.news")

    def bundle(self, hello: Path, output: str) -> Path:
        self.server.ok("group", "bundle", "--for", hello, "-o", self.file(output))
        return self.file(output)

    def join(self, name: str) -> None:
        """Anna comes to the ward: Weber invites her."""
        self.server.fine(
            *("group", "invite", "ward", "--as", "weber", "--passphrase-env", "PW"),
            *("-o", self.file("invite")),
        )
        self.member("create", name, "--invitation", "invite", at=name)
        self.member("card", name, "--invitation", "invite", "-o", f"{name}.card", at=name)
        self.server.ok(
            *("group", "add", "ward", self.file(f"{name}.card"), "--as", "weber"),
            *("--passphrase-env", "PW"),
        )
        self.member("follow", name, self.news(name), at=name)

    def saw_it(self, name: str, ago: int) -> None:
        """As if this agent had first seen its notices so long ago."""
        path = state_path(self.homes[name], name)
        stored = load_state(path)
        keys = unlock_any(stored.enrolments, [DeviceKey(self.homes[name] / f"{name}.key")])
        state = stored.unlocked(keys)
        notices = state.recoveries.notices
        for key, notice in notices.items():
            notices[key] = replace(notice, first_seen=notice.first_seen - ago)
        save_state(path, state, keys)

    def _pw(self, at: str) -> tuple[str, ...]:
        return ("--passphrase-env", "PW") if at == "weber" else ()


@pytest.fixture
def people(own: Cli, tmp_path: Path) -> People:
    folder = tmp_path / "people"
    folder.mkdir()
    made = People(own, folder)
    made.join("anna")
    made.member("follow", "weber", made.news("weber"), at="weber")
    made.member("follow", "kim", made.news("kim"), at="kim")
    told = made.member(
        *("contacts", "set", "weber", "kim", "anna", "--group", "ward", "--needed", "2"),
        *("-o", "contacts.change"),
        at="weber",
    )
    assert (told["needed"], told["contacts"], len(told["warnings"])) == (2, 2, 2)
    own.ok("member", "accept", made.file("contacts.change"))
    for name in ("kim", "anna"):
        made.member("follow", name, made.news(name), at=name)
    return made


def begin(people: People) -> dict[str, Any]:
    people.server.ok("member", "bundle", "weber", "-o", people.file("weber.bundle"))
    return people.member("contacts", "request", "weber", "weber.bundle", "-o", "ask", at="new")


def talk(people: People, name: str) -> str:
    """A contact and the person read their codes to each other; the notice is appended."""
    asked = people.member("contacts", "reply", name, "ask", "-o", f"{name}.reply", at=name)
    assert (asked["member"], asked["needed"], asked["wait_hours"]) == ("weber", 2, 24)
    opened = people.member(
        *("contacts", "open", "weber", f"{name}.reply", "-o", f"{name}.opening"), at="new"
    )
    done = people.member(
        *("contacts", "confirm", name, f"{name}.opening", "--code", opened["code"]),
        *("--propose", f"{name}.notice"),
        at=name,
    )
    if not done["announced"]:
        people.server.ok("group", "append", people.file(f"{name}.notice"))
    for contact in ("kim", "anna"):
        people.member("follow", contact, people.news(contact), at=contact)
    return str(done["code"])


def test_two_contacts_bring_a_member_back(people: People) -> None:
    """R-CONTACTS-6 to R-CONTACTS-10, from the first file to a member with new keys."""
    begun = begin(people)
    assert (begun["needed"], len(begun["contacts"])) == (2, 2)
    codes = {name: talk(people, name) for name in ("kim", "anna")}
    early = ("contacts", "share", "kim", "ask", "--bundle", people.news("kim"), "-o", "kim.share")
    assert people.refused(*early, at="kim") == "recovery.waiting"
    for name, missing in (("kim", 1), ("anna", 0)):
        people.saw_it(name, DAY)
        people.member(
            *("contacts", "share", name, "ask", "--bundle", people.news(name)),
            *("-o", f"{name}.share"),
            at=name,
        )
        taken = people.member(
            *("contacts", "take", "weber", f"{name}.share", "--code", codes[name]), at="new"
        )
        assert taken["missing"] == missing
    groups = people.bundle(people.homes["new"] / "weber.hello", "groups.bundle")
    people.server.ok("member", "bundle", "weber", "-o", people.file("weber.bundle"))
    finish = ("contacts", "finish", "weber", "weber.bundle", "--groups", groups)
    made = people.member(
        *(*finish, "--new-key", people.homes["new"] / "weber.key", "-o", "back.change"), at="new"
    )
    assert made["factors"] == ["device-key"]
    assert people.refused("contacts", "settle", "weber", groups, at="new") == "revocation.pending"
    people.server.ok("member", "accept", people.file("back.change"))
    groups = people.bundle(people.homes["new"] / "weber.hello", "groups.bundle")
    back = people.member("contacts", "settle", "weber", groups, at="new")
    assert (back["member"], back["groups"]) == ("weber", 2)
    assert "choose them again" in back["warnings"][0]
    assert not (people.homes["new"] / "weber.recovering").exists()
    people.member("follow", "weber", people.news("weber", at="new"), at="new")
    shown = people.member("show", "weber", at="new")
    assert {g["group"]: g["role"] for g in shown["groups"]} == {
        "emergency": "admin",
        "ward": "admin",
    }
    stale = people.news("weber")
    assert people.refused("follow", "weber", stale, at="weber") == "member.keys-retired"


def test_a_member_who_is_there_is_warned_loudly_and_cancels(people: People) -> None:
    """R-CONTACTS-11."""
    begun = begin(people)
    talk(people, "anna")
    told = people.member("follow", "weber", people.news("weber"), at="weber")
    assert "SOMEBODY IS RECOVERING WEBER" in told["warnings"][0]
    assert begun["recovery"][:16] in told["warnings"][0]
    shown = people.member("contacts", "show", "weber", at="weber")
    assert [one["recovery"] for one in shown["announced"]] == [begun["recovery"]]
    people.member(
        *("contacts", "cancel", "weber", begun["recovery"][:8], "--propose", "cancel"), at="weber"
    )
    people.server.ok("group", "append", people.file("cancel"))
    people.saw_it("anna", DAY)
    share = ("contacts", "share", "anna", "ask", "--bundle", people.news("anna"), "-o", "s")
    assert people.refused(*share, at="anna") == "recovery.cancelled"
    quiet = people.member("follow", "weber", people.news("weber"), at="weber")
    assert "warnings" not in quiet


def test_contacts_are_shown_with_what_they_can_still_do(people: People) -> None:
    """R-CONTACTS-13."""
    (shown,) = people.member("contacts", "show", "weber", at="weber")["contacts"]
    assert (shown["group"], shown["needed"], shown["can_help"]) == ("ward", 2, 2)
    assert {c["contact"]: c["state"] for c in shown["contacts"]} == {
        "kim": "can-help",
        "anna": "can-help",
    }
    people.server.ok("group", "remove", "ward", "anna", "--as", "weber", "--passphrase-env", "PW")
    told = people.member("follow", "weber", people.news("weber"), at="weber")
    assert told["member"] == "weber"
    after = people.member("contacts", "show", "weber", at="weber")
    assert (after["contacts"][0]["can_help"], after["contacts"][0]["useless"]) == (1, True)
    assert any(text.startswith("Useless") for text in after["warnings"])
    assert people.side.here(
        "member", "contacts", "show", "weber", "--home", people.homes["weber"],
        "--passphrase-env", "PW",
    ).out.count("is not in the group any more") == 1  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "at", "code"),
    [
        ("contacts request weber weber.bundle -o x", "new", "file.exists"),
        ("contacts take weber absent --code 1", "new", "file.missing"),
        ("contacts open weber ask -o x", "new", "message.other-kind"),
        ("contacts open kim kim.reply -o x", "new", "recovery.not-begun"),
        ("contacts reply weber ask -o x", "weber", "recovery.not-a-contact"),
        ("contacts confirm kim kim.opening --code 00000000", "kim", "recovery.code-differs"),
        ("contacts share kim ask --bundle kim.news -o x", "kim", "recovery.unconfirmed"),
        ("contacts finish weber weber.bundle --groups kim.news -o x", "new", "recovery.too-few"),
        ("contacts settle weber kim.news", "new", "revocation.none"),
        ("contacts cancel weber 00000000", "weber", "recovery.unknown"),
        ("contacts set kim weber anna --group nowhere -k 2", "kim", "group.not-followed"),
        ("contacts set kim weber nobody --group ward -k 2", "kim", "group.no-member"),
        ("contacts set kim weber anna --group ward -k 3", "kim", "contacts.terms"),
        ("contacts set kim weber anna --group ward -k 2 --wait 0", "kim", "contacts.terms"),
    ],
)
def test_what_is_out_of_turn_is_refused(
    out_of_turn: People, arguments: str, at: str, code: str
) -> None:
    assert out_of_turn.refused(*arguments.split(), at=at) == code


def test_a_member_who_is_kept_here_is_not_lost(out_of_turn: People) -> None:
    home = out_of_turn.homes["weber"]
    request = ("member", "contacts", "request", "weber", "weber.bundle", "-o", "x", "--home", home)
    told = out_of_turn.side.here(*request, "--json")
    assert (told.code, told.error) == (2, "recovery.not-lost")


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "twinlock.sharing.shamir", raising=False)
    monkeypatch.setitem(sys.modules, "Crypto.Protocol", None)
    with pytest.raises(CallerError) as refused:
        sharing()
    assert refused.value.code == "contacts.not-installed"


@pytest.fixture(scope="module")
def out_of_turn(original: Cli, tmp_path_factory: pytest.TempPathFactory) -> People:
    """A recovery as far as Kim's opening, with codes that nobody compared."""
    folder = tmp_path_factory.mktemp("turn")
    made = People(copy_dev(original, folder), folder)
    made.join("anna")
    for name in ("weber", "kim"):
        made.member("follow", name, made.news(name), at=name)
    made.member(
        *("contacts", "set", "weber", "kim", "anna", "--group", "ward", "-k", "2"),
        *("-o", "contacts.change"),
        at="weber",
    )
    made.server.ok("member", "accept", made.file("contacts.change"))
    made.member("follow", "kim", made.news("kim"), at="kim")
    begin(made)
    made.member("contacts", "reply", "kim", "ask", "-o", "kim.reply", at="kim")
    made.member("contacts", "open", "weber", "kim.reply", "-o", "kim.opening", at="new")
    return made
