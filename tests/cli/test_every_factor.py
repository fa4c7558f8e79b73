"""Every factor on the command line and a real token: made, used, changed, revoked, recovered.

Pairs, and what must not open, are tried below the command line (tests/server/test_every_factor.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keyring.core
import pytest
from keyring.backends import SecretService

from tests.cli.ward import DIAGNOSIS, Ward, ward_on_softhsm
from tests.keyring.desktop import desktop
from tests.passkey.software import SoftwareAuthenticator
from tests.token.rigs import PIN, init_softhsm
from twinlock.cli.terminal import Terminal
from twinlock.server.records import Sealed

TEXT = "I48.0"
TYPED = {"FIRST": "Zürich, correct horse", "SECOND": "other words for it"}
STICK_PIN = "2580"


@dataclass(frozen=True)
class Row:
    """One factor: the options that make a way in of it, and those that open it.

    In them {n} is the number of the thing, {word} the variable of its password. ``old``: how the
    former thing is refused after a change, or "" where the new one is on the same device.
    """

    name: str
    kinds: str
    made: str
    used: str
    old: str = "factor.wrong"
    at_server: bool = True


ROWS = [
    Row(
        "passphrase",
        "passphrase",
        "--new-passphrase-env {word}",
        "--passphrase-env {word}",
        at_server=False,
    ),
    Row(
        "password",
        "password",
        "--new-password-env {word} --sign-in",
        "--password-env {word}",
    ),
    Row(
        "scram",
        "scram+device-key",
        "--new-scram-env {word} --sign-in --new-key {name}.s{n}.key",
        "--scram-env {word} --key {name}.s{n}.key",
    ),
    Row("device-key", "device-key", "--new-key {name}.d{n}.key", "--key {name}.d{n}.key"),
    Row("recovery-code", "recovery-code", "--new-recovery -", "--recovery-env CODE{n}"),
    Row("smart-card", "smart-card", "--new-card {card}", "--card {card}", "card.key-missing"),
    Row("passkey", "passkey", "--new-passkey agent.example", "", ""),
    Row("keyring", "device-key", "--new-keyring", "--key keyring:{check}"),
]


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory, softhsm_folder: Path) -> Iterator[Ward]:
    """One deployment for all rows; each makes a member of its own."""
    folder = tmp_path_factory.mktemp("every-factor")
    with (
        pytest.MonkeyPatch.context() as patch,
        ward_on_softhsm(patch, folder, init_softhsm("every factor, by command")) as ward,
    ):
        ward.cli.env |= TYPED | {"CARD": PIN.reveal().decode()}
        yield ward


@pytest.fixture(scope="module")
def record(token: Ward) -> Sealed:
    """Sealed before any of the members came."""
    vault = token.made.vault
    return vault.seal(TEXT, to=vault.group("ward"), context=DIAGNOSIS)


@pytest.fixture
def things(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A security key, or a keyring, for those who have one."""
    row: Row = request.getfixturevalue("row")
    if row.name == "passkey":
        device = SoftwareAuthenticator(pin=STICK_PIN, aaguid=os.urandom(16))
        monkeypatch.setattr("fido2.hid.CtapHidDevice.list_devices", lambda: iter([device]))
        monkeypatch.setattr(Terminal, "ask_secret", lambda _self, _prompt: STICK_PIN)
    if row.name == "keyring":
        session = request.getfixturevalue("session")
        for name, value in session.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(keyring.core, "_keyring_backend", SecretService.Keyring())


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    with desktop(tmp_path_factory.mktemp("desktop")) as begun:
        yield begun


