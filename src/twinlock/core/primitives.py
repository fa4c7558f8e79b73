"""The one module of the package that touches hazmat primitives.

Everything here is a thin, typed face on ``cryptography``: no primitive is written, except RFC
9180's DeriveKeyPair, which that library does not export and which is HKDF around a counter; it is
checked against the RFC's own vectors. Wrong lengths raise; nothing returns False.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, hpke, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, not_authentic

KEY_SIZE: Final = 32
TAG_SIZE: Final = 16
NONCE_SIZE: Final = 12
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ECDSA: Final = ec.ECDSA(hashes.SHA256())
_KEM_CACHE: Final = 4096


class Kem(IntEnum):
    """HPKE KEM identifiers (IANA HPKE registry)."""

    DHKEM_P256 = 0x0010
    MLKEM768_X25519 = 0x647A


_SUITES: Final = {
    Kem.DHKEM_P256: hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
    Kem.MLKEM768_X25519: hpke.Suite(
        hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM
    ),
}
_PUBLIC_SIZES: Final = {Kem.DHKEM_P256: 65, Kem.MLKEM768_X25519: 1184 + 32}


def sha256(*parts: bytes) -> bytes:
    """SHA-256 of the concatenation of ``parts``; 32 bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


class RunningSha256:
    """SHA-256 over data that arrives in pieces."""

    def __init__(self, start: bytes = b"") -> None:
        self._digest = hashlib.sha256(start)

    def update(self, data: bytes) -> None:
        """Add a piece."""
        self._digest.update(data)

    def digest(self) -> bytes:
        """Return the 32 bytes for everything added so far."""
        return self._digest.digest()


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104); 32 bytes."""
    return hmac.digest(key, message, "sha256")


def equal(left: bytes, right: bytes) -> bool:
    """Compare in time that depends on the length only."""
    return hmac.compare_digest(left, right)


def hkdf_extract(salt: bytes, material: bytes) -> bytes:
    """HKDF-Extract with SHA-256 (RFC 5869 section 2.2); 32 bytes."""
    return hmac_sha256(salt or bytes(32), material)


def hkdf_expand(prk: bytes, info: bytes, length: int = KEY_SIZE) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869 section 2.3)."""
    return HKDFExpand(hashes.SHA256(), length, info).derive(prk)


def aes_key_wrap(wrapping_key: bytes, key: bytes) -> bytes:
    """AES-256-KW of a 32-byte key (RFC 3394); 40 bytes."""
    return keywrap.aes_key_wrap(wrapping_key, key)


def aes_key_unwrap(wrapping_key: bytes, wrapped: bytes) -> bytes:
    """Reverse ``aes_key_wrap``. Raises ``data.not-authentic``."""
    # Keys are deleted before anything is raised: error reporters log local variables.
    if len(wrapped) != KEY_SIZE + 8:
        del wrapping_key
        raise not_authentic("AES key wrap: wrong length")
    try:
        return keywrap.aes_key_unwrap(wrapping_key, wrapped)
    except (keywrap.InvalidUnwrap, ValueError) as error:
        del wrapping_key
        raise not_authentic("AES key wrap: integrity check failed") from error


def gcm_seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """AES-256-GCM with a 12-byte nonce; returns ciphertext || 16-byte tag."""
    return AESGCM(key).encrypt(nonce, plaintext, aad)


