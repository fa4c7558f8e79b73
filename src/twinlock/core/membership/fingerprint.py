"""Fingerprints for people: 40 digits in 8 groups of 5, to compare by phone.

The digits are SHA-256 of the labelled value as a big-endian number, modulo 10^40. 133 bits remain:
too many to make another value with the same digits (2^133), or two such values (2^66).
"""

from __future__ import annotations

from typing import Final

from twinlock.core import cbor, primitives
from twinlock.core.membership.pins import PinnedHead

_LABEL: Final = "twinlock/v1/fingerprint"
_GROUPS: Final = 8
_DIGITS: Final = 5


def log_fingerprint(pin: PinnedHead) -> str:
    """Return the fingerprint of a group's whole history up to ``pin.seq``.

    Two people compare it at the same seq; it covers members, keys, policy and writers.
    """
    return _digits(cbor.encode([_LABEL, "log", pin.group_id, pin.seq, pin.head]))


def key_fingerprint(public: bytes) -> str:
    """Return the fingerprint of a public key (a member's signing or KEM key, an SPKI)."""
    return _digits(cbor.encode([_LABEL, "key", public]))


def _digits(labelled: bytes) -> str:
    length = _GROUPS * _DIGITS
    number = int.from_bytes(primitives.sha256(labelled), "big") % 10**length
    digits = f"{number:0{length}d}"
    return " ".join(digits[at : at + _DIGITS] for at in range(0, length, _DIGITS))
