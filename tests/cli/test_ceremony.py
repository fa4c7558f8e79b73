"""Request, release and open in three places: the server, the member's computer, the holder."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.deployment import Cli, eventually
from twinlock.core.request import decode_bundle, decode_request


@pytest.fixture
def member(shared: Cli, tmp_path: Path) -> Cli:
    """kim's own computer: a copy of her files, no configuration, no token."""
    return _computer(shared, tmp_path / "kim's computer", "kim")


def _computer(server: Cli, folder: Path, name: str) -> Cli:
    folder.mkdir()
    home = Path(server.env["TWINLOCK_HOME"])
    for suffix in ("member", "key"):
        shutil.copy(home / f"{name}.{suffix}", folder)
    return Cli(folder, {"PW": server.env["PW"]})


def _hello(member: Cli, server: Cli) -> Path:
    path = server.folder / f"{member.folder.parent.name}.hello"
    member.fine("member", "hello", "kim", "-o", path)
    return path


def _ask(server: Cli, hello: Path, name: str, *options: str) -> Path:
    path = server.folder / name
    rows = options or ("--table", "patients", "--ids", "P1,P3")
    server.ok("request", "--for", hello, "-o", path, *rows)
    return path


def _sockets(server: Cli) -> set[str]:
    run = Path(server.env["TWINLOCK_CONFIG"]).parent / "run"
    return {path.name for path in run.glob("*.sock")} if run.exists() else set()


def _socket_of(request: Path) -> str:
    message = decode_request(decode_bundle(request.read_bytes()).request)
    return f"{message.request_id.hex()}.sock"


def test_three_commands_in_three_places_open_what_was_asked_for(shared: Cli, member: Cli) -> None:
    hello = _hello(member, shared)
    request = _ask(
        shared, hello, "r1.twl", "--table", "patients", "--ids", "P3,P1", "--purpose", "ward round"
    )
    run = Path(shared.env["TWINLOCK_CONFIG"]).parent / "run"
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert stat.S_IMODE((run / _socket_of(request)).stat().st_mode) == 0o600

    release = member.folder / "r1.release"
    answered = member.here("release", request, "--as", "kim", "-o", release, given="y\n")
    assert answered.code == 0, answered
    assert "Purpose: ward round" in answered.err
    assert "patients P3" in answered.err

    records = shared.fine("open", request, release)["records"]
    assert [(r["id"], r["values"]["finding"]) for r in records] == [
        ("P3", "fracture CANARY-THREE"),
        ("P1", "atrial fibrillation CANARY-ONE"),
    ]
    eventually(lambda: _socket_of(request) not in _sockets(shared))
    again = shared.here("open", request, release, "--json")
    assert (again.code, again.error) == (4, "holder.gone")


def test_the_result_can_go_into_a_file_and_only_some_columns(shared: Cli, member: Cli) -> None:
    options = ("--table", "patients", "--limit", "2", "--columns", "outcome")
    request = _ask(shared, _hello(member, shared), "r2.twl", *options)
    release = member.folder / "release.twl"
    member.fine("release", request, "--as", "kim", "-o", release, "--yes")
    target = shared.folder / "out.csv"
    shared.fine("open", request, release, "--format", "csv", "-o", target, "--plain", "--force")
    assert target.read_text().splitlines()[:2] == [
        "id,outcome,id,ward,age",
        'P1,"discharged, after 5 days",P1,3B,54',
    ]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_file_goes_through_the_same_ceremony(shared: Cli, member: Cli) -> None:
    shared.file("letter.txt", "CANARY-FOUR")
    shared.ok("seal", "letter.txt", "--to", "ward", "--force")
    request = _ask(shared, _hello(member, shared), "r3.twl", "--file", "letter.txt.twl")
    release = member.folder / "release.twl"
    member.fine("release", request, "--as", "kim", "-o", release, "--yes")
    assert shared.here("open", request, release, "--json").error == "open.no-output"
    shared.fine("open", request, release, "-o", "letter.copy", "--force")
    assert (shared.folder / "letter.copy").read_text() == "CANARY-FOUR"


def test_several_requests_are_held_at_the_same_time(shared: Cli, member: Cli) -> None:
    hello = _hello(member, shared)
    requests = [_ask(shared, hello, f"many{n}.twl") for n in range(2)]
    assert {_socket_of(r) for r in requests} <= _sockets(shared)
    for request in reversed(requests):
        release = request.with_suffix(".release")
        member.fine("release", request, "--as", "kim", "-o", release, "--yes")
        assert len(shared.fine("open", request, release)["records"]) == 2


