"""The parts that the tests of the core are played with: keys, groups, a writer, a token of paper.

All randomness is expanded from a seed, so that a failure can be repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from twinlock.core.context import Context
from twinlock.core.locks import GroupTarget
from twinlock.core.ports import KeyRole, OuterSuite, TokenKey
from twinlock.core.primitives import Kem, KemKey, kem_key_from_seed, signing_key_from_seed
from twinlock.core.sealing import Sealer
from twinlock.core.secret import Secret

from . import reference

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
DEPLOYMENT = bytes(range(16))
WRITER = signing_key_from_seed(Secret(b"writer".ljust(32, b".")))
CONTEXT = Context(table="patient", column="diagnosis", record="4711", version=3).encode(DEPLOYMENT)
ROW_CONTEXT = Context(table="patient", record="4711", version=3).encode(DEPLOYMENT)


class Stream:
    """Randomness from a seed, by SHAKE256 over seed || call number."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._calls = 0

    def __call__(self, size: int) -> bytes:
        self._calls += 1
        return hashlib.shake_256(self._seed + self._calls.to_bytes(8, "big")).digest(size)


@dataclass(frozen=True)
class Group:
    """A group, its key and the same key as the reference takes it."""

    target: GroupTarget
    key: KemKey
    reference: reference.GroupKey


@lru_cache
def group(name: str, kem: Kem = Kem.DHKEM_P256, epoch: int = 0) -> Group:
    """A group whose key comes from its name."""
    seed = hashlib.sha256(f"{name}/{epoch}".encode()).digest()
    group_id = hashlib.sha256(name.encode()).digest()
    key = kem_key_from_seed(kem, Secret(seed))
    return Group(
        GroupTarget(group_id, epoch, kem, key.public),
        key,
        reference.GroupKey(group_id, epoch, int(kem), seed),
    )


@lru_cache
def rsa_key(name: str = "wrapping") -> rsa.RSAPrivateKey:
    """A recorded RSA key: making one takes longer than most tests."""
    text = json.loads((VECTORS / "recorded" / "rsa.json").read_text())[name]
    key = serialization.load_der_private_key(bytes.fromhex(text), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def spki(key: rsa.RSAPrivateKey) -> bytes:
    """DER SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


AES_WRAPPING = bytes(range(32, 64))


class PaperToken:
    """Just enough of a token for suite TOKEN_AES: makes a DEK, wraps it, encrypts with it."""

    def __init__(self, seed: str) -> None:
        self._random = Stream(seed)

    @contextmanager
    def sealing(
        self, wrapping_kid: bytes, release_key: Secret, binding: bytes
    ) -> Iterator[PaperDek]:
        dek = self._random(32)
        nonce = self._random(12)
        wrapped = aes_key_wrap(release_key.reveal(), dek)
        yield PaperDek(dek, nonce + AESGCM(AES_WRAPPING).encrypt(nonce, wrapped, binding))


@dataclass(frozen=True)
class PaperDek:
    """A DEK that the paper token made."""

    dek: bytes
    outer: bytes

    def encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        return AESGCM(self.dek).encrypt(nonce, plaintext, aad)


def sealer(suite: OuterSuite = OuterSuite.RSA_OAEP_SHA256, seed: str = "sealer") -> Sealer:
    """A sealer under a wrapping key of the suite."""
    public = b"" if suite is OuterSuite.TOKEN_AES else spki(rsa_key())
    wrapping = TokenKey(KeyRole.WRAPPING, bytes(range(16, 32)), public, suite)
    token = PaperToken(seed + "/token") if suite is OuterSuite.TOKEN_AES else None
    return Sealer(WRITER, wrapping, Stream(seed), token)


def keys(*groups: Group, suite: OuterSuite = OuterSuite.RSA_OAEP_SHA256) -> reference.Keys:
    """What the reference opens with."""
    wrapping = AES_WRAPPING if suite is OuterSuite.TOKEN_AES else rsa_key()
    return reference.Keys([g.reference for g in groups], wrapping, WRITER.public)
