"""The border to the primitives, against published vectors and hostile input."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from hypothesis import given
from hypothesis import strategies as st

from twinlock.core import primitives
from twinlock.core.primitives import Kem
from twinlock.core.secret import Secret
from twinlock.errors import DataError

from . import reference
from .scenes import rsa_key, spki

PUBLISHED = json.loads((Path(__file__).parent / "published" / "hpke.json").read_text())
SEED = Secret(bytes(range(32)))
KEMS = list(Kem)


def code_of(call, *arguments, **named) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments, **named)
    return caught.value.code


def test_aes_key_wrap_gives_the_published_bytes():
    """R-KEY-1: RFC 3394 section 4.6, 256 bits of key data with a 256-bit KEK."""
    kek = bytes(range(32))
    key = bytes.fromhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
    wrapped = bytes.fromhex(
        "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"
    )
    assert primitives.aes_key_wrap(kek, key) == wrapped
    assert primitives.aes_key_unwrap(kek, wrapped) == key


def test_a_genuinely_wrapped_key_of_another_length_is_refused():
    """R-KEY-1: a 16-byte key does not come out where 32 bytes are meant."""
    from cryptography.hazmat.primitives.keywrap import aes_key_wrap

    short = aes_key_wrap(bytes(32), bytes(16))
    assert code_of(primitives.aes_key_unwrap, bytes(32), short) == "data.not-authentic"


@given(st.integers(0, 39), st.integers(1, 255))
def test_a_changed_wrapped_key_is_refused(at, change):
    """R-KEY-1: every byte is covered."""
    wrapped = bytearray(primitives.aes_key_wrap(bytes(32), bytes(range(32))))
    wrapped[at] ^= change
    assert code_of(primitives.aes_key_unwrap, bytes(32), bytes(wrapped)) == "data.not-authentic"


HKDF = {
    "RFC 5869 A.1": (
        "0b" * 22, bytes(range(13)).hex(), "f0f1f2f3f4f5f6f7f8f9", 42,
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    "RFC 5869 A.2": (
        bytes(range(80)).hex(), bytes(range(0x60, 0xB0)).hex(), bytes(range(0xB0, 0x100)).hex(), 82,
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c6"
        "5e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    "RFC 5869 A.3": (
        "0b" * 22, "", "", 42,
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("ikm", "salt", "info", "length", "prk", "okm"), HKDF.values(), ids=HKDF)
def test_hkdf_gives_the_published_bytes(ikm, salt, info, length, prk, okm):
    """R-KEY-2: RFC 5869 appendix A."""
    extracted = primitives.hkdf_extract(bytes.fromhex(salt), bytes.fromhex(ikm))
    assert extracted.hex() == prk
    assert primitives.hkdf_expand(extracted, bytes.fromhex(info), length).hex() == okm


ARGON2ID = {
    # RFC 9106 section 5.3 without its secret and associated data, which Twinlock does not use.
    "32 KiB, 4 lanes": (
        b"\x01" * 32, b"\x02" * 16, 32, 3, 4,
        "03aab965c12001c9d7d0d2de33192c0494b684bb148196d73c1df1acaf6d0c2e",
    ),
    # The reference implementation's own test.
    "64 MiB, 1 lane": (
        b"password", b"somesalt", 65536, 2, 1,
        "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("password", "salt", "memory", "iterations", "lanes", "tag"), ARGON2ID.values(), ids=ARGON2ID
)
def test_argon2id_gives_the_published_bytes(password, salt, memory, iterations, lanes, tag):
    """R-KEY-9: Argon2id, version 1.3."""
    made = primitives.argon2id(
        password, salt, memory_kib=memory, iterations=iterations, lanes=lanes
    )
    assert made.reveal().hex() == tag


@pytest.mark.parametrize("row", PUBLISHED["p256_derive"], ids=lambda r: r["ikm"][:8])
def test_a_p256_key_comes_from_its_seed_as_published(row):
    """R-KEY-4: DeriveKeyPair of RFC 9180 section 7.1.3, here and in the reference."""
    seed = bytes.fromhex(row["ikm"])
    key = primitives.kem_key_from_seed(Kem.DHKEM_P256, Secret(seed))
    assert key.public.hex() == row["public"]
    assert primitives.signing_key_from_seed(Secret(seed)).public.hex() == row["public"]
    assert f"{reference.p256_scalar(seed):064x}" == row["private"]


def test_an_mlkem768_x25519_key_comes_from_its_seed_as_published():
    """R-KEY-4: the 32-byte seed of the hybrid KEM gives the published public key."""
    row = PUBLISHED["mlkem768_x25519"]
    seed = bytes.fromhex(row["skRm"])
    key = primitives.kem_key_from_seed(Kem.MLKEM768_X25519, Secret(seed))
    assert key.public.hex() == row["pkRm"]
    shared = reference.decapsulate(reference.XWING, seed, bytes.fromhex(row["enc"]))
    assert shared.hex() == row["shared_secret"]


def test_the_references_own_key_schedule_is_the_published_one():
    """R-KEY-3: so what opens in the reference was sealed after RFC 9180."""
    row = {k: bytes.fromhex(v) for k, v in PUBLISHED["p256_aes256gcm"].items()}
    shared = reference.decapsulate(reference.P256, row["ikmR"], row["enc"])
    assert shared == row["shared_secret"]
    key, nonce = reference.hpke_key(reference.P256, shared, row["info"])
    assert (key, nonce) == (row["key"], row["base_nonce"])


@pytest.mark.parametrize("kem", KEMS, ids=lambda k: k.name)
class TestHpke:
    def test_what_is_sealed_opens_here_and_in_the_reference(self, kem):
        """R-KEY-3: base mode, single shot, ``enc || ct``."""
        key = primitives.kem_key_from_seed(kem, SEED)
        sealed = primitives.hpke_seal(kem, key.public, b"info", b"plaintext")
        assert key.open(sealed, b"info").reveal() == b"plaintext"
        assert reference.hpke_open(int(kem), SEED.reveal(), b"info", sealed) == b"plaintext"

    def test_another_key_or_info_or_a_changed_byte_is_not_authentic(self, kem):
        """R-KEY-3: one error for all."""
        key = primitives.kem_key_from_seed(kem, SEED)
        sealed = primitives.hpke_seal(kem, key.public, b"info", b"plaintext")
        other = primitives.kem_key_from_seed(kem, Secret(bytes(32)))
        assert code_of(other.open, sealed, b"info") == "data.not-authentic"
        assert code_of(key.open, sealed, b"inf0") == "data.not-authentic"
        for at in (*range(0, len(sealed), 23), len(sealed) - 1):
            changed = bytearray(sealed)
            changed[at] ^= 1
            assert code_of(key.open, bytes(changed), b"info") == "data.not-authentic"

    def test_bytes_of_any_length_are_not_authentic(self, kem):
        """R-KEY-3: too short for enc, for a tag, or nothing."""
        key = primitives.kem_key_from_seed(kem, SEED)
        for size in (0, 1, 16, 64, 65, 66, 81, 1087, 1088, 1119, 1120, 1136, 2048):
            assert code_of(key.open, bytes(size), b"info") == "data.not-authentic"
            assert code_of(key.open, b"\x04" * size, b"info") == "data.not-authentic"

    def test_a_public_key_of_another_form_is_malformed(self, kem):
        """R-KEY-5: checked before anything is sealed to it."""
        public = primitives.kem_key_from_seed(kem, SEED).public
        assert primitives.check_kem_public(kem, public) == public
        for bad in (b"", public[:-1], public + b"\x00", bytes(len(public)), b"\xff" * len(public)):
            assert code_of(primitives.hpke_seal, kem, bad, b"", b"") == "key.malformed"

    def test_a_key_shows_its_id_and_nothing_else(self, kem):
        """R-SECRET-1, R-KEY-6: reprs of private keys."""
        key = primitives.kem_key_from_seed(kem, SEED)
        assert repr(key) == f"KemKey({kem.name}, kid={key.kid.hex()})"
        assert key.kid == hashlib.sha256(key.public).digest()[:16]


def test_compressed_and_off_curve_points_are_malformed():
    """R-KEY-5: uncompressed points on the curve only."""
    public = primitives.kem_key_from_seed(Kem.DHKEM_P256, SEED).public
    compressed = bytes([2 + public[64] % 2]) + public[1:33]
    off = public[:64] + bytes([public[64] ^ 1])
    hybrid = bytes([6 + public[64] % 2]) + public[1:]
    for bad in (compressed, off, hybrid, b"\x00", b"\x04" + bytes(64)):
        assert code_of(primitives.check_signing_public, bad) == "key.malformed"
        assert code_of(primitives.check_kem_public, Kem.DHKEM_P256, bad) == "key.malformed"


# Encodings of points of small order on Curve25519 (RFC 7748 section 6.1 asks for the zero check).
@pytest.mark.parametrize("tail", [bytes(32), b"\x01" + bytes(31)])
def test_an_x25519_part_of_small_order_is_malformed(tail):
    """R-KEY-5: it would contribute a secret that everybody knows."""
    public = primitives.kem_key_from_seed(Kem.MLKEM768_X25519, SEED).public[:1184] + tail
    assert code_of(primitives.hpke_seal, Kem.MLKEM768_X25519, public, b"", b"") == "key.malformed"


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_signature_verifies_here_and_in_the_reference(message, other):
    """R-SIG-1: r || s, low s."""
    key = primitives.signing_key_from_seed(SEED)
    signature = key.sign(message)
    primitives.verify(key.public, message, signature)
    reference.verify(key.public, message, signature)
    if other != message:
        assert code_of(primitives.verify, key.public, other, signature) == "data.not-authentic"


def test_the_other_half_of_a_signature_is_refused():
    """R-SIG-1: n - s would verify as well, so a signature would have two forms."""
    key = primitives.signing_key_from_seed(SEED)
    for message in (b"a", b"b", b"c", b"d"):
        signature = key.sign(message)
        s = int.from_bytes(signature[32:], "big")
        high = signature[:32] + (reference.N - s).to_bytes(32, "big")
        assert s <= reference.N // 2
        assert code_of(primitives.verify, key.public, message, high) == "data.not-authentic"
        assert (
            primitives.normalize_signature(int.from_bytes(signature[:32], "big"), reference.N - s)
            == signature
        )


DEGENERATE = {
    "empty": b"",
    "63 bytes": bytes(63),
    "65 bytes": bytes(65),
    "zeros": bytes(64),
    "r = 0": bytes(32) + b"\x01" * 32,
    "s = 0": b"\x01" * 32 + bytes(32),
    "r = n": reference.N.to_bytes(32, "big") + b"\x01" * 32,
    "r over the field": b"\xff" * 32 + b"\x01" * 32,
    "DER": bytes.fromhex("3006020101020101"),
}


@pytest.mark.parametrize("signature", DEGENERATE.values(), ids=DEGENERATE)
def test_a_degenerate_signature_is_refused(signature):
    """R-SIG-1: wrong lengths and values out of range."""
    key = primitives.signing_key_from_seed(SEED)
    assert code_of(primitives.verify, key.public, b"m", signature) == "data.not-authentic"


def test_a_signature_under_a_malformed_key_is_refused():
    """R-SIG-1: nothing but the one error."""
    signature = primitives.signing_key_from_seed(SEED).sign(b"m")
    for public in (b"", bytes(65), b"\x04" * 65):
        assert code_of(primitives.verify, public, b"m", signature) == "data.not-authentic"


def der(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _rsa(bits: int, exponent: int = 65537) -> bytes:
    return der(rsa.RSAPublicNumbers(exponent, (1 << (bits - 1)) + 1).public_key())


ED25519 = der(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key())
BAD_KEYS = {
    "nothing": b"",
    "an empty sequence": b"\x30\x00",
    "an Ed25519 key": ED25519,
    "an X25519 key": der(x25519.X25519PrivateKey.from_private_bytes(bytes(32)).public_key()),
    "an unknown algorithm": ED25519.replace(b"\x2b\x65\x70", b"\x2b\x65\x01"),
    "P-384": der(ec.derive_private_key(5, ec.SECP384R1()).public_key()),
    "secp256k1": der(ec.derive_private_key(5, ec.SECP256K1()).public_key()),
    "RSA-1024": _rsa(1024),
    "RSA-8200": _rsa(8200),
    "exponent 3": _rsa(2048, 3),
    "text": b"-----BEGIN PUBLIC KEY-----",
}


@pytest.mark.parametrize("spki_bytes", BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_token_key_of_another_kind_is_malformed(spki_bytes):
    """R-KEY-7: for RSA and for P-256."""
    assert code_of(primitives.check_rsa_public, spki_bytes) == "key.malformed"
    assert code_of(primitives.p256_point, spki_bytes) == "key.malformed"


def test_good_token_keys_are_taken():
    """R-KEY-7: the control of the test before."""
    assert primitives.check_rsa_public(spki(rsa_key())) == spki(rsa_key())
    assert code_of(primitives.p256_point, spki(rsa_key())) == "key.malformed"
    key = ec.derive_private_key(5, ec.SECP256R1()).public_key()
    assert primitives.p256_point(der(key)) == reference._point(key)
    trailing = spki(rsa_key()) + b"\x00"
    assert code_of(primitives.check_rsa_public, trailing) == "key.malformed"


@pytest.mark.parametrize("nonce_size", [0, 8, 11, 13, 16])
def test_gcm_takes_a_nonce_of_12_bytes_only(nonce_size):
    """R-KEY-1: also where another length would be accepted by the library."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key, nonce = bytes(32), bytes(nonce_size)
    genuine = AESGCM(key).encrypt(nonce, b"x", b"a") if nonce_size >= 8 else bytes(17)
    assert code_of(primitives.gcm_open, key, nonce, genuine, b"a") == "data.not-authentic"


def test_a_failed_check_keeps_its_reason_inside():
    """R-SECRET-3: one face outside, the reason in a note for the operator's log."""
    with pytest.raises(DataError) as caught:
        primitives.gcm_open(bytes(32), bytes(12), bytes(20), b"")
    assert "AES-GCM" not in str(caught.value)
    assert caught.value.__notes__ == ["AES-GCM: tag mismatch"]