def test_a_request_is_held_for_its_time_and_no_longer(shared: Cli, member: Cli) -> None:
    options = ("--table", "patients", "--all", "--wait", "1")
    request = _ask(shared, _hello(member, shared), "late.twl", *options)
    release = member.folder / "release.twl"
    member.fine("release", request, "--as", "kim", "-o", release, "--yes")
    eventually(lambda: _socket_of(request) not in _sockets(shared))
    late = shared.here("open", request, release, "--json")
    assert (late.code, late.error) == (4, "holder.gone")
    assert "twinlock request" in late.json["error"]["hint"]


def test_a_holder_that_was_killed_is_missed_and_swept_away(shared: Cli, member: Cli) -> None:
    hello = _hello(member, shared)
    request = shared.folder / "killed.twl"
    rows = ("--table", "patients", "--all", "--foreground", "-o", request)
    with shared.start("request", "--for", hello, *rows) as process:
        eventually(request.exists)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert _socket_of(request) in _sockets(shared)
    release = member.folder / "release.twl"
    member.fine("release", request, "--as", "kim", "-o", release, "--yes")
    assert shared.here("open", request, release, "--json").error == "holder.gone"
    _ask(shared, hello, "next.twl", "--table", "patients", "--all", "--wait", "1")
    assert _socket_of(request) not in _sockets(shared)


def test_a_release_for_another_request_is_refused_and_the_right_one_still_opens(
    shared: Cli, member: Cli
) -> None:
    hello = _hello(member, shared)
    one, two = _ask(shared, hello, "one.twl"), _ask(shared, hello, "two.twl")
    releases = {}
    for request in (one, two):
        releases[request] = request.with_suffix(".release")
        member.fine("release", request, "--as", "kim", "-o", releases[request], "--yes")
    wrong = shared.here("open", one, releases[two], "--json")
    assert (wrong.code, wrong.error) == (3, "release.not-authentic")
    assert shared.fine("open", one, releases[one])["failed"] == 0
    assert shared.fine("open", two, releases[two])["failed"] == 0


def test_a_member_who_says_no_or_nothing_releases_nothing(shared: Cli, member: Cli) -> None:
    request = _ask(shared, _hello(member, shared), "no.twl")
    target = member.folder / "release.twl"
    command = ("release", request, "--as", "kim", "-o", target)
    for answer in ("n\n", "\n", "", "yess\n"):
        declined = member.here(*command, given=answer)
        assert (declined.code, declined.error) == (2, "release.declined")
    assert member.here(*command, "--json").error == "release.declined"
    assert not target.exists()


def test_a_member_refuses_what_was_not_expected(shared: Cli, member: Cli) -> None:
    request = _ask(shared, _hello(member, shared), "expected.twl")
    command = ("release", request, "--as", "kim", "-o", member.folder / "r", "--yes", "--json")
    refused = member.here(*command, "--expect-table", "invoice")
    assert (refused.code, refused.error) == (3, "request.unexpected")
    assert (
        member.here(*command, "--expect-table", "invoice", "--expect-table", "patients").code == 0
    )


def test_what_a_group_wants_a_click_for_is_asked_about_by_itself(own: Cli) -> None:
    weber = ("--as", "weber", "--passphrase-env", "PW")
    own.ok("group", "set-policy", "ward", "--click-each", *weber)
    own.ok("seal", "patients.csv", "--to", "ward", "-o", "p.twl")
    own.fine("member", "hello", "kim", "-o", "h")
    own.ok("request", "--for", "h", "--file", "p.twl", "--name", "patients.csv", "-o", "q")
    command = ("release", "q", "--as", "kim", "-o", "r")
    assert own.here(*command, "--yes", given="n\n").error == "release.needs-approval"
    assert own.here(*command, "--yes", "--json").error == "release.needs-approval"
    asked = own.here(*command, given="y\ny\n")
    assert asked.code == 0
    assert "wants a click" in asked.err
    assert own.here(*command, "--yes", "--approve").code == 0


# --- locks that need two -------------------------------------------------------------------------


