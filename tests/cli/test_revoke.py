"""``member revoke``: new keys, whatever happens meanwhile; by the server, over HTTP, by files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from tests.cli.ward import Ward, ward_here
from tests.http.test_uvicorn import serving
from twinlock.agent.factors import DeviceKey
from twinlock.agent.home import FileHome
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.state import load_state
from twinlock.agent.ways import NewWay
from twinlock.cli.service_here import VaultService
from twinlock.errors import EnvError, TwinlockError
from twinlock.integrations.asgi import MemberRoutes

WORDS = {"PW": "Zürich, correct horse", "PHRASE": "rivers carry no keys"}
NEW = ("--new-key", "new.key", "--label", "new")


class Killed(BaseException):
    """The process ends here, and nothing after it runs."""


@pytest.fixture
def ward(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    with ward_here(monkeypatch) as made:
        made.cli.env |= WORDS
        yield made


@pytest.fixture(params=["vault here", "over HTTP"])
def reachable(ward: Ward, request: pytest.FixtureRequest) -> Iterator[Ward]:
    """A ward whose server is reached in both ways there are."""
    if request.param == "vault here":
        yield ward
        return
    app = FastAPI()
    app.mount("/member", MemberRoutes(ward.made.vault, scram=True))

    @app.get("/alive")
    async def alive() -> str:
        return "yes"

    with serving(app) as base:
        ward.cli.env |= {"TWINLOCK_SERVICE": f"{base}/member/"}
        yield ward


def old_key_opens(ward: Ward) -> bool:
    try:
        return ward.opens(DeviceKey(ward.cli.folder / "kim.key"))
    except TwinlockError as error:
        if error.code not in ("member.keys-retired", "factor.wrong"):
            raise
        return False


def test_what_is_lost_ends_and_what_stays_is_made_anew(reachable: Ward) -> None:
    """R-WAYS-10: passwords and codes go on, and sign in if that is asked for."""
    ward = reachable
    code = ward.kim("enrol", "--new-recovery", "-", "--label", "paper")["recovery_code"]
    ward.cli.env["CODE"] = code
    key = ("--with", "device-key")
    ward.kim("enrol", "--new-password-env", "PW", "--label", "home", "--sign-in", *key)
    options = ("--new-scram-env", "PW", "--new-key", "s.key", "--label", "both", "--sign-in")
    ward.kim("enrol", *options, *key)
    before = {way["id"] for way in ward.ways(*key).values()}
    signed_in = ward.made.vault.members.logins("kim", "split")
    ends = ward.ways(*key)["device-key"]["id"]
    typed = ("--password-env", "PW", "--scram-env", "PW", "--recovery-env", "CODE")
    done = ward.kim("revoke", "--lost", ends, "--yes", "--sign-in", *NEW, *typed, *key)
    assert (done["under_way"], done["groups"], done["enrolments"]) == (False, ["ward"], 4)
    assert not old_key_opens(ward)
    assert ward.opens(DeviceKey(ward.cli.folder / "new.key"))
    assert ward.opens(RecoveryCode(code))
    new = ("--key", "new.key", "--with", "device-key")
    ways = ward.ways(*new)
    assert set(ways) == {"paper", "home", "both", "new"}
    assert before.isdisjoint(way["id"] for way in ways.values())
    ward.kim("show", "--with", "password", "--password-env", "PW")
    ward.kim("show", "--with", "scram+device-key", "--scram-env", "PW", "--key", "s.key")
    assert len(ward.made.vault.members.logins("kim", "scram")) == 1
    (split,) = ward.made.vault.members.logins("kim", "split")
    assert [split] != signed_in


def test_by_files_where_there_is_no_network(ward: Ward) -> None:
    """R-WAYS-10: every step is a file, and can be repeated."""
    offline = {"TWINLOCK_CONFIG": ""}
    ward.kim("hello", "-o", "kim.hello")

    def bundle() -> None:
        ward.cli.fine("group", "bundle", "--for", "kim.hello", "-o", "kim.bundle")

    bundle()
    only = ward.kim("factors")["enrolments"][0]["id"]
    options = ("--lost", only, "--yes", *NEW, "--bundle", "kim.bundle")
    begun = ward.kim("revoke", *options, "-o", "kim.change", env=offline)
    assert (begun["under_way"], begun["output"]) == (True, "kim.change")
    assert old_key_opens(ward)
    again = ward.kim("revoke", "-o", "again.change", env=offline)
    assert again["under_way"] is True
    first, second = (ward.cli.folder / f"{name}.change" for name in ("kim", "again"))
    assert first.read_bytes() == second.read_bytes()
    finish = ("--finish", "--bundle", "kim.bundle", "--key", "new.key")
    assert ward.refused("revoke", *finish, env=offline) == "revocation.pending"
    assert ward.refused("revoke", "--finish", "--key", "new.key", env=offline) == (
        "revocation.no-news"
    )
    ward.cli.fine("member", "accept", "kim.change")
    bundle()
    assert ward.kim("revoke", *finish, env=offline)["groups"] == ["ward"]
    assert ward.opens(DeviceKey(ward.cli.folder / "new.key"))
    assert not old_key_opens(ward)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--lost", "absent", "--yes"), "enrolment.unknown"),
        (("--lost", "paper", "--keep", "paper", "--yes"), "revocation.what"),
        (("--finish", "--status"), "revocation.what"),
        (("--finish",), "revocation.none"),
        (("--discard",), "revocation.none"),
        (("--lost", "paper"), "member.declined"),
        (("--lost", "words", "--yes"), "revocation.not-at-hand"),
        (("--keep", "words", "--yes"), "revocation.not-at-hand"),
        (("--lost", "paper", "--yes", "--passphrase-env", "PW"), "revocation.not-at-hand"),
        (("--keep", "paper", "--yes"), "revocation.not-at-hand"),
        (
            ("--lost", "paper", "--yes", "--new-key", "kim.key", "--passphrase-env", "PHRASE"),
            "file.exists",
        ),
    ],
)
def test_what_cannot_be_revoked_leaves_everything_as_it_was(
    ward: Ward, options: tuple[str, ...], error: str
) -> None:
    """R-WAYS-10: above all, nothing that is said to stay is lost."""
    ward.kim("enrol", "--new-recovery", "-", "--label", "paper")
    words = ("--new-passphrase-env", "PHRASE", "--label", "words")
    ward.kim("enrol", *words, "--with", "device-key")
    assert ward.refused("revoke", *options, "--with", "device-key") == error
    names = {path.name for path in ward.cli.folder.iterdir()}
    assert not names & {"kim.member.next", "kim.member.change"}
    assert ward.kim("revoke", "--status")["under_way"] is False
    assert set(ward.ways("--with", "device-key")) == {"device-key", "paper", "words"}
    assert old_key_opens(ward)


def test_what_is_not_at_hand_is_named_all_at_once(ward: Ward) -> None:
    ward.kim("enrol", "--new-recovery", "-", "--label", "paper")
    ward.kim("enrol", "--new-password-env", "PW", "--label", "home", "--with", "device-key")
    said = ward.cli.here("member", "revoke", "kim", "--yes", "--with", "device-key")
    assert said.error == "revocation.not-at-hand"
    assert "paper (recovery-code)" in said.err
    assert "home (password)" in said.err
    assert "--lost WAY" in said.err


def test_the_last_way_in_is_not_revoked_without_another(ward: Ward) -> None:
    """R-WAYS-2."""
    only = ward.kim("factors")["enrolments"][0]["id"]
    assert ward.refused("revoke", "--lost", only, "--yes") == "enrolment.last"
    assert old_key_opens(ward)


def test_without_news_of_the_groups_no_keys_are_made(ward: Ward) -> None:
    offline = {"TWINLOCK_CONFIG": ""}
    assert ward.refused("revoke", "--yes", env=offline) == "revocation.no-news"
    ward.cli.fine("member", "create", "tom", "--deployment", ward.card)
    refused = ward.cli.here("member", "revoke", "tom", "--yes", "--json")
    assert (refused.code, refused.error) == (2, "revocation.no-group")


def test_it_says_before_what_it_does_and_what_it_does_not(ward: Ward) -> None:
    asked = ward.cli.here("member", "revoke", "kim", *NEW, given="n\n")
    assert asked.error == "member.declined"
    for text in ("Ends:  no way in", "Stays: ", "(device-key)", "stays open", "Give kim new keys?"):
        assert text in asked.err
    assert not (ward.cli.folder / "new.key").exists()


# --- interrupted ---------------------------------------------------------------------------------


def kill_before(patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    def ends(*_arguments: Any, **_named: Any) -> None:
        raise Killed

    patch.setattr(owner, name, ends)


def kill_after(patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def ends(*arguments: Any, **named: Any) -> None:
        original(*arguments, **named)
        raise Killed

    patch.setattr(owner, name, ends)


def kill_in_promote(patch: pytest.MonkeyPatch, _owner: Any, _name: str) -> None:
    """Between the renaming and the removal of the message."""
    original = Path.unlink

    def ends(self: Path, missing_ok: bool = False) -> None:
        if self.name == "kim.member.change":
            raise Killed
        original(self, missing_ok=missing_ok)

    patch.setattr(Path, "unlink", ends)


POINTS = [
    (kill_before, FileHome, "stage", "nothing"),
    (kill_before, "twinlock.agent.home", "save_state", "nothing"),
    (kill_after, FileHome, "stage", "staged"),
    (kill_before, VaultService, "change", "staged"),
    (kill_after, VaultService, "change", "accepted"),
    (kill_before, FileHome, "promote", "accepted"),
    (kill_in_promote, FileHome, "promote", "done"),
]


def interrupted(ward: Ward, kill: Callable[..., None], owner: Any, name: str) -> str:
    """Revoke kim's only way in for a new key, killed at a point; returns the old one's id."""
    only = str(ward.kim("factors")["enrolments"][0]["id"])
    with pytest.MonkeyPatch.context() as patch:
        if isinstance(owner, str):
            # The state that stands is saved too; only the new one is meant.
            original = FileHome.stage

            def stage(self: FileHome, *arguments: Any) -> None:
                kill(patch, __import__(owner, fromlist=["x"]), name)
                original(self, *arguments)

            patch.setattr(FileHome, "stage", stage)
        else:
            kill(patch, owner, name)
        result = ward.cli.here("member", "revoke", "kim", "--lost", only, "--yes", *NEW)
        assert result.code == 70, result
    return only


@pytest.mark.parametrize(("kill", "owner", "name", "left"), POINTS)
def test_a_revocation_that_is_killed_anywhere_is_finished_afterwards(
    ward: Ward, kill: Callable[..., None], owner: Any, name: str, left: str
) -> None:
    """R-WAYS-10: at every moment one of the two states opens, and a way leads to the end."""
    only = interrupted(ward, kill, owner, name)
    under_way = left in ("staged", "accepted")
    assert ward.kim("revoke", "--status")["under_way"] is under_way
    if left == "nothing":
        assert old_key_opens(ward)
        ward.kim("revoke", "--lost", only, "--yes", *NEW)
    elif under_way:
        assert old_key_opens(ward) is (left == "staged")
        assert ward.refused("revoke", "--yes") == "revocation.under-way"
        ward.kim("revoke", "--finish", "--key", "new.key")
    assert ward.opens(DeviceKey(ward.cli.folder / "new.key"))
    assert not old_key_opens(ward)
    # The next one begins as if nothing had been.
    ward.kim("revoke", "--yes", "--key", "new.key")
    names = {path.name for path in ward.cli.folder.iterdir()}
    assert not names & {"kim.member.next", "kim.member.change"}
    assert ward.opens(DeviceKey(ward.cli.folder / "new.key"))


@pytest.mark.parametrize(
    ("kill", "owner", "name", "left"), [p for p in POINTS if p[3] in ("staged", "accepted")]
)
def test_it_is_given_up_only_if_the_server_never_took_it(
    ward: Ward, kill: Callable[..., None], owner: Any, name: str, left: str
) -> None:
    """R-WAYS-10: an accepted one is not forgotten, or the member would be lost."""
    interrupted(ward, kill, owner, name)
    if left == "accepted":
        assert ward.refused("revoke", "--discard") == "member.keys-retired"
        assert ward.kim("revoke", "--status")["under_way"] is True
        ward.kim("revoke", "--finish", "--key", "new.key")
        return
    assert ward.refused("revoke", "--discard", env={"TWINLOCK_CONFIG": ""}) == "revocation.no-news"
    assert ward.kim("revoke", "--discard")["under_way"] is False
    assert old_key_opens(ward)


def test_a_revocation_that_was_outrun_is_given_up_and_made_again(ward: Ward) -> None:
    """R-WAYS-10."""
    only = interrupted(ward, kill_after, FileHome, "stage")
    weber = ward.made.weber.agent
    group = ward.made.vault.group("ward").group_id
    weber.follow(ward.made.vault.group_bundle(weber.hello()))
    ward.made.vault.append(weber.admin.new_epoch(group))
    assert ward.refused("revoke", "--finish", "--key", "new.key") == "revocation.outrun"
    assert old_key_opens(ward)
    ward.kim("revoke", "--discard")
    again = ("--new-key", "newer.key")
    ward.kim("revoke", "--lost", only, "--yes", *again)
    assert ward.opens(DeviceKey(ward.cli.folder / "newer.key"))


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "not taken"])
def test_a_change_whose_answer_got_lost_loses_nothing(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    """R-WAYS-12: what the server may have taken can still be opened, and is found again."""
    accept = VaultService.change

    def lost(self: VaultService, change: bytes) -> None:
        if taken:
            accept(self, change)
        raise EnvError("member-service.unreachable", "No answer.", hint="Try again.")

    only = ward.kim("factors")["enrolments"][0]["id"]
    options = ("--new-passphrase-env", "PHRASE", "--label", "words")
    with monkeypatch.context() as patch:
        patch.setattr(VaultService, "change", lost)
        assert ward.refused("change", only, *options) == "member-service.unreachable"
        assert ward.refused("enrol", "--new-key", "b.key") == "member-service.unreachable"
    assert (ward.cli.folder / "b.key").exists()
    left = ("words",) if taken else ("device-key",)
    ways = ward.ways("--passphrase-env", "PHRASE") if taken else ward.ways("--key", "kim.key")
    assert tuple(ways)[:1] == left
    typed = ("--with", "passphrase", "--passphrase-env", "PHRASE")
    ward.kim("enrol", "--new-recovery", "-", *(typed if taken else ("--key", "kim.key")))
    if not taken:
        assert ward.refused("factors", *typed) == "factor.no-such-way"


def test_a_list_by_which_nothing_here_would_open_is_not_taken(ward: Ward, tmp_path: Path) -> None:
    """R-WAYS-12: this computer's file would be lost, and with it what others rely on."""
    ward.cli.env["CODE"] = ward.kim("enrol", "--new-recovery", "-")["recovery_code"]
    there = ("--home", str(tmp_path))
    made = ("--new-passphrase-env", "PHRASE", "--label", "words")
    ward.kim("recover", "--deployment", ward.card, "--recovery-env", "CODE", *made, *there)
    typed = ("--with", "passphrase", "--passphrase-env", "PHRASE")
    for way in ward.ways(*there, *typed).values():
        if way["label"] != "words":
            ward.kim("drop", way["id"], "--yes", *there, *typed)
    before = load_state(ward.cli.folder / "kim.member").enrolments
    assert ward.refused("factors") == "enrolment.none-here"
    assert load_state(ward.cli.folder / "kim.member").enrolments == before
    assert old_key_opens(ward)


