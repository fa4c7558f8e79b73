"""``group``: every change in one step, and by files between an agent and a server apart."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.deployment import Cli, seal_patients

WEBER = ("--as", "weber", "--passphrase-env", "PW")
KIM = ("--as", "kim")


def _members(cli: Cli, group: str) -> dict[str, str]:
    return {m["member"]: m["role"] for m in cli.fine("group", "show", group)["members"]}


def _newcomer(cli: Cli, group: str, name: str, *options: str) -> None:
    """Invite, create, card, add, hello, bundle, follow: the whole way into a group."""
    cli.fine("group", "invite", group, *WEBER, "-o", f"{name}.invite")
    cli.fine("member", "create", name, "--invitation", f"{name}.invite", *options)
    cli.fine("member", "card", name, "--invitation", f"{name}.invite", "-o", f"{name}.card")
    cli.ok("group", "add", group, f"{name}.card", *WEBER)
    cli.fine("member", "hello", name, "-o", f"{name}.hello")
    cli.ok("group", "bundle", "--for", f"{name}.hello", "-o", f"{name}.bundle")
    cli.fine("member", "follow", name, f"{name}.bundle")


def test_groups_are_listed_and_shown(shared: Cli) -> None:
    groups = shared.fine("group", "list")["groups"]
    assert [(g["group"], g["trusted"], g["members"]) for g in groups] == [
        ("emergency", True, 2),
        ("ward", True, 2),
    ]
    shown = shared.fine("group", "show", "ward")
    assert _members(shared, "ward") == {"kim": "member", "weber": "admin"}
    assert re.fullmatch(r"(\d{5} ){7}\d{5}", shown["fingerprint"])
    assert shown["notes"] == []
    assert [w["own"] for w in shown["writers"]] == [True]
    by_id = shared.fine("group", "show", shown["group_id"])
    assert by_id == shown
    assert shared.here("group", "show", "ward").out.startswith("group        ward\n")


def test_the_log_tells_the_group_s_history(shared: Cli) -> None:
    log = shared.fine("group", "log", "ward")["entries"]
    assert [entry["op"] for entry in log] == ["found", "set-writers", "add"]
    assert log[2]["text"] == "added kim as member"
    assert log[-1]["head"] == shared.fine("group", "show", "ward")["head"]
    assert "founded ward with weber (admin)" in shared.here("group", "log", "ward").out


def test_a_group_with_one_opener_is_warned_about(own: Cli) -> None:
    founded = own.ok("group", "found", "lonely", "--budget", "5", "--click-each", *WEBER)
    assert "one opener" in founded["warnings"][0]
    shown = own.fine("group", "show", "lonely")
    assert "fewer than two openers" in shown["notes"][0]
    assert shown["policy"]["budget_per_hour"] == 5
    assert shown["policy"]["click_each"] is True
    again = own.run("group", "found", "lonely", *WEBER, "--json")
    assert (again.code, again.error) == (2, "group.name-taken")


def test_a_newcomer_opens_what_was_sealed_before(own: Cli) -> None:
    seal_patients(own, "t")
    _newcomer(own, "ward", "tom")
    assert own.ok("open", "--as", "tom", "--table", "t", "--all")["failed"] == 0
    listed = {m["member"]: m["groups"] for m in own.fine("member", "list")["members"]}
    assert listed["tom"] == {"ward": "member"}


def test_a_quantum_safe_group_takes_quantum_safe_members_only(own: Cli) -> None:
    refused = own.run("group", "found", "pq", "--kem", "mlkem768-x25519", *KIM, "--json")
    assert (refused.code, refused.error) == (3, "log.not-allowed")
    own.fine("member", "create", "ada", "--pq", "--deployment", own.fine("token", "card")["card"])
    own.ok("group", "found", "pq", "--kem", "mlkem768-x25519", "--as", "ada")
    own.ok("seal", "patients.csv", "--to", "pq", "--suite", "token-aes", "-o", "p.twl")
    own.ok("open", "p.twl", "--name", "patients.csv", "--as", "ada", "-o", "p")
    assert own.run("group", "found", "x", "--kem", "rot13", *WEBER, "--json").error == "group.kem"


def test_a_card_without_invitation_needs_a_comparison(own: Cli) -> None:
    own.fine("member", "create", "tom", "--deployment", own.fine("token", "card")["card"])
    card = own.fine("member", "card", "tom", "-o", "tom.card")
    refused = own.run("group", "add", "ward", "tom.card", *WEBER, "--json")
    assert (refused.code, refused.error) == (2, "member.not-invited")
    own.ok("group", "add", "ward", "tom.card", "--compared", "--role", "admin", *WEBER)
    assert _members(own, "ward")["tom"] == "admin"
    shown = own.fine("member", "show", "tom")
    assert shown["fingerprint"] == card["fingerprint"]


def test_removing_says_what_older_keys_still_open(own: Cli) -> None:
    seal_patients(own, "t")
    _newcomer(own, "ward", "tom")
    removed = own.ok("group", "remove", "ward", "kim", *WEBER)
    assert (removed["removed"], removed["epoch"]) == ("kim", 2)
    assert removed["records_of_older_epochs"] == 3
    assert "kim" not in _members(own, "ward")
    refused = own.run("open", *KIM, "--table", "t", "--all", "--json")
    assert (refused.code, refused.error) == (2, "record.no-lock")
    seal_patients(own, "t", "--to", "ward", "--replace")
    _newcomer(own, "ward", "eva")
    again = own.ok("group", "remove", "ward", "eva", *WEBER)
    assert again["records_of_older_epochs"] == 3
    seal_patients(own, "t", "--to", "ward", "--replace")
    assert own.ok("group", "new-epoch", "ward", *WEBER)["epoch"] == 4
    shown = own.run("group", "remove", "ward", "nobody", *WEBER, "--json")
    assert (shown.code, shown.error) == (2, "group.no-member")


def test_the_last_two_openers_stay(own: Cli) -> None:
    refused = own.run("group", "remove", "ward", "kim", *WEBER, "--json")
    assert (refused.code, refused.error) == (3, "log.last-opener")
    assert own.run("group", "leave", "ward", *WEBER, "--json").code == 3


def test_after_somebody_left_an_admin_is_told_to_begin_an_epoch(own: Cli) -> None:
    _newcomer(own, "ward", "tom")
    left = own.run("group", "leave", "ward", "--as", "tom")
    assert left.code == 0, left
    assert "older keys" in left.out
    assert "new-epoch" in own.fine("group", "show", "ward")["notes"][0]
    own.ok("group", "new-epoch", "ward", *WEBER)
    assert own.fine("group", "show", "ward")["notes"] == []


def test_rules_are_changed_one_by_one(own: Cli) -> None:
    own.ok("group", "set-policy", "ward", "--budget", "7", *WEBER)
    own.ok("group", "set-policy", "ward", "--click-each", *WEBER)
    policy = own.fine("group", "show", "ward")["policy"]
    assert (policy["budget_per_hour"], policy["click_each"]) == (7, True)
    own.ok("group", "set-policy", "ward", "--budget", "-1", "--suite", "rsa-oaep", *WEBER)
    policy = own.fine("group", "show", "ward")["policy"]
    assert policy["budget_per_hour"] is None
    assert policy["outer_suites"] == ["RSA_OAEP_SHA1", "RSA_OAEP_SHA256"]
    nothing = own.here("group", "set-policy", "ward", *WEBER, "--json")
    assert (nothing.code, nothing.error) == (2, "group.nothing-changed")


def test_exceptions_are_made_and_dropped_one_by_one(own: Cli) -> None:
    """R-LOG-39, R-LOG-41."""
    made: list[list[str]] = []
    for option in ("scram-alone", "sole-passkey"):
        own.ok("group", "set-policy", "ward", f"--allow-{option}", *WEBER)
        made.append(own.fine("group", "show", "ward")["policy"]["exceptions"])
    own.ok("group", "set-policy", "ward", "--no-allow-scram-alone", *WEBER)
    made.append(own.fine("group", "show", "ward")["policy"]["exceptions"])
    assert made == [["scram-alone"], ["scram-alone", "sole-passkey"], ["sole-passkey"]]
    said = own.fine("group", "log", "ward")["entries"][-1]["text"]
    assert "takes sole-passkey" in said
    founded = own.ok("group", "found", "lonely", "--allow-sole-passkey", *WEBER)
    assert founded["group"] == "lonely"
    assert own.fine("group", "show", "lonely")["policy"]["exceptions"] == ["sole-passkey"]


def test_what_members_state_is_listed(own: Cli) -> None:
    """R-LOG-36."""
    shown = {m["member"]: m["states"] for m in own.fine("group", "show", "ward")["members"]}
    assert shown == {"weber": ["pq-at-rest"], "kim": ["pq-at-rest"]}
    listed = {m["member"]: m["states"] for m in own.fine("member", "list")["members"]}
    assert listed["kim"] == {"ward": ["pq-at-rest"], "emergency": ["pq-at-rest"]}


def test_writers_are_added_and_removed(own: Cli) -> None:
    public = own.fine("group", "show", "ward")["writers"][0]["public"]
    other = _other_writer(own)
    own.ok("group", "set-writers", "ward", "--writer", f"import={other}", *WEBER)
    names = {w["writer"]: w["public"] for w in own.fine("group", "show", "ward")["writers"]}
    assert names == {"application": public, "import": other}
    own.ok("group", "set-writers", "ward", "--remove", "application", *WEBER)
    refused = own.run("seal", "patients.csv", "--to", "ward", "-o", "x", "--json")
    assert (refused.code, refused.error) == (2, "writer.not-named")
    own.ok("group", "set-writers", "ward", *WEBER)
    assert len(own.fine("group", "show", "ward")["writers"]) == 2
    same = own.run("group", "set-writers", "ward", *WEBER, "--json")
    assert same.error == "group.nothing-changed"
    bad = own.here("group", "set-writers", "ward", "--writer", "import=xyz", *WEBER, "--json")
    assert (bad.code, bad.error) == (2, "writer.malformed")


def _other_writer(cli: Cli) -> str:
    from twinlock.server.setup import create_writer_key

    return create_writer_key(cli.folder / "other.key").public.hex()


def test_an_identity_is_vouched_for_by_its_fingerprint(own: Cli) -> None:
    bad = own.run("group", "set-identity", "ward", "--fingerprint", "abc", *WEBER, "--json")
    assert (bad.code, bad.error) == (2, "group.fingerprint")
    own.ok("group", "set-identity", "ward", *WEBER)
    assert own.fine("group", "log", "ward")["entries"][-1]["op"] == "set-identity"


def test_only_admins_change_a_group(own: Cli) -> None:
    refused = own.run("group", "new-epoch", "ward", *KIM, "--json")
    assert refused.code in (2, 3)
    assert refused.error in ("log.not-allowed", "group.cosign-needed")
    stranger = own.run("group", "new-epoch", "nowhere", *WEBER, "--json")
    assert (stranger.code, stranger.error) == (2, "group.not-followed")


# --- agent and server apart ----------------------------------------------------------------------


@pytest.fixture
def admin(own: Cli, tmp_path: Path) -> Cli:
    """weber's own computer: no configuration, no token."""
    folder = tmp_path / "weber's computer"
    folder.mkdir()
    for suffix in ("member", "key"):
        shutil.copy(Path(own.env["TWINLOCK_HOME"]) / f"weber.{suffix}", folder)
    return Cli(folder, {"PW": own.env["PW"]})