def test_two_groups_open_together_with_help_that_travels_in_files(own: Cli) -> None:
    """kim (ward) asks; lena, of the data office alone, helps; each at an own computer."""
    weber = ("--as", "weber", "--passphrase-env", "PW")
    own.ok("group", "found", "office", *weber)
    own.fine("group", "invite", "office", *weber, "-o", "office.invite")
    own.fine("member", "create", "lena", "--invitation", "office.invite")
    own.fine("member", "card", "lena", "--invitation", "office.invite", "-o", "lena.card")
    own.ok("group", "add", "office", "lena.card", *weber)
    own.ok("seal", "patients.csv", "--all", "ward,office", "-o", "p.twl", "--name", "p")

    own.fine("member", "hello", "kim", "-o", "kim.hello")
    own.fine("member", "hello", "lena", "-o", "lena.hello")
    own.ok("request", "--for", "kim.hello", "--file", "p.twl", "--name", "p", "-o", "q")
    alone = own.here("release", "q", "--as", "kim", "-o", "r", "--yes", "--json")
    assert (alone.code, alone.error) == (2, "release.share-missing")

    own.fine("request", "--assist", "q", "--for", "lena.hello", "-o", "assist")
    help_lena = ("release", "--help-request", "assist", "--as", "lena", "-o", "share")
    assert own.here(*help_lena, given="n\n").error == "release.declined"
    helped = own.here(*help_lena, given="y\n")
    assert helped.code == 0, helped
    assert "kim asks for help" in helped.err
    own.fine("release", "q", "--as", "kim", "--share", "share", "-o", "r", "--yes")
    own.fine("open", "q", "r", "-o", "opened")
    assert (own.folder / "opened").read_bytes() == (own.folder / "patients.csv").read_bytes()

    own.ok("request", "--for", "kim.hello", "--file", "p.twl", "--name", "p", "-o", "q2")
    stale = own.here(
        "release", "q2", "--as", "kim", "--share", "share", "-o", "r2", "--yes", "--json"
    )
    assert (stale.code, stale.error) == (3, "share.foreign")


# --- damaged and foreign files -------------------------------------------------------------------


def _flipped(data: bytes) -> bytes:
    return data[:-10] + bytes([data[-10] ^ 1]) + data[-9:]


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        (lambda data: data[:-1], {"format.malformed", "message.foreign"}),
        (lambda data: data + b"\x00", {"format.malformed", "message.foreign"}),
        (lambda _data: b"", {"message.foreign"}),
        (lambda _data: b"%PDF-1.7 something else", {"message.foreign"}),
        (lambda data: data[:40] + data[41:], {"format.malformed", "message.foreign"}),
    ],
    ids=["cut", "longer", "empty", "foreign", "a byte lost"],
)
def test_damaged_messages_are_refused_by_whoever_reads_them(
    shared: Cli, member: Cli, damage: Callable[[bytes], bytes], codes: set[str]
) -> None:
    hello = _hello(member, shared)
    request = _ask(shared, hello, "good.twl", "--table", "patients", "--all", "--wait", "30")
    release = member.folder / "release.twl"
    member.fine("release", request, "--as", "kim", "-o", release, "--yes")
    bad = {
        path: shared.file(f"bad.{path.name}", damage(path.read_bytes()))
        for path in (hello, request, release)
    }
    rows = ("--table", "patients", "--all", "-o", "x")
    refused = [
        shared.run("request", "--for", bad[hello], *rows, "--json"),
        member.here("release", bad[request], "--as", "kim", "-o", "x", "--yes", "--json"),
        shared.here("open", bad[request], release, "--json"),
        shared.here("open", request, bad[release], "--json"),
    ]
    for shown in refused:
        assert shown.code == 3, shown
        assert shown.error in codes


def test_a_release_with_a_flipped_bit_opens_nothing(shared: Cli, member: Cli) -> None:
    request = _ask(shared, _hello(member, shared), "flip.twl")
    release = member.folder / "release.twl"
    member.fine("release", request, "--as", "kim", "-o", release, "--yes")
    bad = shared.file("flipped.release", _flipped(release.read_bytes()))
    shown = shared.here("open", request, bad, "--json")
    assert (shown.code, shown.error) == (3, "release.not-authentic")
    assert shared.fine("open", request, release)["failed"] == 0


