"""Statements of the identity key: transport keys and the token directory."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from twinlock.core import cbor, statements
from twinlock.core.ports import KeyRole, OuterSuite, TokenKey, TransportKey
from twinlock.core.primitives import p256_point, signing_key_from_seed
from twinlock.core.secret import Secret
from twinlock.core.statements import Statement
from twinlock.errors import CallerError, DataError

from .scenes import DEPLOYMENT, rsa_key, spki

NOW = 1_800_000_000
NONCE = b"n" * 32
KID = b"t" * 16


class Identity:
    """An identity key; SubjectPublicKeyInfo as a token would give it."""

    def __init__(self, seed: bytes) -> None:
        self.key = signing_key_from_seed(Secret(seed))
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.key.public)
        self.spki = point.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.fingerprint = statements.identity_fingerprint(self.spki)

    def state(self, raw: bytes) -> Statement:
        return Statement(raw, self.key.sign(raw))


IDENTITY, STRANGER = Identity(b"i" * 32), Identity(b"s" * 32)
TRANSPORT = TransportKey(KID, spki(rsa_key("transport")), "sha256")


def transport(identity=IDENTITY, key=TRANSPORT, deployment=DEPLOYMENT, begin=NOW, end=NOW + 3600,
              nonce=NONCE) -> Statement:  # fmt: skip
    return identity.state(statements.transport_statement(deployment, key, begin, end, nonce))


def check(statement: Statement, *, now: int = NOW, identity=IDENTITY, pinned=IDENTITY):
    return statements.verify_transport(
        statement,
        identity_spki=identity.spki,
        fingerprint=pinned.fingerprint,
        deployment_id=DEPLOYMENT,
        agent_nonce=NONCE,
        now=now,
    )


def test_a_genuine_transport_key_is_taken():
    """R-STMT-1, R-STMT-2: the control of the refusals below."""
    assert check(transport()) == TRANSPORT
    old = dataclasses.replace(TRANSPORT, oaep_hash="sha1")
    assert check(transport(key=old)) == old


def test_a_transport_statement_has_these_bytes():
    """R-STMT-1: byte for byte."""
    raw = statements.transport_statement(
        bytes(16), TransportKey(bytes(16), b"S", "sha1"), 1, 2, bytes(32)
    )
    assert raw.hex() == (
        "88" "75" + b"twinlock/v1/transport".hex() + "50" + "00" * 16 + "50" + "00" * 16
        + "4153" "6473686131" "01" "02" "5820" + "00" * 32
    )  # fmt: skip


def _forged() -> Statement:
    genuine = transport()
    return Statement(genuine.raw.replace(b"sha256", b"sha254"), genuine.signature)


def _raw(*items: object) -> Statement:
    return IDENTITY.state(cbor.encode(list(items)))


LABEL = "twinlock/v1/transport"
SPKI = TRANSPORT.public
WEAK = spki(rsa_key("transport"))[:-5] + b"\x02\x03\x01\x00\x03"
TRANSPORT_REFUSED = {
    "signed by a stranger": (transport(STRANGER), {}, "data.not-authentic"),
    "changed after signing": (_forged(), {}, "data.not-authentic"),
    "of a token that is not pinned": (
        transport(STRANGER), {"identity": STRANGER}, "transport.identity",
    ),
    "for another deployment": (transport(deployment=bytes(16)), {}, "data.not-authentic"),
    "for another session": (transport(nonce=bytes(32)), {}, "transport.nonce"),
    "signed in advance": (transport(begin=NOW + 121, end=NOW + 3600), {}, "transport.expired"),
    "expired": (transport(begin=NOW - 3600, end=NOW - 121), {}, "transport.expired"),
    "living longer than 2 hours": (transport(end=NOW + 7201), {}, "transport.expired"),
    "ending before it begins": (transport(begin=NOW + 1, end=NOW), {}, "transport.expired"),
    "with an unknown hash": (
        transport(key=dataclasses.replace(TRANSPORT, oaep_hash="md5")), {}, "data.not-authentic",
    ),
    "with exponent 3": (
        transport(key=dataclasses.replace(TRANSPORT, public=WEAK)), {}, "key.malformed",
    ),
    "with an EC key": (
        transport(key=dataclasses.replace(TRANSPORT, public=IDENTITY.spki)), {}, "key.malformed",
    ),
    "with a key of text": (
        _raw(LABEL, DEPLOYMENT, KID, "x", "sha1", NOW, NOW, NONCE), {}, "format.malformed",
    ),
    "with a key that is an array": (
        _raw(LABEL, DEPLOYMENT, KID, [], "sha1", NOW, NOW, NONCE), {}, "format.malformed",
    ),
    "with a hash that is an array": (
        _raw(LABEL, DEPLOYMENT, KID, SPKI, [], NOW, NOW, NONCE), {}, "data.not-authentic",
    ),
    "with a short key id": (
        _raw(LABEL, DEPLOYMENT, b"", SPKI, "sha1", NOW, NOW, NONCE), {}, "format.malformed",
    ),
    "with a short nonce": (
        _raw(LABEL, DEPLOYMENT, KID, SPKI, "sha1", NOW, NOW, b""), {}, "format.malformed",
    ),
    "with a time of true": (
        _raw(LABEL, DEPLOYMENT, KID, SPKI, "sha1", True, NOW, NONCE), {}, "format.malformed",
    ),
    "of another version": (
        _raw("twinlock/v2/transport", DEPLOYMENT, KID, SPKI, "sha1", NOW, NOW, NONCE), {},
        "format.version",
    ),
    "that is a token key": (
        IDENTITY.state(statements.token_key_statement(
            DEPLOYMENT, TokenKey(KeyRole.LOG, KID, IDENTITY.spki), "1", NOW, NOW)), {},
        "format.version",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "options", "code"), TRANSPORT_REFUSED.values(), ids=TRANSPORT_REFUSED
)
def test_a_transport_key_is_refused(statement, options, code):
    """R-STMT-2, R-STMT-3: each with its own code."""
    with pytest.raises(DataError) as caught:
        check(statement, **options)
    assert caught.value.code == code


CLOCKS = {
    "2 minutes early": (NOW - 120, True),
    "more than 2 minutes early": (NOW - 121, False),
    "2 minutes late": (NOW + 3720, True),
    "more than 2 minutes late": (NOW + 3721, False),
}


@pytest.mark.parametrize(("now", "taken"), CLOCKS.values(), ids=CLOCKS)
def test_two_minutes_of_clock_skew_are_allowed(now, taken):
    """R-STMT-3: inclusive on both sides."""
    if taken:
        assert check(transport(), now=now)
    else:
        with pytest.raises(DataError):
            check(transport(), now=now)


def test_a_life_of_exactly_two_hours_is_allowed():
    """R-STMT-3: the limit is inclusive."""
    assert check(transport(end=NOW + 7200))


# --- the directory ---------------------------------------------------------------------------


def stated(role, kid, *, suite=None, by=IDENTITY, public=None, begin=NOW - 10, end=NOW + 1000,
           deployment=DEPLOYMENT) -> Statement:  # fmt: skip
    key = TokenKey(role, kid, by.spki if public is None else public, suite)
    return by.state(statements.token_key_statement(deployment, key, "4711", begin, end))


ROOT = stated(KeyRole.IDENTITY, b"i" * 16)
LOG = stated(KeyRole.LOG, b"l" * 16, public=STRANGER.spki)
RSA = stated(KeyRole.WRAPPING, b"w" * 16, suite=OuterSuite.RSA_OAEP_SHA256, public=SPKI)
AES = stated(KeyRole.WRAPPING, b"a" * 16, suite=OuterSuite.TOKEN_AES, public=b"")


def directory(*rows: Statement, now: int = NOW, fingerprint: bytes = IDENTITY.fingerprint):
    return statements.verify_directory(
        rows, deployment_id=DEPLOYMENT, fingerprint=fingerprint, now=now
    )


def test_a_directory_gives_the_key_of_each_role():
    """R-STMT-4, R-STMT-5: role and suite choose."""
    found = directory(LOG, RSA, ROOT, AES)
    assert found.identity.public == IDENTITY.spki
    assert found.current(KeyRole.WRAPPING, OuterSuite.RSA_OAEP_SHA256).kid == b"w" * 16
    assert found.current(KeyRole.WRAPPING, OuterSuite.TOKEN_AES).kid == b"a" * 16
    assert found.current(KeyRole.LOG).kid == b"l" * 16
    assert found.log_point == p256_point(STRANGER.spki)
    assert found.by_kid(b"w" * 16).public == SPKI
    assert found.by_kid(bytes(16)) is None
    assert found.entries[0].serial == "4711"


@pytest.mark.parametrize(
    ("role", "suite"),
    [(KeyRole.AUDIT, None), (KeyRole.WRAPPING, None), (KeyRole.WRAPPING, OuterSuite.RSA_OAEP_SHA1)],
)
def test_a_role_that_is_not_stated_has_no_key(role, suite):
    """R-STMT-5: an exact match or none."""
    with pytest.raises(CallerError) as caught:
        directory(ROOT, LOG, RSA, AES).current(role, suite)
    assert caught.value.code == "directory.no-key"


def test_the_newest_valid_key_is_current_and_expired_ones_are_left_out():
    """R-STMT-6: so a rotation needs no clean-up."""
    root = stated(KeyRole.IDENTITY, b"i" * 16, begin=NOW - 1000)
    old = stated(KeyRole.LOG, b"1" * 16, begin=NOW - 1000, end=NOW + 50)
    new = stated(KeyRole.LOG, b"2" * 16, begin=NOW - 500)
    future = stated(KeyRole.LOG, b"3" * 16, begin=NOW + 121)
    gone = stated(KeyRole.LOG, b"4" * 16, begin=NOW - 400, end=NOW - 121)
    for rows in ((new, old), (old, new)):
        found = directory(ROOT, *rows, future, gone)
        assert found.current(KeyRole.LOG).kid == b"2" * 16
    assert found.by_kid(b"3" * 16) is None
    assert found.by_kid(b"4" * 16) is None
    assert directory(root, new, old, now=NOW - 700).current(KeyRole.LOG).kid == b"1" * 16


TYPES = {
    "identity": (KeyRole.IDENTITY, None),
    "log": (KeyRole.LOG, None),
    "audit": (KeyRole.AUDIT, None),
    "wrapping/1": (KeyRole.WRAPPING, OuterSuite.RSA_OAEP_SHA1),
    "wrapping/2": (KeyRole.WRAPPING, OuterSuite.RSA_OAEP_SHA256),
    "wrapping/3": (KeyRole.WRAPPING, OuterSuite.TOKEN_AES),
}


@pytest.mark.parametrize(("name", "kind"), TYPES.items())
def test_a_token_key_statement_has_these_bytes(name, kind):
    """R-STMT-4: byte for byte, with the type's name."""
    role, suite = kind
    raw = statements.token_key_statement(
        bytes(16), TokenKey(role, bytes(16), b"P", suite), "s", 1, 2
    )
    typed = bytes([0x60 + len(name)]) + name.encode()
    assert raw.hex() == (
        "88" "75" + b"twinlock/v1/token-key".hex() + "50" + "00" * 16 + typed.hex()
        + "50" + "00" * 16 + "4150" "6173" "01" "02"
    )  # fmt: skip


