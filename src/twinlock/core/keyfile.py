"""Key files: a header line, and base64 of 32 bytes and a checksum.

The checksum names a damaged or foreign file as such before anything is tried with it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from twinlock.core.primitives import equal, sha256
from twinlock.core.secret import Secret
from twinlock.errors import DataError

_CHECK_SIZE: Final = 4
KEY_SIZE: Final = 32


def encode_key_file(kind: str, key: Secret) -> str:
    """Return a key file's text; ``kind`` (``device-key``, ``writer-key``) is in its header."""
    raw = key.reveal()
    body = base64.b64encode(raw + _check(kind, raw)).decode()
    return f"twinlock-{kind}-1\n{body}\n"


def decode_key_file(kind: str, data: bytes) -> Secret:
    """Parse a key file of this kind. Raises DataError ``key-file.damaged``."""
    try:
        header, body = data.decode("ascii", "replace").split()
        raw = base64.b64decode(body, validate=True)
    except (ValueError, binascii.Error) as error:
        raise _damaged(kind) from error
    key, check = raw[:KEY_SIZE], raw[KEY_SIZE:]
    if header != f"twinlock-{kind}-1" or len(key) != KEY_SIZE:
        raise _damaged(kind)
    if not equal(check, _check(kind, key)):
        raise _damaged(kind)
    return Secret(key)


def _check(kind: str, raw: bytes) -> bytes:
    return sha256(b"twinlock/v1/key-file/" + kind.encode(), raw)[:_CHECK_SIZE]


def _damaged(kind: str) -> DataError:
    return DataError(
        "key-file.damaged",
        f"This file is not a {kind.replace('-', ' ')}, or it was damaged.",
        hint="Restore it from its backup.",
    )
