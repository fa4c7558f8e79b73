"""CBOR as authenticators write it (CTAP 2.1, 8), checked before a general decoder sees it.

A general decoder follows what tags say: by shared references a message of 300 bytes stands for
more values than memory holds, and who sends it has signed nothing yet (SPEC 29, R-PASSKEY-8).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twinlock.core import cbor

_MAX_DEPTH: Final = 4
_SIMPLE: Final = {20: False, 21: True, 22: None}
_HEAD: Final = 37
"""rp_id hash, flags and count before what else there is (WebAuthn Level 3, 6.1)."""
_ATTESTED, _EXTENDED = 0x40, 0x80
_AAGUID: Final = 16


def check_authenticator_data(data: bytes) -> None:
    """Check the CBOR in authenticator data. Raises DataError ``format.malformed``."""
    at = _HEAD
    if len(data) < at:
        raise cbor.malformed("authenticator data has at least 37 bytes")
    if data[32] & _ATTESTED:
        at += _AAGUID
        at += 2 + int.from_bytes(_slice(data, at, 2), "big")
        _, at = _item(data, at, 0)
    if data[32] & _EXTENDED:
        _, at = _item(data, at, 0)
    if at != len(data):
        raise cbor.malformed("something follows the authenticator data")


def read_attestation(raw: bytes) -> Mapping[str, Any]:
    """Read an attestation object and check it with the authenticator data that it holds.

    Raises DataError ``format.malformed``.
    """
    found, end = _item(raw, 0, 0)
    if end != len(raw) or not isinstance(found, dict):
        raise cbor.malformed("an attestation object is one map")
    check_authenticator_data(cbor.take_bytes(found.get("authData")))
    return found


def _item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    """Read one item; returns it and where the next one begins."""
    if depth > _MAX_DEPTH:
        raise cbor.malformed("its values are nested too deeply")
    major, argument = _slice(data, at, 1)[0] >> 5, data[at] & 31
    at += 1
    if major == 7:
        if argument not in _SIMPLE:
            raise cbor.malformed("it holds a type that authenticators do not use")
        return _SIMPLE[argument], at
    if argument >= 24:
        if argument > 27:
            raise cbor.malformed("it has an indefinite length or a reserved byte")
        size = 1 << (argument - 24)
        argument, at = int.from_bytes(_slice(data, at, size), "big"), at + size
    if major < 2:
        return (-1 - argument if major else argument), at
    if major < 4:
        raw = _slice(data, at, argument)
        return (raw if major == 2 else _text(raw)), at + argument
    if major == 6:
        raise cbor.malformed("it holds a tag")
    return _several(data, at, argument, depth + 1, is_map=major == 5)


def _several(data: bytes, at: int, count: int, depth: int, *, is_map: bool) -> tuple[Any, int]:
    """Read an array, or a map whose keys are numbers and texts, each once."""
    # Every item takes a byte at least, so that a claimed count is bounded by the message.
    items: list[Any] = []
    for _ in range(2 * count if is_map else count):
        found, at = _item(data, at, depth)
        items.append(found)
    if not is_map:
        return items, at
    keys = items[::2]
    if not all(type(key) in (int, str) for key in keys) or len(set(keys)) != len(keys):
        raise cbor.malformed("a map's keys are numbers or texts, each once")
    return dict(zip(keys, items[1::2], strict=True)), at


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise cbor.malformed("its text is not UTF-8") from error


def _slice(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise cbor.malformed("it ends before its time")
    return data[at : at + size]
