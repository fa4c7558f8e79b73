"""What the command line asks a person with a security key."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.passkey.software import SoftwareAuthenticator
from twinlock.cli.passkeys import passkey, passkey_named
from twinlock.cli.terminal import Terminal

BLOCKER = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "fido2":
            raise ModuleNotFoundError(name, name="fido2")

sys.meta_path.insert(0, Blocked())
from twinlock.cli.passkeys import passkey
from twinlock.cli.terminal import Terminal
from twinlock.errors import CallerError
try:
    passkey(Terminal())
except CallerError as error:
    print(error.code, error.hint)
"""


@pytest.mark.parametrize(
    ("option", "variable", "named"),
    [
        ("agent.example", "other.example", "agent.example"),
        (None, "other.example", "other.example"),
        (None, "", None),
        (None, None, None),
    ],
)
def test_the_domain_is_that_of_the_option_or_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, option: str, variable: str | None, named: str | None
) -> None:
    monkeypatch.delenv("TWINLOCK_PASSKEY", raising=False)
    if variable is not None:
        monkeypatch.setenv("TWINLOCK_PASSKEY", variable)
    assert passkey_named(option) == named


def test_a_person_is_asked_for_the_pin_and_told_to_touch(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    device = SoftwareAuthenticator(pin="pin of äöü")
    monkeypatch.setattr("fido2.hid.CtapHidDevice.list_devices", lambda: iter([device]))
    monkeypatch.setattr(Terminal, "ask_secret", lambda _, p: asked.append(p) or "pin of äöü")
    made = passkey(Terminal()).enrol("agent.example", "kim")
    assert made.credential_id in device.credentials
    assert asked == ["PIN of the security key: "]
    assert "Touch the security key." in capfd.readouterr().err


def test_without_the_library_a_passkey_is_refused_with_what_to_install() -> None:
    """R-AGENT-9."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCKER], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("passkey.not-installed "), done
    assert "twinlock[passkey,cli]" in done.stdout