def test_other_computers_of_the_member_have_to_be_set_up_again(ward: Ward, tmp_path: Path) -> None:
    """R-WAYS-9, R-WAYS-10."""
    code = ward.kim("enrol", "--new-recovery", "-", "--label", "paper")["recovery_code"]
    ward.cli.env["CODE"] = code
    there = ("--home", str(tmp_path), "--recovery-env", "CODE")
    ward.kim("recover", "--deployment", ward.card, *there)
    only = ward.ways("--with", "device-key")["device-key"]["id"]
    typed = ("--recovery-env", "CODE", "--with", "device-key")
    ward.kim("revoke", "--lost", only, "--yes", *NEW, *typed)
    assert ward.refused("factors", *there) == "member.keys-retired"
    assert ward.refused("recover", "--deployment", ward.card, *there) == "file.exists"
    ward.kim("recover", "--deployment", ward.card, "--replace", *there)
    assert set(ward.ways(*there)) == {"paper", "new"}
    assert ward.opens(RecoveryCode(code), home=tmp_path)


def test_contacts_never_stay(ward: Ward) -> None:
    """R-WAYS-10: their letters lead to the old keys, and the member is told."""
    pytest.importorskip("Crypto")
    from twinlock.agent.contacts import choose_contacts
    from twinlock.cli.sharing import sharing

    agent = ward.made.kim.agent
    group = ward.made.vault.group("ward").group_id
    others = [ward.made.weber.agent.member_id]
    others += [_another(ward, "anna")]
    agent.follow(ward.made.vault.group_bundle(agent.hello()))
    chosen = choose_contacts(agent.admin, group, others, needed=2, sharing=sharing())
    agent.ways.enrol(NewWay([chosen], "contacts"), send=ward.made.vault.members.accept)
    revoked = ward.kim("revoke", "--yes")
    assert any("Contacts led to the old keys" in text for text in revoked["warnings"])
    assert set(ward.ways()) == {"device-key"}


def _another(ward: Ward, name: str) -> bytes:
    newcomer = ward.made.founding.member(name)
    weber = ward.made.weber.agent
    ward.made.founding.add(ward.made.vault.group("ward"), weber, newcomer)
    return newcomer.member_id