def gcm_open(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """Reverse ``gcm_seal``. Raises ``data.not-authentic``."""
    try:
        cipher = AESGCM(key)
        del key
        if len(nonce) != NONCE_SIZE:
            raise not_authentic("AES-GCM: wrong nonce length")
        return cipher.decrypt(nonce, ciphertext, aad)
    except (InvalidTag, ValueError) as error:
        raise not_authentic("AES-GCM: tag mismatch") from error


def argon2id(
    password: bytes, salt: bytes, *, memory_kib: int, iterations: int, lanes: int
) -> Secret:
    """Argon2id (RFC 9106); 32 bytes."""
    kdf = Argon2id(salt=salt, length=32, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
    return Secret(kdf.derive(password))


def pbkdf2_sha256(password: bytes, salt: bytes, iterations: int) -> Secret:
    """PBKDF2 with HMAC-SHA-256 (RFC 8018 section 5.2), which RFC 5802 calls Hi(); 32 bytes."""
    return Secret(hashlib.pbkdf2_hmac("sha256", password, salt, iterations))


# --- HPKE (RFC 9180) -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KemKey:
    """A KEM private key, made from a 32-byte seed; ``public`` is its RFC 9180 serialization."""

    kem: Kem
    public: bytes
    _private: ec.EllipticCurvePrivateKey | hpke.MLKEM768X25519PrivateKey

    @property
    def kid(self) -> bytes:
        """First 16 bytes of SHA-256 over the public key."""
        return key_id(self.public)

    def open(self, sealed: bytes, info: bytes) -> Secret:
        """Open ``enc || ct`` (HPKE base mode, empty aad). Raises ``data.not-authentic``."""
        try:
            return Secret(_SUITES[self.kem].decrypt(sealed, self._private, info))
        except (InvalidTag, ValueError) as error:
            raise not_authentic("HPKE: cannot be opened with this key and info") from error

    def __repr__(self) -> str:
        return f"KemKey({self.kem.name}, kid={self.kid.hex()})"


def key_id(public: bytes) -> bytes:
    """Return the 16-byte id of a public key: the head of its SHA-256."""
    return sha256(public)[:16]


def kem_key_from_seed(kem: Kem, seed: Secret) -> KemKey:
    """Derive a KEM key pair from a 32-byte seed.

    DHKEM-P256: DeriveKeyPair of RFC 9180 section 7.1.3. MLKEM768-X25519: the seed expanded with
    SHAKE256 to the ML-KEM seed and the X25519 key (draft-connolly-cfrg-xwing-kem).
    """
    if kem is Kem.DHKEM_P256:
        scalar = _derive_p256_scalar(seed.reveal())
        private = ec.derive_private_key(scalar, ec.SECP256R1())
        return KemKey(kem, _p256_public_bytes(private.public_key()), private)
    expanded = hashlib.shake_256(seed.reveal()).digest(96)
    lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    curve = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
    public = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    return KemKey(kem, public, hpke.MLKEM768X25519PrivateKey(lattice, curve))


def hpke_seal(kem: Kem, public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """HPKE base mode, single shot, HKDF-SHA256 and AES-256-GCM; returns ``enc || ct``.

    Raises ``key.malformed`` for a public key that is not a point, has the wrong length, or whose
    X25519 part has small order (RFC 7748 section 6.1).
    """
    try:
        return _SUITES[kem].encrypt(plaintext, _load_kem_public(kem, public), info)
    except ValueError as error:
        raise _malformed_key() from error


@lru_cache(maxsize=_KEM_CACHE)
def _load_kem_public(
    kem: Kem, public: bytes
) -> ec.EllipticCurvePublicKey | hpke.MLKEM768X25519PublicKey:
    if len(public) != _PUBLIC_SIZES[kem]:
        raise _malformed_key()
    try:
        if kem is Kem.DHKEM_P256:
            return _load_p256(public)
        return hpke.MLKEM768X25519PublicKey(
            mlkem.MLKEM768PublicKey.from_public_bytes(public[:1184]),
            x25519.X25519PublicKey.from_public_bytes(public[1184:]),
        )
    except ValueError as error:
        raise _malformed_key() from error


def check_kem_public(kem: Kem, public: bytes) -> bytes:
    """Return ``public`` if it is a key of ``kem``, else raise ``key.malformed``."""
    _load_kem_public(kem, public)
    return public


def _derive_p256_scalar(ikm: bytes) -> int:
    """RFC 9180 section 7.1.3 DeriveKeyPair for DHKEM(P-256, HKDF-SHA256): the private scalar."""
    suite_id = b"KEM" + Kem.DHKEM_P256.to_bytes(2, "big")
    prk = hkdf_extract(b"", b"HPKE-v1" + suite_id + b"dkp_prk" + ikm)
    for counter in range(256):
        info = (32).to_bytes(2, "big") + b"HPKE-v1" + suite_id + b"candidate" + bytes([counter])
        candidate = int.from_bytes(hkdf_expand(prk, info, 32), "big")
        if 0 < candidate < P256_ORDER:
            return candidate
    raise CallerError(
        "key.underivable", "No key can be derived from this seed.", hint="Choose another seed."
    )


# --- Multiplication on P-256 -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AgreementKey:
    """A P-256 scalar; ``public`` is the 65-byte uncompressed point scalar * G."""

    public: bytes
    _private: ec.EllipticCurvePrivateKey

    def x_of(self, point: bytes) -> bytes:
        """Return the x-coordinate of scalar * ``point`` (ECDH without a KDF), 32 bytes.

        Constant-time in OpenSSL. ``point`` is uncompressed; raises DataError ``key.malformed``.
        """
        try:
            return self._private.exchange(ec.ECDH(), _decode_p256(point))
        except ValueError as error:
            raise _malformed_key() from error

    def __repr__(self) -> str:
        return f"AgreementKey(kid={key_id(self.public).hex()})"


def agreement_key(scalar: int) -> AgreementKey:
    """Return the key of a scalar from 1 to the curve's order - 1."""
    private = ec.derive_private_key(scalar, ec.SECP256R1())
    return AgreementKey(_p256_public_bytes(private.public_key()), private)


def agreement_key_from_seed(seed: Secret) -> AgreementKey:
    """Derive a key from a 32-byte seed, the way RFC 9180 section 7.1.3 derives a scalar."""
    return agreement_key(_derive_p256_scalar(seed.reveal()))


# --- Signatures (ECDSA P-256, SHA-256, r || s, low s) -----------------------------------------


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An ECDSA P-256 private key; ``public`` is the 65-byte uncompressed point."""

    public: bytes
    _private: ec.EllipticCurvePrivateKey

    @property
    def kid(self) -> bytes:
        """First 16 bytes of SHA-256 over the public key."""
        return key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """Sign with ECDSA P-256/SHA-256; returns r || s, 64 bytes, s in the lower half."""
        return normalize_signature(*decode_dss_signature(self._private.sign(message, _ECDSA)))

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid.hex()})"


def signing_key_from_seed(seed: Secret) -> SigningKey:
    """Derive a signing key from a 32-byte seed, the way RFC 9180 section 7.1.3 derives a scalar."""
    private = ec.derive_private_key(_derive_p256_scalar(seed.reveal()), ec.SECP256R1())
    return SigningKey(_p256_public_bytes(private.public_key()), private)


def normalize_signature(r: int, s: int) -> bytes:
    """Encode (r, s) as 64 bytes with s in the lower half, so that each signature has one form."""
    if s > P256_ORDER // 2:
        s = P256_ORDER - s
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Check an ECDSA P-256/SHA-256 signature of 64 bytes. Raises ``data.not-authentic``."""
    if len(signature) != 64:
        raise not_authentic("signature: wrong length")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if s > P256_ORDER // 2:
        raise not_authentic("signature: s is not in the lower half")
    try:
        _load_p256(public).verify(encode_dss_signature(r, s), message, _ECDSA)
    except (InvalidSignature, ValueError) as error:
        raise not_authentic("signature: does not match") from error


def check_signing_public(public: bytes) -> bytes:
    """Return ``public`` if it is an uncompressed P-256 point, else raise ``key.malformed``."""
    try:
        _load_p256(public)
    except ValueError as error:
        raise _malformed_key() from error
    return public


@lru_cache(maxsize=_KEM_CACHE)
def _load_p256(public: bytes) -> ec.EllipticCurvePublicKey:
    return _decode_p256(public)


def _decode_p256(public: bytes) -> ec.EllipticCurvePublicKey:
    """Not cached: points that stand for a password pass here."""
    if len(public) != 65 or public[0] != 4:
        raise ValueError("not an uncompressed P-256 point")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)


def _p256_public_bytes(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


# --- Public keys of the token ----------------------------------------------------------------


def rsa_oaep_encrypt(spki: bytes, oaep_hash: str, plaintext: bytes) -> bytes:
    """RSA-OAEP with the same hash for OAEP and MGF1 and an empty label (RFC 8017 section 7.1.1).

    ``oaep_hash`` is ``"sha1"`` or ``"sha256"``. Raises ``key.malformed`` for a key that is not
    RSA of 2048 to 8192 bits with exponent 65537.
    """
    return _load_rsa(spki).encrypt(plaintext, _oaep(oaep_hash, oaep_hash, b""))


_HASHES: Final = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}  # noqa: S303


@lru_cache(maxsize=16)
def _oaep(oaep_hash: str, mgf_hash: str, label: bytes) -> padding.OAEP:
    return padding.OAEP(padding.MGF1(_HASHES[mgf_hash]), _HASHES[oaep_hash], label or None)


@lru_cache(maxsize=256)
def _load_rsa(spki: bytes) -> rsa.RSAPublicKey:
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _malformed_key() from error
    if not isinstance(key, rsa.RSAPublicKey) or not 2048 <= key.key_size <= 8192:
        raise _malformed_key()
    if key.public_numbers().e != 65537:
        raise _malformed_key()
    return key


@dataclass(frozen=True, slots=True)
class RsaKey:
    """An RSA private key in software, for tokens in memory; ``public`` is DER."""

    public: bytes
    _private: rsa.RSAPrivateKey

    def open(
        self, oaep_hash: str, block: bytes, *, mgf_hash: str | None = None, label: bytes = b""
    ) -> bytes:
        """Reverse ``rsa_oaep_encrypt``, also with another MGF1 hash or a label.

        Raises ``data.not-authentic``.
        """
        scheme = _oaep(oaep_hash, mgf_hash or oaep_hash, label)
        try:
            return self._private.decrypt(block, scheme)
        except ValueError as error:
            raise not_authentic("RSA-OAEP: no block of this key") from error

    def __repr__(self) -> str:
        return f"RsaKey(kid={key_id(self.public).hex()})"


def generate_rsa_key(bits: int) -> RsaKey:
    """Make an RSA key with e = 65537; ``bits`` is at least 2048."""
    private = rsa.generate_private_key(65537, bits)
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return RsaKey(public, private)


def check_rsa_public(spki: bytes) -> bytes:
    """Return ``spki`` if it is RSA, 2048 to 8192 bits, e = 65537, else raise."""
    _load_rsa(spki)
    return spki


def rsa_modulus(spki: bytes) -> bytes:
    """Return the modulus of an RSA key that somebody else made: any size, any exponent.

    Big-endian, without leading zeros. Raises DataError ``key.malformed``.
    """
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _malformed_key() from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise _malformed_key()
    modulus = key.public_numbers().n
    return modulus.to_bytes((modulus.bit_length() + 7) // 8, "big")


@lru_cache(maxsize=256)
def p256_point(spki: bytes) -> bytes:
    """Return the 65-byte point of a P-256 SubjectPublicKeyInfo, else raise ``key.malformed``."""
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _malformed_key() from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _malformed_key()
    return _p256_public_bytes(key)


def _malformed_key() -> DataError:
    return DataError(
        "key.malformed",
        "This is not a public key of the kind that is needed here.",
        hint="Ask its owner to send it again.",
    )
