"""``member`` and ``release``: the member's side, which needs neither token nor database."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.deployment import PASSPHRASE, Cli
from twinlock.core.deployment import DeploymentCard

CARD = DeploymentCard(b"d" * 16, b"i" * 32).to_text()
FORBIDDEN = ("sqlalchemy", "alembic", "pkcs11", "psycopg", "twinlock.token", "twinlock.store")


def test_a_member_is_made_with_a_device_key(bare: Cli) -> None:
    made = bare.fine("member", "create", "kim", "--deployment", CARD)
    assert made["factors"] == ["device-key"]
    for name in ("kim.key", "kim.member"):
        assert stat.S_IMODE((bare.folder / name).stat().st_mode) == 0o600
    shown = bare.fine("member", "show", "kim")
    assert (shown["deployment"], shown["groups"], shown["releases"]) == ((b"d" * 16).hex(), [], 0)


@pytest.mark.parametrize(
    ("options", "factors"),
    [
        (("--passphrase-env", "PW"), ["device-key", "passphrase"]),
        (("--passphrase-env", "PW", "--no-key"), ["passphrase"]),
        (("--key", "usb.key"), ["device-key"]),
    ],
    ids=["both", "passphrase", "key elsewhere"],
)
def test_what_a_member_was_made_with_opens_it_and_nothing_less(
    bare: Cli, options: tuple[str, ...], factors: list[str]
) -> None:
    bare.env["PW"] = PASSPHRASE
    made = bare.fine("member", "create", "kim", "--deployment", CARD, *options)
    assert made["factors"] == factors
    unlocking = [o for o in options if o != "--no-key"]
    assert bare.here("member", "card", "kim", "-o", "kim.card", *unlocking).code == 0
    assert bare.fine("member", "show", "kim", "--locked")["enrolments"] == [factors]
    if "passphrase" in factors:
        wrong = {"PW": "another passphrase"}
        refused = bare.here("member", "show", "kim", *unlocking, "--json", env=wrong)
        assert (refused.code, refused.error) == (3, "factor.wrong")
        unasked = bare.here("member", "show", "kim", "--json")
        assert (unasked.code, unasked.error) == (2, "cli.no-terminal")
    else:
        (bare.folder / "usb.key").unlink()
        refused = bare.here("member", "show", "kim", *unlocking, "--json")
        assert (refused.code, refused.error) == (2, "file.missing")


def test_every_way_in_opens_also_a_second_one_of_the_same_kind(bare: Cli) -> None:
    bare.env |= {"PW": PASSPHRASE, "NEW": "a further passphrase"}
    bare.fine("member", "create", "kim", "--deployment", CARD)
    bare.fine("member", "enrol", "kim", "--new-key", "second.key")
    added = bare.fine("member", "enrol", "kim", "--new-passphrase-env", "NEW")
    assert (added["factors"], added["enrolments"]) == (["passphrase"], 3)
    (bare.folder / "kim.key").unlink()
    by_key = bare.fine("member", "show", "kim", "--key", "second.key")
    by_passphrase = bare.fine("member", "show", "kim", "--passphrase-env", "NEW")
    assert by_key["fingerprint"] == by_passphrase["fingerprint"]
    wrong = bare.here("member", "show", "kim", "--passphrase-env", "PW", "--json")
    assert (wrong.code, wrong.error) == (3, "factor.wrong")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        ("member create kim", 2, "member.no-contact"),
        (f"member create kim --deployment {CARD} --invitation x", 2, "member.no-contact"),
        (f"member create kim --deployment {CARD[:-1]}", 3, "deployment.card-malformed"),
        ("member create kim --deployment absent", 2, "file.missing"),
        ("member create kim --invitation twinlock-invite1:xyz", 3, "invitation.malformed"),
        (f"member create kim --deployment {CARD} --no-key", 2, "factor.set"),
        (f"member create kim --deployment {CARD} --passphrase", 2, "cli.no-terminal"),
        (f"member create kim --deployment {CARD} --passphrase-env NO", 2, "factor.passphrase-env"),
        ("member show kim", 2, "member.not-here"),
        ("member show kim --locked", 2, "member.not-here"),
        ("member hello kim -o x", 2, "member.not-here"),
        ("member card kim -o x", 2, "member.not-here"),
        ("member follow kim absent", 2, "file.missing"),
        ("member enrol kim --new-key x", 2, "member.not-here"),
        ("release absent --as kim -o x", 2, "file.missing"),
        ("release --as kim -o x", 2, "release.what"),
        ("release a --help-request b --as kim -o x", 2, "release.what"),
    ],
)
def test_what_is_missing_on_the_member_s_side_is_named(
    bare: Cli, arguments: str, code: int, error: str
) -> None:
    refused = bare.here(*arguments.split(), "--json")
    assert (refused.code, refused.error) == (code, error)
    assert list(bare.folder.iterdir()) == []


def test_nothing_is_overwritten(bare: Cli) -> None:
    bare.fine("member", "create", "kim", "--deployment", CARD)
    before = {path.name: path.read_bytes() for path in bare.folder.iterdir()}
    again = bare.here("member", "create", "kim", "--deployment", CARD, "--json")
    assert (again.code, again.error) == (2, "file.exists")
    bare.file("tom.key", "precious")
    key = bare.here("member", "create", "tom", "--deployment", CARD, "--json")
    assert (key.code, key.error) == (2, "file.exists")
    assert (bare.folder / "tom.key").read_text() == "precious"
    nothing = bare.here("member", "enrol", "kim", "--json")
    assert (nothing.code, nothing.error) == (2, "member.no-factor")
    after = {path.name: path.read_bytes() for path in bare.folder.iterdir()}
    assert {name: after[name] for name in before} == before


def test_a_state_file_that_was_changed_is_refused(bare: Cli) -> None:
    bare.fine("member", "create", "kim", "--deployment", CARD)
    path = bare.folder / "kim.member"
    data = path.read_bytes()
    path.write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
    changed = bare.here("member", "show", "kim", "--json")
    assert (changed.code, changed.error) == (3, "agent.state-damaged")
    path.write_bytes(b"nonsense")
    assert bare.here("member", "show", "kim", "--json").code == 3
    (bare.folder / "kim.key").write_text("nonsense")
    path.write_bytes(data)
    assert bare.here("member", "show", "kim", "--json").error == "key-file.damaged"


def test_a_card_may_come_as_a_file_and_messages_go_through_pipes(bare: Cli) -> None:
    bare.file("card.txt", CARD + "\n")
    bare.fine("member", "create", "kim", "--deployment", "card.txt")
    done = bare.run("member", "hello", "kim", "-o", "x.hello")
    assert done.code == 0
    piped = subprocess.run(
        [sys.executable, "-m", "twinlock.cli.main", "member", "hello", "kim", "-o", "-"],
        cwd=bare.folder,
        env=bare._environment({}),
        capture_output=True,
        check=True,
    )
    assert piped.stdout == (bare.folder / "x.hello").read_bytes()


def test_a_hello_s_session_is_kept_for_the_release_that_comes_later(bare: Cli) -> None:
    bare.fine("member", "create", "kim", "--deployment", CARD)
    bare.fine("member", "hello", "kim", "-o", "a")
    bare.fine("member", "hello", "kim", "-o", "b")
    assert (bare.folder / "a").read_bytes() == (bare.folder / "b").read_bytes()


# --- what a member installs ----------------------------------------------------------------------

BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in {forbidden!r} or any(name.startswith(f + ".") for f in {forbidden!r}):
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name)

sys.meta_path.insert(0, Blocker())
from twinlock.cli.main import app
app(sys.argv[1:], prog_name="twinlock")
"""


