"""Real tokens to test on, and records sealed for them in software.

A ``Rig`` is a token with keys and one release's session key. To run the contract on another
token, add a maker to ``MAKERS``.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from twinlock.core.ports import (
    DekOpening,
    KeyRole,
    OuterLock,
    OuterSuite,
    Part,
    Token,
    TokenKey,
    TransportKey,
)
from twinlock.core.primitives import aes_key_wrap, gcm_seal, rsa_oaep_encrypt, sha256
from twinlock.core.secret import Secret
from twinlock.token.pkcs11_token import Pkcs11Token

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
NSS = "libsoftokn3"
PIN = Secret(b"4711-records")
SO_PIN = "0815-officer"
AAD = b"additional data of the test"
OAEP_HASHES = {OuterSuite.RSA_OAEP_SHA1: "sha1", OuterSuite.RSA_OAEP_SHA256: "sha256"}


@dataclass
class Rig:
    """A token, its keys, and the AES key of one release in software and as the token gets it."""

    token: Token
    signing: TokenKey
    wrapping: TokenKey
    wrapping_aes: TokenKey
    transport: TransportKey
    count_objects: Callable[[], int] | None = None
    session_key: bytes = field(default_factory=lambda: os.urandom(32))

    @property
    def blob(self) -> bytes:
        """The release's AES key, encrypted to the transport key."""
        return rsa_oaep_encrypt(
            self.transport.public, self.transport.oaep_hash, self.session_key
        )

    @contextmanager
    def opening(self) -> Iterator[object]:
        with self.token.opening(self.transport.kid, self.blob) as opening:
            yield opening

    def open_many(self, items: Sequence[DekOpening]) -> list[object]:
        with self.token.opening(self.transport.kid, self.blob) as opening:
            return list(opening.open_many(items))

    def seal(self, suite: str, *fields: Sequence[bytes]) -> DekOpening:
        """Seal fields (each a list of segments) with suite ``"rsa"`` or ``"aes"``."""
        release_key, binding = os.urandom(32), os.urandom(120)
        wrapped = aes_key_wrap(self.session_key, release_key)
        if suite == "rsa":
            dek = os.urandom(32)
            block = aes_key_wrap(release_key, dek) + sha256(binding)
            key = self.wrapping
            sealed = rsa_oaep_encrypt(key.public, OAEP_HASHES[key.suite], block)
            outer = OuterLock(key.suite, key.kid, sealed, binding)
            parts = [[_sealed_part(dek, segment) for segment in segments] for segments in fields]
            return DekOpening(wrapped, outer, parts)
        kid = self.wrapping_aes.kid
        with self.token.sealing(kid, Secret(release_key), binding) as born:
            outer = OuterLock(OuterSuite.TOKEN_AES, kid, born.outer, binding)
            parts = []
            for segments in fields:
                nonces = [os.urandom(12) for _ in segments]
                parts.append(
                    [
                        Part(nonce, born.encrypt(nonce, segment, AAD), AAD)
                        for nonce, segment in zip(nonces, segments, strict=True)
                    ]
                )
        return DekOpening(wrapped, outer, parts)


def _sealed_part(dek: bytes, segment: bytes) -> Part:
    nonce = os.urandom(12)
    return Part(nonce, gcm_seal(dek, nonce, segment, AAD), AAD)


def rig_for(token: Token, count_objects: Callable[[], int] | None = None) -> Rig:
    """Give a token one key of each kind. RSA-2048 keeps the tests quick."""
    return Rig(
        token=token,
        signing=token.generate_key(KeyRole.IDENTITY),
        wrapping=token.generate_key(KeyRole.WRAPPING, token.rsa_oaep_suite, rsa_bits=2048),
        wrapping_aes=token.generate_key(KeyRole.WRAPPING, OuterSuite.TOKEN_AES),
        transport=token.generate_transport_key(),
        count_objects=count_objects,
    )


def init_softhsm(label: str) -> str:
    """Make a token in this process's SoftHSM folder; returns its URI.

    SOFTHSM2_CONF is read once per process, at C_Initialize: ``softhsm_folder`` set it.
    """
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", label]
        + ["--pin", PIN.reveal().decode(), "--so-pin", SO_PIN],
        check=True,
        capture_output=True,
    )
    return f"pkcs11:token={label}?module-path={SOFTHSM}"


def init_softhsm_folder(folder: Path) -> None:
    (folder / "tokens").mkdir()
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(conf)


def init_nss(folder: Path) -> str:
    """Make an NSS key database; returns pReserved of C_Initialize.

    NSS stretches its PIN for each use of a stored private key; one iteration is enough here.
    """
    os.environ["NSS_MAX_MP_PBE_ITERATION_COUNT"] = "1"
    password = folder / "password"
    password.write_bytes(PIN.reveal())
    subprocess.run(
        ["certutil", "-N", "-d", f"sql:{folder}", "-f", str(password)],
        check=True,
        capture_output=True,
    )
    return f"configdir='sql:{folder}' certPrefix='' keyPrefix='' secmod='secmod.db' flags="


def count_objects(token: Pkcs11Token) -> int:
    """All objects that the process sees on the token."""
    with token.pool.main() as login:
        return len(login.session.find({}))


def make_softhsm(folder: Path, sessions: int = 4) -> Rig:
    token = Pkcs11Token.connect(init_softhsm("contract"), PIN, sessions=sessions)
    return rig_for(token, lambda: count_objects(token))


def make_nss(folder: Path, sessions: int = 4) -> Rig:
    token = Pkcs11Token.connect(
        f"pkcs11:slot-id=2?module-name={NSS}", PIN, sessions=sessions, reserved=init_nss(folder)
    )
    return rig_for(token, lambda: count_objects(token))


MAKERS: dict[str, Callable[[Path], Rig]] = {"softhsm": make_softhsm, "nss": make_nss}
