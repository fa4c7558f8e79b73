"""Talks to build/native/floor, and writes its records in software, as native/floor.c describes."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

TOKEN = "native-tests"
OAEP_SHA1 = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)


@dataclass(frozen=True)
class Softhsm:
    """A SoftHSM token: its module, its command, its PIN and the environment that leads to it."""

    module: str
    command: str
    pin_file: Path
    environment: dict[str, str]

    def utility(self, *arguments: str) -> None:
        """Run softhsm2-util."""
        subprocess.run(
            [self.command, "--module", self.module, *arguments],
            env=self.environment,
            check=True,
            capture_output=True,
        )

    def import_key(self, file: Path, content: bytes, kid: bytes, *options: str) -> None:
        """Import a key under ``kid``: PKCS#8 PEM, or 32 bytes with the option ``--aes``."""
        file.write_bytes(content)
        pin = self.pin_file.read_text().strip()
        place = ("--token", TOKEN, "--label", kid.hex(), "--id", kid.hex(), "--pin", pin)
        self.utility("--import", str(file), *place, *options)


class Floor:
    """The program as a context manager; each method is one line of its protocol."""

    def __init__(
        self, program: Path, module: str, token: Softhsm, kid: bytes, mode: str, **extra: str
    ) -> None:
        self._process = subprocess.Popen(
            [program, module, TOKEN, token.pin_file, kid.hex(), mode],
            env={**token.environment, **extra},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Floor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def transport_key(self) -> rsa.RSAPublicKey:
        """Read the first line."""
        word, modulus, exponent = self._answer().split()
        assert word == "transport"
        return rsa.RSAPublicNumbers(int(exponent, 16), int(modulus, 16)).public_key()

    def ask(self, line: str) -> str:
        """Send a line and return the answer; fails with what the program said as it died."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def died(self, line: str) -> str:
        """Send a line that ends the program; return what it said."""
        said = self._process.communicate(line + "\n")[1]
        assert self._process.returncode == 1
        return said

    def _answer(self) -> str:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        assert line, self._process.stderr.read()
        return line.rstrip("\n")


def pem(key: rsa.RSAPrivateKey) -> bytes:
    """PKCS#8 without a password, as softhsm2-util reads it."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def blob(value: bytes) -> bytes:
    """A 32-bit little-endian length and the bytes."""
    return struct.pack("<I", len(value)) + value


def records(
    mode: str,
    transport: rsa.RSAPublicKey,
    wrapping: rsa.RSAPublicKey | bytes,
    plaintexts: Sequence[Sequence[bytes]],
) -> bytes:
    """Seal each record's segments in software. ``wrapping`` is the AES key for token-aes."""
    session_key = os.urandom(32)
    release = b"" if mode == "token-only" else transport.encrypt(session_key, OAEP_SHA1)
    parts = [b"TWLFLOOR", struct.pack("<I", len(plaintexts)), blob(release)]
    for segments in plaintexts:
        dek, release_key, outer_aad = os.urandom(32), os.urandom(32), b""
        w = aes_key_wrap(release_key, dek)
        if isinstance(wrapping, bytes):
            nonce, outer_aad = os.urandom(12), b"binding"
            outer = nonce + AESGCM(wrapping).encrypt(nonce, w, outer_aad)
        else:
            outer = wrapping.encrypt(dek if mode == "token-only" else w + os.urandom(32), OAEP_SHA1)
        wrapped = b"" if mode == "token-only" else aes_key_wrap(session_key, release_key)
        parts += [blob(wrapped), blob(outer), blob(outer_aad), struct.pack("<I", len(segments))]
        for segment in segments:
            nonce = os.urandom(12)
            parts += [
                blob(nonce),
                blob(AESGCM(dek).encrypt(nonce, segment, b"context")),
                blob(b"context"),
            ]
    return b"".join(parts)
