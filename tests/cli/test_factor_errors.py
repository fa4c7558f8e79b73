"""What is wrong with a factor or its enrolment: one clear error for each, on the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cli.ward import Ward, ward_here
from tests.passkey.software import SoftwareAuthenticator
from twinlock.agent.state import load_state
from twinlock.cli.service_here import VaultService
from twinlock.cli.terminal import Terminal
from twinlock.core import cbor
from twinlock.core.factors.password import DST
from twinlock.core.hardening.evaluation import blind
from twinlock.core.hardening.hash_to_curve import hash_to_curve

WORDS = {
    "PW": "Zürich, correct horse",
    "PHRASE": "rivers carry no keys",
    "WRONG": "something else",
    "CODE": "00001-00002-00003-00004-00005-00006-002Q5",
}
ENROLLED = {
    "passphrase": ("--new-passphrase-env", "PHRASE"),
    "password": ("--new-password-env", "PW"),
    "scram": ("--new-scram-env", "PW", "--sign-in", "--new-recovery", "-"),
    "device-key": ("--new-key", "b.key"),
    "recovery-code": ("--new-recovery", "-"),
    "passkey": ("--new-passkey", "agent.example"),
}


@pytest.fixture
def stick(monkeypatch: pytest.MonkeyPatch) -> SoftwareAuthenticator:
    device = SoftwareAuthenticator(pin="2580", aaguid=os.urandom(16))
    monkeypatch.setattr("fido2.hid.CtapHidDevice.list_devices", lambda: iter([device]))
    monkeypatch.setattr(Terminal, "ask_secret", lambda _self, _prompt: "2580")
    return device


@pytest.fixture
def ward(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    with ward_here(monkeypatch) as made:
        made.cli.env |= WORDS
        yield made


def enrolled(ward: Ward, kind: str) -> str:
    """Enrol kim by one more factor; what is put into CODE opens it, if it is a recovery code."""
    made = ward.kim("enrol", *ENROLLED[kind], "--with", "device-key")
    code = str(made.get("recovery_code", ""))
    ward.cli.env["CODE"] = code or WORDS["CODE"]
    return code


def told(ward: Ward, *options: str, **settings: Any) -> tuple[int, str, str]:
    """Exit code, error code and what a person reads."""
    result = ward.cli.here("member", "show", "kim", *options, **settings)
    for secret in WORDS.values():
        assert secret not in result.out + result.err
    assert "Traceback" not in result.err
    assert "hint: " in result.err
    return result.code, result.error, result.err


# --- a wrong factor ------------------------------------------------------------------------------

WRONG = [
    ("passphrase", ("--passphrase-env", "WRONG"), 3, "factor.wrong"),
    ("passphrase", ("--passphrase-env", "ABSENT"), 2, "factor.passphrase-env"),
    ("password", ("--password-env", "WRONG"), 3, "factor.wrong"),
    ("password", ("--password-env", "ABSENT"), 2, "factor.passphrase-env"),
    ("scram", ("--scram-env", "WRONG", "--recovery-env", "CODE"), 3, "factor.wrong"),
    ("device-key", ("--key", "weber.key"), 3, "factor.wrong"),
    ("device-key", ("--key", "absent.key"), 2, "file.missing"),
    ("device-key", ("--key", "words.key"), 3, "key-file.damaged"),
    ("recovery-code", ("--recovery-env", "OTHER"), 3, "factor.wrong"),
    ("recovery-code", ("--recovery-env", "WRONG"), 2, "factor.recovery-mistyped"),
    ("recovery-code", ("--recovery-env", "ABSENT"), 2, "factor.recovery-env"),
]


@pytest.mark.parametrize(("kind", "options", "exit_code", "code"), WRONG)
def test_a_wrong_factor_is_called_wrong_and_what_it_is_is_not_said(
    ward: Ward, kind: str, options: tuple[str, ...], exit_code: int, code: str
) -> None:
    enrolled(ward, kind)
    ward.cli.file("words.key", "something else")
    ward.cli.env["OTHER"] = WORDS["CODE"]
    kinds = "scram+recovery-code" if kind == "scram" else kind
    found = told(ward, *options, "--with", kinds)
    assert found[:2] == (exit_code, code)
    if code == "factor.wrong":
        assert kind in found[2]


@pytest.mark.parametrize(
    ("change", "exit_code", "code"),
    [
        (lambda s: setattr(s, "pin", "1111"), 2, "passkey.pin-wrong"),
        (lambda s: s.credentials.clear(), 2, "passkey.other-credential"),
        (lambda s: setattr(s, "is_ctap2", False), 2, "passkey.no-authenticator"),
        (lambda s: setattr(s, "extensions", ()), 2, "passkey.no-hmac-secret"),
    ],
    ids=["wrong PIN", "another key", "none", "without hmac-secret"],
)
def test_a_passkey_that_does_not_answer_says_why(
    ward: Ward,
    stick: SoftwareAuthenticator,
    change: Callable[[SoftwareAuthenticator], None],
    exit_code: int,
    code: str,
) -> None:
    enrolled(ward, "passkey")
    change(stick)
    assert told(ward, "--with", "passkey")[:2] == (exit_code, code)


def test_too_many_wrong_passwords_are_said_to_be_too_many(ward: Ward) -> None:
    """R-HARD-7: the limit is the server's."""
    enrolled(ward, "password")
    service = VaultService(ward.made.vault, "kim")
    sent = blind(hash_to_curve(b"a guess", DST), os.urandom).sent
    kid = service.offer().kid
    # Enrolling and this make one less than are allowed in an hour.
    for _ in range(ward.made.vault.config.hardening.account_per_hour - 1):
        service.evaluate(kid, *sent)
    found = told(ward, "--password-env", "PW", "--with", "password")
    assert found[:2] == (2, "hardening.limit")