def _token_key(kind: object) -> Statement:
    return _raw("twinlock/v1/token-key", DEPLOYMENT, kind, bytes(16), b"", "s", NOW, NOW)


DIRECTORY_REFUSED = {
    "empty": ([], "directory.identity"),
    "without the identity": ([LOG, RSA], "directory.identity"),
    "of another token": ([stated(KeyRole.IDENTITY, b"i" * 16, by=STRANGER)], "directory.identity"),
    "with a key stated by a stranger": (
        [ROOT, stated(KeyRole.LOG, b"l" * 16, by=STRANGER)], "data.not-authentic",
    ),
    "with a replaced key": (
        [ROOT, Statement(LOG.raw.replace(STRANGER.spki, IDENTITY.spki), LOG.signature)],
        "data.not-authentic",
    ),
    "with a role changed": (
        [ROOT, Statement(LOG.raw.replace(b"\x63log", b"\x65audit"), LOG.signature)],
        "data.not-authentic",
    ),
    "with a longer life": (
        [ROOT, Statement(LOG.raw[:-4] + b"\x7f\xff\xff\xff", LOG.signature)], "data.not-authentic",
    ),
    "with an identity that signed nothing": (
        [Statement(ROOT.raw, LOG.signature)], "data.not-authentic",
    ),
    "of another deployment": (
        [ROOT, stated(KeyRole.LOG, b"l" * 16, deployment=bytes(16))], "data.not-authentic",
    ),
    "with an expired key stated by a stranger": (
        [ROOT, stated(KeyRole.LOG, b"l" * 16, by=STRANGER, end=NOW - 1)], "data.not-authentic",
    ),
    "with a wrapping key of no suite": ([ROOT, _token_key("wrapping")], "format.malformed"),
    "with an identity of a suite": ([ROOT, _token_key("identity/1")], "format.malformed"),
    "with an unknown suite": ([ROOT, _token_key("wrapping/4")], "format.malformed"),
    "with an unknown role": ([ROOT, _token_key("recovery")], "format.malformed"),
    "with a role that is a number": ([ROOT, _token_key(1)], "format.malformed"),
    "with a transport key": ([ROOT, transport()], "format.version"),
    "with an identity that is RSA": (
        [stated(KeyRole.IDENTITY, b"i" * 16, public=SPKI)], "directory.identity",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "code"), DIRECTORY_REFUSED.values(), ids=DIRECTORY_REFUSED)
def test_a_directory_is_refused_whole(rows, code):
    """R-STMT-5: one statement that the pinned identity did not sign spoils it."""
    with pytest.raises(DataError) as caught:
        directory(*rows)
    assert caught.value.code == code


def test_a_pinned_identity_that_is_no_p256_key_is_malformed():
    """R-KEY-7: even when somebody pinned it."""
    fingerprint = statements.identity_fingerprint(SPKI)
    row = stated(KeyRole.IDENTITY, b"i" * 16, public=SPKI)
    with pytest.raises(DataError) as caught:
        directory(row, fingerprint=fingerprint)
    assert caught.value.code == "key.malformed"


def test_a_directory_whose_identity_statement_has_expired_is_refused():
    """R-STMT-5: the pinned key itself has to be stated for now."""
    expired = stated(KeyRole.IDENTITY, b"i" * 16, begin=NOW - 900, end=NOW - 121)
    with pytest.raises(DataError) as caught:
        directory(expired, LOG)
    assert caught.value.code == "directory.identity"