def test_a_request_with_a_flipped_bit_is_not_released(shared: Cli, member: Cli) -> None:
    request = _ask(shared, _hello(member, shared), "flip2.twl", "--table", "patients", "--all")
    data = request.read_bytes()
    at = data.index(b"twinlock/v1/transport") + 30
    bad = shared.file("flipped.twl", data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    shown = member.here("release", bad, "--as", "kim", "-o", "x", "--yes", "--json")
    assert shown.code == 3, shown
    assert not (member.folder / "x").exists()


def test_files_in_the_wrong_order_are_named(shared: Cli, member: Cli) -> None:
    hello = _hello(member, shared)
    request = _ask(shared, hello, "order.twl", "--table", "patients", "--all", "--wait", "5")
    release = member.folder / "release.twl"
    member.fine("release", request, "--as", "kim", "-o", release, "--yes")
    swapped = shared.here("open", release, request)
    assert (swapped.code, swapped.error) == (3, "message.other-kind")
    assert "is a release, not a request" in swapped.err
    not_hello = shared.here("request", "--for", request, "--table", "patients", "--all", "-o", "x")
    assert not_hello.error == "message.other-kind"
    as_share = ("--share", release, "--as", "kim", "-o", "x")
    assert member.here("release", request, *as_share).error == "message.other-kind"


def test_files_that_are_not_there_are_named(shared: Cli, member: Cli) -> None:
    rows = ("--table", "patients", "--all", "-o", "x")
    for shown in (
        shared.here("request", "--for", "no.hello", *rows),
        member.here("release", "no.request", "--as", "kim", "-o", "x"),
        shared.here("open", "no.request", "no.release"),
    ):
        assert (shown.code, shown.error) == (2, "file.missing")


def test_a_member_of_another_deployment_is_refused(shared: Cli, own: Cli) -> None:
    """The copy has the same deployment id, so a foreign card makes the foreigner."""
    card = "twinlock-deployment1:" + bytes(48).hex()
    from twinlock.core.primitives import sha256

    card += sha256(bytes(48))[:4].hex()
    own.fine("member", "create", "eve", "--deployment", card)
    own.fine("member", "hello", "eve", "-o", "eve.hello")
    refused = own.run("request", "--for", "eve.hello", "--table", "patients", "--all", "-o", "x")
    assert refused.error in {"hello.foreign", "records.no-table"}
    shutil.copy(own.folder / "eve.hello", shared.folder)
    rows = ("--table", "patients", "--all", "-o", "x", "--json")
    assert shared.run("request", "--for", "eve.hello", *rows).error == "hello.foreign"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ((), "records.selection"),
        (("--table", "patients"), "records.selection"),
        (("--table", "patients", "--ids", "P1", "--all"), "records.selection"),
        (("--table", "patients", "--ids", " , "), "records.selection"),
        (("--table", "absent", "--all"), "records.no-table"),
        (("--table", "patients", "--ids", "P1,P9"), "records.unknown-ids"),
        (("--table", "patients", "--all", "--columns", "age"), "records.column-missing"),
        (("--table", "patients", "--all", "--after", "P3"), "request.size"),
        (("--file", "absent.twl"), "file.missing"),
        (("--file", "patients.csv"), "format.malformed"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_asked_for_is_refused_before_anybody_is_asked(
    shared: Cli, member: Cli, options: tuple[str, ...], error: str
) -> None:
    hello = _hello(member, shared)
    before = _sockets(shared)
    refused = shared.run("request", "--for", hello, *options, "-o", "refused.twl", "--json")
    assert refused.error == error
    assert refused.code in (2, 3)
    assert not (shared.folder / "refused.twl").exists()
    assert _sockets(shared) <= before


def test_a_run_folder_that_others_reach_is_not_used(shared: Cli, member: Cli) -> None:
    hello = _hello(member, shared)
    folder = shared.folder / "open-run"
    folder.mkdir(mode=0o755, exist_ok=True)
    os.chmod(folder, 0o755)
    env = {"TWINLOCK_RUN_DIR": str(folder)}
    rows = ("--table", "patients", "--all", "-o", "x", "--json")
    refused = shared.run("request", "--for", hello, *rows, env=env)
    assert (refused.code, refused.error) == (4, "holder.folder")


def test_a_run_folder_may_lie_deeper_than_a_socket_s_path_may_be_long(
    shared: Cli, member: Cli
) -> None:
    hello = _hello(member, shared)
    env = {"TWINLOCK_RUN_DIR": str(shared.folder / ("d" * 120) / ("e" * 60))}
    rows = ("--table", "patients", "--all")
    shared.ok("request", "--for", hello, *rows, "-o", "deep.twl", env=env)
    release = member.folder / "release.twl"
    member.fine("release", shared.folder / "deep.twl", "--as", "kim", "-o", release, "--yes")
    assert len(shared.fine("open", "deep.twl", release, env=env)["records"]) == 3