# --- a changed enrolment -------------------------------------------------------------------------


def rewritten(ward: Ward, change: Callable[[list[Any]], None]) -> None:
    """Change the last enrolment in kim's file, as somebody does who writes to it.

    ``change`` gets [label, deployment, member, enrolment, kem, factors] and [nonce, sealed].
    """
    path = ward.cli.folder / "kim.member"
    items = cbor.decode(path.read_bytes(), max_size=1 << 24)
    label, header, nonce, sealed = cbor.decode(items[4][-1])
    parts = [*cbor.decode(header), nonce, sealed]
    change(parts)
    items[4][-1] = cbor.encode([label, cbor.encode(parts[:6]), *parts[6:]])
    path.write_bytes(cbor.encode(items))


def factors_set(**changed: list[Any]) -> Callable[[list[Any]], None]:
    """Put other parameters into factors, by kind with _ for -."""

    def change(parts: list[Any]) -> None:
        named = {kind.replace("_", "-"): values for kind, values in changed.items()}
        parts[5] = [[kind, named.get(kind, values)] for kind, values in parts[5]]

    return change


def flip(parts: list[Any]) -> None:
    sealed = bytearray(parts[7])
    sealed[40] ^= 1
    parts[7] = bytes(sealed)


def rename(parts: list[Any]) -> None:
    parts[5] = [["retina", values] for _, values in parts[5]]


def cut(parts: list[Any]) -> None:
    parts[7] = parts[7][:-1]


CHANGED = [
    ("passphrase", flip, 3, "factor.wrong"),
    ("device-key", flip, 3, "factor.wrong"),
    ("passphrase", cut, 3, "format.malformed"),
    ("passphrase", rename, 2, "factor.unsupported"),
    ("passphrase", factors_set(passphrase=[b"s" * 16, 8, 1, 1]), 3, "factor.parameters"),
    ("passphrase", factors_set(passphrase=[b"s" * 16, 1 << 30, 3, 1]), 3, "factor.parameters"),
    ("passphrase", factors_set(passphrase=[]), 3, "format.malformed"),
    ("password", factors_set(password=[b"k" * 16, b"s" * 16, 8, 1, 1]), 3, "factor.parameters"),
    (
        "password",
        factors_set(password=[b"k" * 16, b"s" * 16, 65536, 3, 1]),
        3,
        "directory.no-hardening-key",
    ),
    ("scram", factors_set(scram=[b"s" * 16, 4096]), 3, "factor.parameters"),
    ("scram", factors_set(scram=[b"s" * 16, 1 << 40]), 3, "factor.parameters"),
    ("device-key", factors_set(device_key=[b"short"]), 3, "format.malformed"),
    ("passkey", factors_set(passkey=["10.0.0.1", b"i" * 32, b"s" * 32]), 3, "factor.parameters"),
]
OPENING = {
    "passphrase": ("--passphrase-env", "PHRASE"),
    "password": ("--password-env", "PW"),
    "scram": ("--scram-env", "PW", "--recovery-env", "CODE"),
    "device-key": ("--key", "b.key"),
    "passkey": (),
}


@pytest.mark.parametrize(("kind", "change", "exit_code", "code"), CHANGED)
def test_a_changed_enrolment_is_refused_with_one_clear_error(
    ward: Ward,
    stick: SoftwareAuthenticator,
    kind: str,
    change: Callable[[list[Any]], None],
    exit_code: int,
    code: str,
) -> None:
    """R-FACTOR-4: weakened or costly parameters before anything is computed with them."""
    enrolled(ward, kind)
    path = ward.cli.folder / "kim.member"
    before = path.read_bytes()
    only = load_state(path)
    # Nothing else of kim's shall open instead.
    items = cbor.decode(before, max_size=1 << 24)
    items[4] = [only.enrolments[-1].raw]
    path.write_bytes(cbor.encode(items))
    rewritten(ward, change)
    changed = path.read_bytes()
    assert told(ward, *OPENING[kind])[:2] == (exit_code, code)
    assert path.read_bytes() == changed
    path.write_bytes(before)
    kinds = "scram+recovery-code" if kind == "scram" else kind
    assert ward.kim("show", *OPENING[kind], "--with", kinds)["releases"] == 0