def _bundle(own: Cli, computer: Cli, name: str = "weber") -> Path:
    hello, bundle = computer.folder / f"{name}.hello", computer.folder / f"{name}.bundle"
    options = ("--passphrase-env", "PW") if name == "weber" else ()
    computer.fine("member", "hello", name, "-o", hello, *options)
    own.fine("group", "bundle", "--for", hello, "-o", bundle)
    return bundle


def test_a_proposal_travels_as_a_file(own: Cli, admin: Cli) -> None:
    bundle = _bundle(own, admin)
    file = admin.folder / "budget.proposal"
    propose = ("--propose", file, "--bundle", bundle)
    proposed = admin.fine("group", "set-policy", "ward", "--budget", "9", *WEBER, *propose)
    assert (proposed["appended"], proposed["signatures_missing"]) == (False, 0)
    assert own.fine("group", "show", "ward")["policy"]["budget_per_hour"] is None
    appended = own.ok("group", "append", file)
    assert "9 records an hour" in appended["entries"][0]["text"]
    assert own.fine("group", "show", "ward")["policy"]["budget_per_hour"] == 9
    again = own.run("group", "append", file, "--json")
    assert (again.code, again.error) == (2, "group.log-moved")


def test_a_group_is_founded_by_file_with_the_server_s_writer(own: Cli, admin: Cli) -> None:
    writer = own.fine("group", "show", "ward")["writers"][0]
    file = admin.folder / "found.proposal"
    named = ("--writer", f"{writer['writer']}={writer['public']}", "--propose", file)
    proposed = admin.fine("group", "found", "lab", *WEBER, *named)
    assert [entry["op"] for entry in proposed["entries"]] == ["found", "set-writers"]
    own.ok("group", "append", file)
    assert own.fine("group", "show", "lab")["group_id"] == proposed["group_id"]
    own.ok("seal", "patients.csv", "--to", "lab", "-o", "p.twl")