@dataclass
class Person:
    """A member who goes through it all."""

    ward: Ward
    row: Row
    name: str
    record: Sealed
    cards: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)

    def run(self, verb: str, *options: object) -> dict[str, Any]:
        return self.ward.cli.fine("member", verb, self.name, *options, env=self.env)

    def refused(self, *options: object) -> str:
        result = self.ward.cli.here("member", "show", self.name, *options, "--json", env=self.env)
        assert result.code in (2, 3), result
        return result.error

    def opens(self, *options: object) -> bool:
        """Hello, request, release and opening; the member's part by commands."""
        cli, vault = self.ward.cli, self.ward.made.vault
        self.run("hello", "-o", "hello", *options)
        request = vault.request([(DIAGNOSIS, self.record)], purpose="ward round")
        cli.file("request", request.bind((cli.folder / "hello").read_bytes()))
        released = ("release", "request", "--as", self.name, "-o", "release", "--yes")
        cli.fine(*released, *options, env=self.env)
        (opened,) = vault.open(request, (cli.folder / "release").read_bytes())
        return opened.text().reveal() == TEXT

    @property
    def env(self) -> dict[str, str]:
        return {"TWINLOCK_KEYRING": "1"} if self.row.name == "keyring" else {}

    def join(self) -> None:
        """Become a member of the ward, with a device key."""
        cli, name = self.ward.cli, self.name
        cli.fine("member", "create", name, "--deployment", self.ward.card)
        cli.fine("group", "invite", "ward", "--as", "weber", "-o", f"{name}.invite")
        cli.fine("member", "card", name, "--invitation", f"{name}.invite", "-o", f"{name}.card")
        cli.fine("group", "add", "ward", f"{name}.card", "--as", "weber")

    def made(self, number: int) -> list[str]:
        """Options that make a way in of another thing."""
        if self.row.name == "smart-card":
            self.cards.append(f"{init_softhsm(f'card {os.urandom(4).hex()}')}&pin-source=env:CARD")
        return self._filled(self.row.made, number)

    def used(self, number: int) -> list[str]:
        """Options that open with it."""
        return [*self._filled(self.row.used, number), "--with", self.row.kinds]

    def learn(self, number: int, made: dict[str, Any]) -> None:
        """Keep what a person would: the printed code, the check of a key in the keyring."""
        if "recovery_code" in made:
            self.ward.cli.env[f"CODE{number}"] = made["recovery_code"]
        if self.row.name == "keyring":
            listed = self.ward.cli.fine("device-key", "list", self.name, env=self.env)["keys"]
            self.checks = [k["check"] for k in listed if k["place"] == "keyring"]

    def _filled(self, options: str, number: int) -> list[str]:
        word = ("FIRST", "SECOND")[number]
        named = {"n": number, "word": word, "name": self.name}
        named["card"] = self.cards[number] if len(self.cards) > number else ""
        named["check"] = self.checks[number] if len(self.checks) > number else ""
        return [option.format(**named) for option in options.split()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.usefixtures("things")
def test_a_factor_serves_for_a_lifetime(
    token: Ward, record: Sealed, row: Row, tmp_path: Path
) -> None:
    """R-FACTOR-1, R-WAYS-7, R-WAYS-9, R-WAYS-10: one record, opened all along."""
    person = Person(token, row, f"m-{row.name}", record)
    person.join()
    key = ("--key", f"{person.name}.key", "--with", "device-key")

    made = person.run("enrol", *person.made(0), "--label", "it", *key)
    assert made["at_server"] is row.at_server
    person.learn(0, made)
    assert person.opens(*person.used(0))

    changed = person.run("change", "it", *person.made(1), "--label", "it", *key)
    person.learn(1, changed)
    assert person.opens(*person.used(1))
    if row.old:
        assert person.refused(*person.used(0)) == row.old

    ways = {way["label"]: way["id"] for way in person.run("factors", *key)["enrolments"]}
    spare = ("--new-recovery", "-", "--label", "spare")
    options = ("--lost", ways[""], "--yes", *spare, *person.used(1))
    token.cli.env["SPARE"] = person.run("revoke", *options)["recovery_code"]
    assert person.opens(*person.used(1))
    assert person.refused(*key) in ("factor.wrong", "factor.no-such-way")

    home = ("--home", tmp_path)
    back = person.used(1) if row.at_server else ["--recovery-env", "SPARE"]
    # The spare one is newer, and a code like this one.
    ways = {w["label"]: w["enrolment_id"] for w in person.run("factors", *back)["enrolments"]}
    which = ("--way", ways["it"]) if row.name == "recovery-code" else ()
    came = person.run("recover", "--deployment", token.card, *home, *back, *which)
    assert came["groups"] == ["ward"]
    assert person.opens(*home, *back)
