"""Deterministic CBOR, decoded strictly (RFC 8949 section 4.2.1).

One value has exactly one encoding, so a hash or a signature over bytes is a hash or a signature
over the value. The decoder takes only what Twinlock's formats use: integers of 64 bits, byte
strings, text, arrays, booleans and null. Maps, tags, floats, indefinite lengths, non-minimal
encodings, trailing bytes, depth over 6 and anything over the caller's size cap are refused.

The decoder is our own, because a general one computes what a tag says before anybody can refuse
it: a decimal fraction over a large number keeps it busy for minutes (docs/spec.md, R-CBOR-3).
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

_FREE_ITEMS = 1 << 16
_BYTES_PER_ITEM = 16
_SIMPLE = {20: False, 21: True, 22: None}
_SMALLEST = {1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}
"""The least argument that needs so many bytes; a smaller one is not minimal."""


def encode(value: Sequence[Any]) -> bytes:
    """Encode an array deterministically. The value is ours: a wrong type is a bug."""
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, *, max_size: int = MAX_SIZE) -> list[Any]:
    """Decode one array, strictly.

    Raises DataError ``format.too-large`` or ``format.malformed``. Memory stays within a small
    multiple of the message: beyond 65,536 items there is at most one per 16 bytes.
    """
    if len(data) > max_size:
        raise DataError(
            "format.too-large",
            f"This message has {len(data)} bytes; at most {max_size} are accepted.",
            hint="Check that it is a Twinlock message and was not concatenated with others.",
        )
    reader = _Reader(data)
    value = reader.item(0)
    if reader.at != len(data):
        raise malformed("something follows after its end")
    if not isinstance(value, list):
        raise malformed("its outermost item is not an array")
    return value


class _Reader:
    """Reads one item after another; ``at`` is the offset of the next."""

    __slots__ = ("_data", "_items_left", "at")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._items_left = max(_FREE_ITEMS, len(data) // _BYTES_PER_ITEM)
        self.at = 0

    def item(self, depth: int) -> Any:
        """Read one item inside ``depth`` arrays."""
        if self.at >= len(self._data):
            raise _too_short()
        initial = self._data[self.at]
        self.at += 1
        major, argument = initial >> 5, initial & 31
        if argument >= 24:
            argument = self._long_argument(major, argument)
        if major == 2:
            return self._take(argument)
        if major == 4:
            return self._array(argument, depth + 1)
        if major == 0:
            return argument
        if major == 3:
            return self._text(argument)
        if major == 1:
            return -1 - argument
        if major == 7 and argument in _SIMPLE:
            return _SIMPLE[argument]
        raise malformed("it holds a type that these formats do not use")

    def _long_argument(self, major: int, low_bits: int) -> int:
        if low_bits > 27 or major == 7:
            raise malformed("it has an indefinite length, a float or a reserved byte")
        size = 1 << (low_bits - 24)
        argument = int.from_bytes(self._take(size), "big")
        if argument < _SMALLEST[size]:
            raise malformed("it is not deterministic CBOR")
        return argument

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._data):
            raise _too_short()
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as error:
            raise malformed("its text is not UTF-8") from error

    def _array(self, length: int, depth: int) -> list[Any]:
        if depth > MAX_DEPTH:
            raise malformed("its arrays are nested too deeply")
        if length > self._items_left:
            raise malformed("it has too many items for its size")
        self._items_left -= length
        return [self.item(depth) for _ in range(length)]


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


def malformed(why: str) -> DataError:
    """Return the one error for bytes that no decoder here accepts; `why` completes the sentence."""
    return DataError(
        "format.malformed",
        f"This message is damaged or foreign: {why}.",
        hint="Fetch it again; if it stays so, restore it from a copy.",
    )


def _too_short() -> DataError:
    return malformed("it ends too early")
