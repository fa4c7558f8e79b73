"""Real tokens to test on, and records sealed for them in software.

A ``Rig`` is a token with keys and one release's session key. To run the contract on another
token, add a maker to ``MAKERS``.
"""

from __future__ import annotations

import ctypes
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
from twinlock.testing import MemoryToken
from twinlock.token.binding import load
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.uri import TokenUri

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
NSS = "libsoftokn3"
PIN = Secret(b"4711-records")
_SLOTS = 4096
"""Room for the slots of all tokens that one process makes."""
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
    hardening: TokenKey
    verifier: TokenKey
    count_objects: Callable[[], int] | None = None
    session_key: bytes = field(default_factory=lambda: os.urandom(32))

    @property
    def blob(self) -> bytes:
        """The release's AES key, encrypted to the transport key."""
        return rsa_oaep_encrypt(self.transport.public, self.transport.oaep_hash, self.session_key)

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
        hardening=token.generate_key(KeyRole.HARDENING),
        verifier=token.generate_key(KeyRole.VERIFIER),
        count_objects=count_objects,
    )


def init_softhsm(label: str) -> str:
    """Make a token in this process's SoftHSM folder; returns its URI.

    In this process, since SoftHSM looks for tokens once, at C_Initialize, as it reads
    SOFTHSM2_CONF: ``init_softhsm_folder`` set that.
    """
    load(SOFTHSM)
    library = ctypes.CDLL(SOFTHSM)
    count, slots, session = ctypes.c_ulong(), (ctypes.c_ulong * _SLOTS)(), ctypes.c_ulong()

    def call(name: str, *arguments: object) -> None:
        value = getattr(library, name)(*arguments)
        assert value == 0, f"{name} answered {value:#x}"

    call("C_GetSlotList", 0, None, ctypes.byref(count))
    count.value = _SLOTS
    call("C_GetSlotList", 0, slots, ctypes.byref(count))
    free = ctypes.c_ulong(slots[count.value - 1])
    so_pin, pin = SO_PIN.encode(), PIN.reveal()
    call("C_InitToken", free, so_pin, ctypes.c_ulong(len(so_pin)), label.encode().ljust(32))
    call("C_OpenSession", free, ctypes.c_ulong(6), None, None, ctypes.byref(session))
    call("C_Login", session, ctypes.c_ulong(0), so_pin, ctypes.c_ulong(len(so_pin)))
    call("C_InitPIN", session, pin, ctypes.c_ulong(len(pin)))
    call("C_CloseSession", session)
    return str(TokenUri(token=label, module_path=SOFTHSM))


def init_softhsm_folder(folder: Path) -> None:
    (folder / "tokens").mkdir()
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(conf)


def init_nss(folder: Path) -> str:
    """Make an NSS key database unless it is there; returns pReserved of C_Initialize.

    NSS stretches its PIN for each use of a stored private key; one iteration is enough here.
    """
    os.environ["NSS_MAX_MP_PBE_ITERATION_COUNT"] = "1"
    if not (folder / "cert9.db").exists():
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
    label = f"contract {os.urandom(4).hex()}"
    token = Pkcs11Token.connect(init_softhsm(label), PIN, sessions=sessions)
    return rig_for(token, lambda: count_objects(token))


def make_nss(folder: Path, sessions: int = 4) -> Rig:
    token = Pkcs11Token.connect(
        f"pkcs11:slot-id=2?module-name={NSS}", PIN, sessions=sessions, reserved=init_nss(folder)
    )
    return rig_for(token, lambda: count_objects(token))


def make_memory(folder: Path) -> Rig:
    token = MemoryToken()
    return rig_for(token, lambda: token.objects)


PKCS11: dict[str, Callable[[Path], Rig]] = {"softhsm": make_softhsm, "nss": make_nss}
MAKERS: dict[str, Callable[[Path], Rig]] = {**PKCS11, "memory": make_memory}