def test_two_admins_sign_what_takes_two(own: Cli, admin: Cli) -> None:
    own.ok("group", "set-admins", "ward", "weber", "kim", "--admin-k", "2", *WEBER)
    alone = own.run("group", "new-epoch", "ward", *WEBER, "--json")
    assert (alone.code, alone.error) == (2, "group.cosign-needed")
    file, bundle = admin.folder / "epoch.proposal", _bundle(own, admin)
    propose = ("--propose", file, "--bundle", bundle)
    proposed = admin.fine("group", "new-epoch", "ward", *WEBER, *propose)
    assert proposed["signatures_missing"] == 1
    early = own.run("group", "append", file, "--json")
    assert (early.code, early.error) == (2, "group.cosign-needed")

    own.fine("member", "hello", "kim", "-o", "kim.hello")
    own.fine("group", "bundle", "--for", "kim.hello", "-o", "kim.bundle")
    cosign = ("group", "cosign", file, *KIM, "--bundle", "kim.bundle")
    declined = own.here(*cosign, given="n\n")
    assert declined.error == "group.not-signed"
    assert "weber proposes: began epoch 2" in declined.err
    signed = own.here(*cosign, given="y\n")
    assert signed.code == 0, signed
    twice = own.here(*cosign, "--yes", "--json")
    assert (twice.code, twice.error) == (2, "log.signed-twice")
    own.ok("group", "append", file)
    assert own.fine("group", "show", "ward")["epoch"] == 2