def _without_server(cli: Cli, *arguments: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKER.format(forbidden=FORBIDDEN), *map(str, arguments)],
        cwd=cli.folder,
        env=cli._environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_member_s_side_works_without_pkcs11_and_without_a_database(
    shared: Cli, tmp_path: Path
) -> None:
    """The whole of a member's part, in processes that cannot import the server's packages."""
    member = Cli(tmp_path, {"PW": PASSPHRASE})
    hello, request = tmp_path / "kim.hello", shared.folder / "blocked.twl"
    for suffix in ("member", "key"):
        source = Path(shared.env["TWINLOCK_HOME"]) / f"kim.{suffix}"
        (tmp_path / source.name).write_bytes(source.read_bytes())
    create = ("member", "create", "tom", "--deployment", CARD, "--passphrase-env", "PW")
    for command in (
        ("version",),
        ("--help",),
        create,
        ("member", "show", "tom", "--passphrase-env", "PW"),
        ("member", "show", "kim"),
        ("member", "card", "kim", "-o", "kim.card"),
        ("member", "hello", "kim", "-o", hello),
    ):
        code, out, err = _without_server(member, *command)
        assert code == 0, (command, out, err)
    shared.ok("request", "--for", hello, "--table", "patients", "--all", "-o", request)
    shared.fine("group", "bundle", "--for", hello, "-o", tmp_path / "kim.bundle")
    for command in (
        ("member", "follow", "kim", "kim.bundle"),
        ("release", request, "--as", "kim", "-o", "kim.release", "--yes"),
    ):
        code, out, err = _without_server(member, *command)
        assert code == 0, (command, out, err)
    assert len(shared.fine("open", request, tmp_path / "kim.release")["records"]) == 3


@pytest.mark.parametrize(
    "command",
    ["group list", "open --as kim --table t --all", "token check", "audit verify", "seal x --to y"],
)
def test_the_server_s_commands_say_what_is_not_installed(
    shared: Cli, tmp_path: Path, command: str
) -> None:
    (tmp_path / "x").write_text("x")
    member = Cli(tmp_path, {"TWINLOCK_CONFIG": shared.env["TWINLOCK_CONFIG"]})
    blocked = [name for name in FORBIDDEN if not name.startswith("twinlock")]
    done = subprocess.run(
        [sys.executable, "-c", BLOCKER.format(forbidden=blocked), *command.split(), "--json"],
        cwd=member.folder,
        env=member._environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done
    assert '"cli.server-not-installed"' in done.stdout
    assert "twinlock[server,cli]" in done.stdout
