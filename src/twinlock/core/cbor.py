"""Deterministic CBOR, decoded strictly (RFC 8949 section 4.2.1).

One value has exactly one encoding, so a hash or a signature over bytes is a hash or a signature
over the value. The decoder takes only what Twinlock's formats use: unsigned and negative integers,
byte strings, text, arrays, booleans and null. Maps, tags, floats, indefinite lengths, non-minimal
encodings, trailing bytes, depth over 6 and anything over the caller's size cap are refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import cbor2

from twinlock.errors import DataError

MAX_DEPTH = 6
MAX_SIZE = 1 << 20
"""Default cap in bytes; callers that expect more say so."""

_SCALARS = (bytes, str, int, bool, type(None))


def encode(value: Sequence[Any]) -> bytes:
    """Encode an array deterministically. The value is ours: a wrong type is a bug."""
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, *, max_size: int = MAX_SIZE) -> list[Any]:
    """Decode one array, strictly.

    Raises DataError ``format.too-large`` or ``format.malformed``; memory stays within a small
    multiple of ``max_size``.
    """
    if len(data) > max_size:
        raise DataError(
            "format.too-large",
            f"This message has {len(data)} bytes; at most {max_size} are accepted.",
            hint="Check that it is a Twinlock message and was not concatenated with others.",
        )
    try:
        value = cbor2.loads(
            data, max_depth=MAX_DEPTH, allow_indefinite=False, allow_duplicate_keys=False
        )
        _check_types(value)
        strict = cbor2.dumps(value, canonical=True) == data
    except DataError:
        raise
    except Exception as error:
        raise malformed("it is not valid CBOR") from error
    if not strict:
        raise malformed("it is not deterministic CBOR")
    if not isinstance(value, list):
        raise malformed("its outermost item is not an array")
    return value


def decode_labelled(data: bytes, label: str, length: int, *, max_size: int = MAX_SIZE) -> list[Any]:
    """Decode an array of ``length`` items whose first is ``label``; return it whole.

    Raises like ``decode``, and ``format.version`` when the label is another one: a reader never
    guesses at a version that it does not know.
    """
    value = decode(data, max_size=max_size)
    if not value or value[0] != label:
        raise DataError(
            "format.version",
            f"This is not a {label} message.",
            hint="It may come from a newer version of Twinlock, or be another kind of file.",
        )
    if len(value) != length:
        raise malformed(f"a {label} message has {length} items")
    return value


def take_bytes(value: Any, size: int | None = None) -> bytes:
    """Return ``value`` if it is bytes (``size`` of them), else raise ``format.malformed``."""
    if not isinstance(value, bytes) or (size is not None and len(value) != size):
        raise malformed("a byte string of the right length is missing")
    return value


def take_text(value: Any) -> str:
    """Return ``value`` if it is NFC text, else raise ``format.malformed``."""
    if not isinstance(value, str) or not unicodedata.is_normalized("NFC", value):
        raise malformed("a text in Unicode normalization form C is missing")
    return value


def take_uint(value: Any, maximum: int = 2**63 - 1) -> int:
    """Return ``value`` if it is an integer in 0..``maximum``, else raise ``format.malformed``."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
        raise malformed("a number in range is missing")
    return value


def take_list(value: Any, minimum: int = 0, maximum: int = 100_000) -> list[Any]:
    """Return ``value`` if it is an array of ``minimum`` to ``maximum`` items."""
    if not isinstance(value, list) or not minimum <= len(value) <= maximum:
        raise malformed("an array of the right length is missing")
    return value


def _check_types(value: Any) -> None:
    if type(value) is list:
        for item in value:
            _check_types(item)
    elif type(value) not in _SCALARS:
        raise malformed("it holds a type that these formats do not use")


def malformed(why: str) -> DataError:
    """Return the one error for bytes that no decoder here accepts; `why` completes the sentence."""
    return DataError(
        "format.malformed",
        f"This message is damaged or foreign: {why}.",
        hint="Fetch it again; if it stays so, restore it from a copy.",
    )
