"""Keys and rows of an application without Twinlock, on any token."""

from __future__ import annotations

import os
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from twinlock.core.adopting import LegacyKey
from twinlock.core.ports import LegacyPart, Token
from twinlock.testing import MemoryToken
from twinlock.token.ck import Cka, Ckk, Cko
from twinlock.token.keys import read_modulus
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.spki import rsa_spki

HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}


def make_legacy_key(
    token: Token,
    *,
    oaep_hash: str = "sha1",
    mgf_hash: str | None = None,
    oaep_label: bytes = b"",
    unwraps: bool = True,
    label: str | None = None,
) -> LegacyKey:
    """A persistent RSA-2048 key with the loose attributes that such keys have."""
    name = label or f"old application {os.urandom(4).hex()}"
    options = {"oaep_hash": oaep_hash, "mgf_hash": mgf_hash, "oaep_label": oaep_label}
    if isinstance(token, MemoryToken):
        return token.generate_legacy_key(name, unwraps=unwraps, **options)
    assert isinstance(token, Pkcs11Token)
    cka_id = os.urandom(8)
    named = {Cka.KEY_TYPE: Ckk.RSA, Cka.TOKEN: True, Cka.ID: cka_id, Cka.LABEL: name.encode()}
    public = {Cka.CLASS: Cko.PUBLIC_KEY, **named, Cka.ENCRYPT: True, Cka.WRAP: unwraps}
    private = {
        Cka.CLASS: Cko.PRIVATE_KEY,
        **named,
        Cka.PRIVATE: True,
        Cka.SENSITIVE: True,
        Cka.EXTRACTABLE: False,
        Cka.DECRYPT: True,
        Cka.UNWRAP: unwraps,
    }
    with token.pool.main() as login:
        made, _ = login.session.generate_rsa(2048, public, private)
        spki = rsa_spki(read_modulus(login.calls, made), b"\x01\x00\x01")
    return LegacyKey(public=spki, cka_id=cka_id, label=name, **options)


def wrap_dek(key: LegacyKey, dek: bytes) -> bytes:
    """What the old application stored beside a row."""
    public = serialization.load_der_public_key(key.public)
    assert isinstance(public, rsa.RSAPublicKey)
    mgf = padding.MGF1(HASHES[key.mgf])
    return public.encrypt(dek, padding.OAEP(mgf, HASHES[key.oaep_hash], key.oaep_label or None))


def old_part(dek: bytes, plaintext: bytes, aad: bytes = b"") -> LegacyPart:
    nonce = os.urandom(12)
    return LegacyPart(nonce, AESGCM(dek).encrypt(nonce, plaintext, aad), aad)


def old_parts(dek: bytes, plaintexts: Sequence[bytes], aad: bytes = b"") -> list[LegacyPart]:
    return [old_part(dek, plaintext, aad) for plaintext in plaintexts]
