"""What the decoders of the membership formats share."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twinlock.core import cbor
from twinlock.core.primitives import Kem
from twinlock.errors import CallerError

ID_SIZE = 16
HASH_SIZE = 32
SIGNATURE_SIZE = 64
MAX_NAME = 200
MAX_ADMINS = 1024


@contextmanager
def decoding() -> Iterator[None]:
    """Turn what a constructor refuses into ``format.malformed``: the bytes are not the caller's."""
    try:
        yield
    except CallerError as error:
        raise cbor.malformed("a value in it is out of range") from error


def take_bool(value: Any) -> bool:
    """Return ``value`` if it is a boolean, else raise ``format.malformed``."""
    if not isinstance(value, bool):
        raise cbor.malformed("a boolean is missing")
    return value


def take_kem(value: Any) -> Kem:
    """Return the KEM with this number, else raise ``format.malformed``."""
    number = cbor.take_uint(value)
    if number not in list(Kem):
        raise cbor.malformed("it names an unknown KEM")
    return Kem(number)


def take_items(value: Any, length: int) -> list[Any]:
    """Return ``value`` if it is an array of ``length`` items, else raise ``format.malformed``."""
    return cbor.take_list(value, length, length)


def require_name(value: str) -> None:
    """Check a name that people will read.

    NFC, 1 to 200 characters, printable (no control or direction characters that could make one
    name look like another), no space at either end. Raises CallerError ``member.name``.
    """
    plain = value.isprintable() and value == value.strip()
    if not plain or not 1 <= len(value) <= MAX_NAME or not unicodedata.is_normalized("NFC", value):
        raise CallerError(
            "member.name",
            f"A name has 1 to {MAX_NAME} printable characters in Unicode normalization form C.",
            hint="Remove control characters and spaces at the ends, and normalize it.",
        )


def require_size(what: str, value: bytes, size: int) -> None:
    """Check the length of a fixed-size value. Raises CallerError ``log.size``."""
    if len(value) != size:
        raise CallerError(
            "log.size",
            f"The {what} has {len(value)} bytes instead of {size}.",
            hint="Pass it as raw bytes, not as hex or base64 text.",
        )


def require_count(what: str, count: int, minimum: int, maximum: int) -> None:
    """Check how many there are of something. Raises CallerError ``log.count``."""
    if not minimum <= count <= maximum:
        raise CallerError(
            "log.count",
            f"There are {count} {what}; there can be {minimum} to {maximum}.",
            hint="Split the change, or make the group smaller.",
        )
