"""What a person sees and types, on a real terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cli.deployment import PASSPHRASE, Cli, seal_patients
from tests.cli.test_members import CARD

_ON_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from twinlock.cli.main import app
app(sys.argv[1:], prog_name="twinlock")
"""


@dataclass
class Screen:
    """A command on a terminal of its own."""

    process: subprocess.Popen[bytes]
    terminal: int
    seen: str = ""
    _answered: int = field(default=0, repr=False)

    @classmethod
    def of(cls, cli: Cli, *arguments: object) -> Screen:
        """Start a command with a terminal as its stdin, stdout and stderr."""
        command = [sys.executable, "-c", _ON_TERMINAL, *map(str, arguments)]
        environment = {**cli._environment({}), "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
        terminal, theirs = pty.openpty()
        process = subprocess.Popen(
            command,
            cwd=cli.folder,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        return cls(process, terminal)

    def until(self, text: str, seconds: float = 60) -> None:
        """Read until ``text`` appears after what was there before."""
        end = time.monotonic() + seconds
        while text not in self.seen[self._answered :]:
            assert time.monotonic() < end, self.seen
            assert self._read(), self.seen
        self._answered = len(self.seen)

    def type(self, text: str) -> None:
        """Type a line, or a control character."""
        os.write(self.terminal, text.encode())

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        while self._read():
            pass
        os.close(self.terminal)
        return self.process.wait(timeout=60)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.terminal], [], [], 60)
        try:
            data = os.read(self.terminal, 4096) if ready else b""
        except OSError:
            data = b""
        self.seen += data.decode("utf-8", "replace")
        return bool(data)


def test_a_passphrase_is_asked_for_twice_and_never_shown(bare: Cli) -> None:
    screen = Screen.of(bare, "member", "create", "kim", "--deployment", CARD, "--passphrase")
    screen.until("New passphrase of kim: ")
    screen.type(f"{PASSPHRASE}\n")
    screen.until("Once more: ")
    screen.type(f"{PASSPHRASE}\n")
    assert screen.end() == 0
    assert PASSPHRASE not in screen.seen
    assert bare.fine("member", "show", "kim", "--passphrase-env", "PW", env={"PW": PASSPHRASE})


def test_two_passphrases_that_differ_make_no_member(bare: Cli) -> None:
    screen = Screen.of(bare, "member", "create", "kim", "--deployment", CARD, "--passphrase")
    screen.until("New passphrase of kim: ")
    screen.type("one\n")
    screen.until("Once more: ")
    screen.type("other\n")
    assert screen.end() == 2
    assert "factor.passphrase-mismatch" in screen.seen
    assert list(bare.folder.iterdir()) == []


@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("\x04", 2)], ids=["Ctrl-C", "Ctrl-D"])
def test_a_question_can_be_left(bare: Cli, key: str, code: int) -> None:
    screen = Screen.of(bare, "member", "create", "kim", "--deployment", CARD, "--passphrase")
    screen.until("New passphrase of kim: ")
    screen.type(key)
    assert screen.end() == code
    assert "Traceback" not in screen.seen
    assert list(bare.folder.iterdir()) == []


def test_the_pin_is_asked_for_where_nothing_says_it(own: Cli) -> None:
    """Also for the process that holds a request, which gets it through a pipe."""
    seal_patients(own, "patients")
    config = Path(own.env["TWINLOCK_CONFIG"])
    pin = (config.parent / "pin").read_text().strip()
    config.write_text(config.read_text().replace('pin-file = "pin"\n', ""))
    own.fine("member", "hello", "kim", "-o", "h")
    screen = Screen.of(own, "request", "--for", "h", "--table", "patients", "--all", "-o", "q")
    screen.until("PIN of the token: ")
    screen.type(f"{pin}\n")
    assert screen.end() == 0
    assert pin not in screen.seen
    own.fine("release", "q", "--as", "kim", "-o", "r", "--yes")
    assert len(own.fine("open", "q", "r")["records"]) == 3
    assert own.run("token", "check", "--json").error == "cli.no-terminal"


def test_long_work_shows_how_far_it_is_and_leaves_no_trace(own: Cli) -> None:
    rows = "".join(f"R{n},v\n" for n in range(2000))
    own.file("long.csv", "id,note\n" + rows)
    options = ("--id", "id", "--columns", "note", "--to", "ward")
    screen = Screen.of(own, "seal", "--csv", "long.csv", *options)
    screen.until("Sealing long")
    screen.until("/2000")
    assert screen.end() == 0
    assert "Sealed note of 2000 rows" in screen.seen
    quiet = Screen.of(own, "seal", "--csv", "long.csv", *options, "--replace", "--quiet")
    assert quiet.end() == 0
    assert "Sealing long" not in quiet.seen


def test_a_question_stands_alone_while_long_work_shows_how_far_it_is(own: Cli) -> None:
    weber = ("--as", "weber", "--passphrase-env", "PW")
    own.ok("group", "set-policy", "ward", "--budget", "1", *weber)
    seal_patients(own, "patients")
    screen = Screen.of(own, "open", "--as", "kim", "--table", "patients", "--all")
    screen.until("Approve? [y/N]")
    screen.type("y\n")
    screen.until("CANARY-THREE")
    assert screen.end() == 0
