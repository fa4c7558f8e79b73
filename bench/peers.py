"""What Twinlock is compared with: the token-only envelope, and the C floor.

The token-only envelope is the design that the issue starts from: the DEK, RSA-2048-OAEP-encrypted
to the HSM, is unwrapped there, and AES-GCM decrypts in the token. It makes its calls through the
same direct calls as Twinlock, so that the comparison is one of designs; ``PlainBinding`` makes them
the way that the Python binding itself offers.
"""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import pkcs11

from bench.world import TOKEN_LABEL, World
from twinlock.agent.answer import Answerer
from twinlock.core.context import Context
from twinlock.core.opening import PreparedRecord
from twinlock.core.ports import TransportKey
from twinlock.core.primitives import gcm_seal, rsa_oaep_encrypt
from twinlock.core.release import wrap_release_keys
from twinlock.server.records import Stored
from twinlock.token.ck import Cka, Ckk, Cko
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.policy import session_templates
from twinlock.token.spki import rsa_spki
from twinlock.token.structures import RSA_OAEP

FLOOR: Final = Path(__file__).parent.parent / "build" / "native" / "floor"
_EXPONENT: Final = b"\x01\x00\x01"
_AAD: Final = b"additional data of the size of a context" * 5


class TokenOnly:
    """The envelope of a server without Twinlock, over the same direct calls."""

    def __init__(self, token: Pkcs11Token, count: int, size: int) -> None:
        self._token = token
        self._template = session_templates(token.profile).dek
        kid = os.urandom(16)
        with token.pool.main() as login:
            public, self._key = login.session.generate_rsa(
                2048,
                {
                    Cka.CLASS: Cko.PUBLIC_KEY,
                    Cka.KEY_TYPE: Ckk.RSA,
                    Cka.TOKEN: True,
                    Cka.PRIVATE: False,
                    Cka.ID: kid,
                    Cka.WRAP: True,
                },
                {
                    Cka.CLASS: Cko.PRIVATE_KEY,
                    Cka.KEY_TYPE: Ckk.RSA,
                    Cka.TOKEN: True,
                    Cka.PRIVATE: True,
                    Cka.SENSITIVE: True,
                    Cka.EXTRACTABLE: False,
                    Cka.UNWRAP: True,
                    Cka.ID: kid,
                },
            )
            modulus = login.calls.attribute(public, Cka.MODULUS) or b""
        self.kid = kid
        self._spki = rsa_spki(modulus, _EXPONENT)
        self.records = [self._record(os.urandom(size)) for _ in range(count)]

    def _record(self, plaintext: bytes) -> tuple[bytes, bytes, bytes]:
        dek, nonce = os.urandom(32), os.urandom(12)
        wrapped = rsa_oaep_encrypt(self._spki, self._token.profile.oaep_hash, dek)
        return wrapped, nonce, gcm_seal(dek, nonce, plaintext, _AAD)

    def open_all(self) -> list[bytes]:
        """Unwrap and decrypt every record in one session."""
        mechanism, template = RSA_OAEP[self._token.profile.oaep_hash], self._template
        opened = []
        with self._token.pool.working() as work:
            for wrapped, nonce, ciphertext in self.records:
                key = work.unwrap(mechanism, self._key, wrapped, template)
                opened.append(work.decrypt_gcm(key, nonce, ciphertext, _AAD))
                work.destroy(key)
        return opened

    def open_all_by_binding(self, session: pkcs11.Session) -> list[bytes]:
        """The same, the way that python-pkcs11 offers it."""
        wanted = {
            pkcs11.Attribute.ID: self.kid,
            pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY,
        }
        key: Any = next(iter(session.get_objects(wanted)))
        opened = []
        for wrapped, nonce, ciphertext in self.records:
            dek = key.unwrap_key(
                pkcs11.ObjectClass.SECRET_KEY,
                pkcs11.KeyType.AES,
                wrapped,
                mechanism=pkcs11.Mechanism.RSA_PKCS_OAEP,
                mechanism_param=(pkcs11.Mechanism.SHA_1, pkcs11.MGF.SHA1, None),
                capabilities=pkcs11.MechanismFlag.DECRYPT,
                template={pkcs11.Attribute.EXTRACTABLE: False},
            )
            parameters = pkcs11.GCMParams(nonce, _AAD, 128)
            opened.append(
                dek.decrypt(
                    ciphertext,
                    mechanism=pkcs11.Mechanism.AES_GCM,
                    mechanism_param=parameters,
                )
            )
            dek.destroy()
        return opened


class Floor:
    """native/floor on this deployment's token: the very same PKCS#11 calls, from C."""

    def __init__(self, world: World, mode: str, kid: bytes) -> None:
        self._world = world
        self._process = subprocess.Popen(
            [
                FLOOR,
                os.environ.get("TWINLOCK_SOFTHSM_MODULE", "/usr/lib/softhsm/libsofthsm2.so"),
                TOKEN_LABEL,
                world.folder / "pin",
                kid.hex(),
                mode,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        _, modulus, _ = self._answer().split()
        self._spki = rsa_spki(bytes.fromhex(modulus), _EXPONENT)
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def load(self, items: Sequence[tuple[Context, Stored]]) -> None:
        """Give it records that Twinlock sealed, with a release to its own transport key."""
        vault, agent = self._world.vault, self._world.agent
        request = vault.request(items)
        examined = agent.examine(request)
        keys = Answerer(examined, agent._group_keys, agent._unlocked()).open_all()
        transport = TransportKey(bytes(16), self._spki, self._world.token.profile.oaep_hash)
        block, wrapped = wrap_release_keys(transport, [key.release_key for key in keys], os.urandom)
        prepared = [asked.record.prepared for asked in request.asked if asked.record]
        content = [b"TWLFLOOR", _number(len(prepared)), _blob(block)]
        for record, key in zip(prepared, wrapped, strict=True):
            content.append(_record(record, key))
        file = self._world.folder / f"floor-{id(self)}"
        file.write_bytes(b"".join(content))
        self._count = len(prepared)
        self._ask(f"load {file}")

    def open_all(self) -> float:
        """Open every record once; the seconds that the program measured."""
        return int(self._ask(f"round {self._count}")) / 1e9

    def show(self, number: int) -> bytes:
        """What it decrypts, to prove that it does the same work."""
        return bytes.fromhex(self._ask(f"show {number}"))

    def _ask(self, line: str) -> str:
        if self._process.stdin is None:
            raise RuntimeError("the floor has no standard input")
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        if self._process.stdout is None:
            raise RuntimeError("the floor has no standard output")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the floor ended; see its message above")
        return line.rstrip("\n")


def _record(record: PreparedRecord, wrapped: bytes) -> bytes:
    outer_aad = record.outer.binding if record.outer.suite.name == "TOKEN_AES" else b""
    (parts,) = record.fields
    content = [_blob(wrapped), _blob(record.outer.sealed), _blob(outer_aad), _number(len(parts))]
    content += [_blob(part.nonce) + _blob(part.ciphertext) + _blob(part.aad) for part in parts]
    return b"".join(content)


def _number(value: int) -> bytes:
    return struct.pack("<I", value)


def _blob(value: bytes) -> bytes:
    return _number(len(value)) + value