def test_a_proposal_that_was_overtaken_is_not_signed(own: Cli, admin: Cli) -> None:
    file, bundle = admin.folder / "late.proposal", _bundle(own, admin)
    admin.fine("group", "new-epoch", "ward", *WEBER, "--propose", file, "--bundle", bundle)
    own.ok("group", "set-policy", "ward", "--budget", "3", *WEBER)
    refused = own.here("group", "cosign", file, *WEBER, "--yes", "--json")
    assert (refused.code, refused.error) == (2, "group.log-moved")
    assert own.run("group", "append", file, "--json").error == "group.log-moved"


def test_another_server_trusts_a_group_from_a_compared_head(own: Cli) -> None:
    shown = own.fine("group", "show", "ward")
    pins = Path(own.env["TWINLOCK_CONFIG"]).parent / "pins"
    pins.unlink()
    assert [g["trusted"] for g in own.fine("group", "list")["groups"]] == [False, False]
    assert own.here("group", "show", "ward", "--json").error == "group.unknown"
    head = shown["head"]
    for wrong in (
        ("--seq", "1", "--head", head),
        ("--seq", str(shown["seq"]), "--head", "00" * 32),
    ):
        refused = own.here("group", "trust", "ward", *wrong, "--json")
        assert (refused.code, refused.error) == (3, "log.fork")
    bad = own.here("group", "trust", "ward", "--seq", "1", "--head", "xyz", "--json")
    assert (bad.code, bad.error) == (2, "group.head")
    absent = own.here("group", "trust", "x", "--seq", "1", "--head", head, "--json")
    assert absent.error == "group.unknown"
    trusted = own.fine("group", "trust", "ward", "--seq", shown["seq"], "--head", head)
    assert trusted["fingerprint"] == shown["fingerprint"]
    assert own.fine("group", "show", "ward")["group_id"] == shown["group_id"]


@pytest.mark.parametrize("verb", ["append", "cosign"])
def test_damaged_proposals_are_refused(shared: Cli, verb: str) -> None:
    signer = WEBER if verb == "cosign" else ()
    bad = shared.file("bad.proposal", b"not a proposal")
    refused = shared.here("group", verb, bad, *signer, "--json")
    assert (refused.code, refused.error) == (3, "message.foreign")
    assert shared.here("group", verb, "absent", *signer, "--json").error == "file.missing"
