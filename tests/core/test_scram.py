"""SCRAM's client against RFC 7677, scramp's server and client, and a second implementation."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from typing import Any

import cbor2
import pytest
from scramp import ScramClient, ScramMechanism
from scramp.utils import ScramException
from scramp.utils import saslprep as other_saslprep

from twinlock.core.factors import Place
from twinlock.core.factors.scram import ScramFactor, scram_output
from twinlock.core.scram.exchange import ChannelBinding, ScramStart, begin
from twinlock.core.scram.keys import scram_keys
from twinlock.core.scram.saslprep import saslprep
from twinlock.core.scram.verifier import ScramVerifier, parse_verifier
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError
from vectors.form import OK, load_all

PLACE = Place(b"d" * 16, b"m" * 16, b"e" * 16)
SALT = bytes(range(16))
WORDS = "Zürich, correct horse"
BINDING = ChannelBinding("tls-server-end-point", b"hash of the certificate")
EXCHANGES = [v for v in load_all() if v.operation == "prove-scram" and v.expect == OK]
RFC_FIRST = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
RFC_FINAL = (
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
RFC_SERVER_FINAL = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_the_example_of_rfc_7677_comes_out() -> None:
    """R-SCRAM-2."""
    nonce = "rOprNGfwEbeRWgbNEkqO"
    start = ScramStart("n,,", f"n=user,r={nonce}", nonce, b"")
    salt = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    proof = start.prove(RFC_FIRST, scram_keys("pencil", salt, 4096), salt=salt, iterations=4096)
    assert proof.final == RFC_FINAL
    proof.accept(RFC_SERVER_FINAL)


@pytest.mark.parametrize("binding", [None, BINDING], ids=["unbound", "bound"])
@pytest.mark.parametrize("account", ["weber", "a=b,c", "Ayşe Öz"])
def test_another_server_accepts_the_client(account: str, binding: ChannelBinding | None) -> None:
    """R-SCRAM-2, R-SCRAM-7: scramp ends the exchange."""
    mechanism = ScramMechanism("SCRAM-SHA-256-PLUS" if binding else "SCRAM-SHA-256")
    salt, stored, server_key, count = mechanism.make_auth_info(WORDS, 4096, SALT)
    names: list[str] = []

    def found(name: str) -> tuple[bytes, bytes, bytes, int]:
        names.append(name)
        return salt, stored, server_key, count

    channel = (binding.kind, binding.data) if binding else None
    server = mechanism.make_server(found, channel_binding=channel)
    start = begin(account, lambda size: bytes(size), binding=binding)
    server.set_client_first(start.first)
    keys = scram_keys(WORDS, SALT, 4096)
    proof = start.prove(server.get_server_first(), keys, salt=SALT, iterations=4096)
    server.set_client_final(proof.final)
    proof.accept(server.get_server_final())
    assert names == [saslprep(account)]


def test_the_verifier_is_the_one_that_another_implementation_makes() -> None:
    """R-SCRAM-1."""
    made = ScramVerifier.of(scram_keys(WORDS, SALT, 4096), SALT, 4096)
    _, stored, server, _ = ScramMechanism("SCRAM-SHA-256").make_auth_info(WORDS, 4096, SALT)
    assert (made.stored_key, made.server_key) == (Secret(stored), Secret(server))


@pytest.mark.parametrize(
    "text", ["user", "USER", "I\u00adX", "\u00aa", "\u2168", "a\u00a0b", "\u0627\u0628", "Zu\u0308"]
)
def test_names_and_passwords_are_prepared_as_rfc_4013_says(text: str) -> None:
    assert saslprep(text) == other_saslprep(text)


@pytest.mark.parametrize("text", ["", "\u00ad", "a\u0007", "\u0627\u0031", "\ue000", "\u0221"])
def test_what_rfc_4013_prohibits_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(CallerError) as caught:
        saslprep(text)
    assert caught.value.code == "factor.passphrase-invalid"
    if text:
        assert text not in str(caught.value)
        if text != "\u00ad":
            with pytest.raises(ScramException):
                other_saslprep(text)


@pytest.mark.parametrize(
    ("kind", "data"),
    [("tls-exporter", b"data"), ("tls-unique", b"data"), ("tls-server-end-point", b""), ("", b"x")],
)
def test_a_channel_binding_that_nobody_checks_is_refused(kind: str, data: bytes) -> None:
    """R-SCRAM-7."""
    with pytest.raises(CallerError) as caught:
        ChannelBinding(kind, data)
    assert caught.value.code == "scram.binding"


@pytest.mark.parametrize(
    ("answer", "code", "family"),
    [
        ("e=invalid-proof", "scram.refused", CallerError),
        ("v=" + b64encode(bytes(32)).decode(), "scram.server", DataError),
        (RFC_SERVER_FINAL + ",x=1", "scram.server", DataError),
        (RFC_SERVER_FINAL[:-1], "scram.server", DataError),
        ("", "scram.server", DataError),
    ],
)
def test_a_server_without_the_verifier_is_found_out(
    answer: str, code: str, family: type[Exception]
) -> None:
    """R-SCRAM-2."""
    nonce = "rOprNGfwEbeRWgbNEkqO"
    start = ScramStart("n,,", f"n=user,r={nonce}", nonce, b"")
    salt = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    proof = start.prove(RFC_FIRST, scram_keys("pencil", salt, 4096), salt=salt, iterations=4096)
    with pytest.raises(family) as caught:
        proof.accept(answer)
    assert caught.value.code == code


def test_nonces_are_drawn_anew() -> None:
    """R-SCRAM-2."""
    drawn = iter([b"\x01" * 18, b"\x02" * 18])
    first, second = (begin("weber", lambda size: next(drawn)).nonce for _ in range(2))
    assert first != second


def test_a_factor_derives_once_for_signing_in_and_unlocking() -> None:
    asked: list[str] = []

    def ask() -> str:
        asked.append("asked")
        return WORDS

    factor = ScramFactor(ask, salt=SALT)
    assert factor.new_parameters(bytes, PLACE) == [SALT, 600_000]
    factor.keys(SALT, 4096)
    factor.keys(SALT, 4096)
    assert asked == ["asked"]


@pytest.mark.parametrize("iterations", [4096, 599_999, 10_000_001])
def test_a_verifier_that_is_too_weak_or_too_slow_is_no_factor(iterations: int) -> None:
    """R-SCRAM-4."""
    with pytest.raises(DataError) as caught:
        ScramFactor(lambda: WORDS, salt=SALT, iterations=iterations).new_parameters(bytes, PLACE)
    assert caught.value.code == "factor.parameters"


def test_nothing_of_a_verifier_or_password_shows() -> None:
    """R-SECRET-1."""
    keys = scram_keys(WORDS, SALT, 4096)
    made = ScramVerifier.of(keys, SALT, 4096)
    proof = begin("weber", bytes).prove(
        f"r={begin('weber', bytes).nonce}x,s={b64encode(SALT).decode()},i=4096",
        keys,
        salt=SALT,
        iterations=4096,
    )
    shown = repr([keys, made, made.to_text(), proof])
    for secret in (keys.client_key, keys.stored_key, keys.server_key):
        assert repr(secret.reveal())[2:-1] not in shown
        assert b64encode(secret.reveal()).decode() not in shown
    with pytest.raises(DataError) as caught:
        parse_verifier(made.to_text().reveal().decode() + "x")
    assert b64encode(keys.stored_key.reveal()).decode() not in repr(caught.value)


# --- a second implementation, from RFC 5802 and docs/spec.md alone --------------------------------


def spoken(given: dict[str, Any]) -> dict[str, Any]:
    salt = bytes.fromhex(given["salt"])
    salted = hashlib.pbkdf2_hmac(
        "sha256", other_saslprep(given["password"]).encode(), salt, given["iterations"]
    )
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    kind, data = given["binding"] or ("", "")
    header = f"p={kind},," if kind else "n,,"
    name = other_saslprep(given["account"]).replace("=", "=3D").replace(",", "=2C")
    bare = f"n={name},r={b64encode(bytes.fromhex(given['random'])).decode()}"
    nonce = given["server_first"].split(",")[0]
    channel = b64encode(header.encode() + bytes.fromhex(data)).decode()
    message = f"{bare},{given['server_first']},c={channel},{nonce}".encode()
    signature = hmac.digest(stored_key, message, "sha256")
    proof = int.from_bytes(client_key, "big") ^ int.from_bytes(signature, "big")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    server = hmac.digest(server_key, message, "sha256")
    return {
        "client_first": header + bare,
        "client_final": f"c={channel},{nonce},p={b64encode(proof.to_bytes(32, 'big')).decode()}",
        "server_final": "v=" + b64encode(server).decode(),
    }


@pytest.mark.parametrize("vector", EXCHANGES, ids=lambda v: v.name)
def test_the_second_implementation_agrees(vector: Any) -> None:
    """R-VEC-2, R-SCRAM-2."""
    assert spoken(vector.given) == vector.output


def test_the_output_is_made_as_the_specification_says() -> None:
    """R-SCRAM-4, R-LOGIN-1."""
    ids = [bytes([n]) * 16 for n in range(3)]
    key = bytes(range(32))
    salt = hashlib.sha256(cbor2.dumps(["twinlock/v1/scram-out", *ids])).digest()
    assert scram_output(Place(*ids), Secret(key)).reveal() == hmac.digest(salt, key, "sha256")
    [split] = [v for v in load_all() if v.operation == "split-login"]
    hardened, member = (bytes.fromhex(split.given[n]) for n in ("hardened", "member"))
    secret = hmac.digest(hardened, b"twinlock/v1/login\x01", "sha256")
    verifier = hashlib.sha256(b"twinlock/v1/login-verifier" + member + secret).hexdigest()
    assert split.output == {"login_secret": secret.hex(), "verifier": verifier}


def test_a_client_of_another_library_signs_in_with_our_verifier() -> None:
    """R-SCRAM-1."""
    made = ScramVerifier.of(scram_keys(WORDS, SALT, 4096), SALT, 4096)
    info = (SALT, made.stored_key.reveal(), made.server_key.reveal(), 4096)
    server = ScramMechanism("SCRAM-SHA-256").make_server(lambda name: info)
    client = ScramClient(["SCRAM-SHA-256"], "weber", WORDS)
    server.set_client_first(client.get_client_first())
    client.set_server_first(server.get_server_first())
    server.set_client_final(client.get_client_final())
    client.set_server_final(server.get_server_final())
