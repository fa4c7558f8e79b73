"""The parts of vectors that nobody can compute twice: HPKE and RSA-OAEP draw their own randomness.

They are kept in ``recorded/``. A recorded part is used again exactly when it still opens to what
it must hold; otherwise a new one is made, and the changed files show it. Everything else is
expanded from seeds, ECDSA is deterministic (RFC 6979), so making the vectors again changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from twinlock.core.primitives import (
    Kem,
    hpke_seal,
    kem_key_from_seed,
    normalize_signature,
    rsa_oaep_encrypt,
    sha256,
)
from twinlock.core.secret import Secret
from twinlock.errors import TwinlockError

FOLDER: Final = Path(__file__).resolve().parent / "recorded"
_HASHES: Final = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}  # noqa: S303
_ECDSA: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
_N: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def expand(seed: str, size: int) -> bytes:
    """Expand a seed: SHAKE256 of its UTF-8."""
    return hashlib.shake_256(seed.encode()).digest(size)


class Recording:
    """Sealed blocks by the hash of what they must hold."""

    def __init__(self) -> None:
        self._path = FOLDER / "sealed.json"
        self._old: dict[str, str] = (
            json.loads(self._path.read_text()) if self._path.exists() else {}
        )
        self._used: dict[str, str] = {}

    def hpke(self, kem: Kem, seed: bytes, info: bytes, plaintext: bytes, again: str = "") -> bytes:
        """HPKE-seal; ``again`` tells apart blocks that hold the same."""
        key = kem_key_from_seed(kem, Secret(seed))
        name = sha256(
            b"hpke", bytes([kem % 251]), key.public, info, plaintext, again.encode()
        ).hex()
        sealed = bytes.fromhex(self._used.get(name) or self._old.get(name, ""))
        try:
            genuine = key.open(sealed, info).reveal() == plaintext
        except TwinlockError:
            genuine = False
        return self._keep(name, sealed if genuine else hpke_seal(kem, key.public, info, plaintext))

    def oaep(self, key: rsa.RSAPrivateKey, hash_name: str, plaintext: bytes) -> bytes:
        """RSA-OAEP-encrypt to a recorded key."""
        public = spki(key)
        name = sha256(b"oaep", hash_name.encode(), public, plaintext).hex()
        sealed = bytes.fromhex(self._used.get(name) or self._old.get(name, ""))
        digest = _HASHES[hash_name]
        try:
            opened = key.decrypt(sealed, padding.OAEP(padding.MGF1(digest), digest, None))
            genuine = opened == plaintext
        except ValueError:
            genuine = False
        fresh = b"" if genuine else rsa_oaep_encrypt(public, hash_name, plaintext)
        return self._keep(name, sealed if genuine else fresh)

    def save(self) -> None:
        """Write what was used; what no vector needs any more goes."""
        self._path.write_text(json.dumps(dict(sorted(self._used.items())), indent=1) + "\n")

    def unused(self) -> set[str]:
        """Names of recorded blocks that were not asked for."""
        return set(self._old) - set(self._used)

    def _keep(self, name: str, sealed: bytes) -> bytes:
        self._used[name] = sealed.hex()
        return sealed


def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """A recorded RSA key."""
    text = json.loads((FOLDER / "rsa.json").read_text())[name]
    key = serialization.load_der_private_key(bytes.fromhex(text), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise SystemExit("recorded/rsa.json is damaged")
    return key


def spki(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """DER SubjectPublicKeyInfo of a key's public half."""
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


class Signer:
    """A P-256 key that signs deterministically."""

    def __init__(self, seed: str) -> None:
        scalar = int.from_bytes(expand(seed, 40), "big") % (_N - 1) + 1
        self._private = ec.derive_private_key(scalar, ec.SECP256R1())
        self.spki = spki(self._private)
        self.public = self._private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        self.kid = sha256(self.public)[:16]

    def sign(self, message: bytes) -> bytes:
        """R || s, low s, by RFC 6979."""
        return normalize_signature(*decode_dss_signature(self._private.sign(message, _ECDSA)))

    def sign_high(self, message: bytes) -> bytes:
        """The same signature with s in the upper half."""
        signature = self.sign(message)
        s = _N - int.from_bytes(signature[32:], "big")
        return signature[:32] + s.to_bytes(32, "big")
