"""Printed codes read by a second implementation, from docs/spec.md alone."""

from __future__ import annotations

import hashlib
import math
from functools import partial

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def times(left: int, right: int) -> int:
    """In GF(32), by the schoolbook."""
    product = 0
    for bit in range(5):
        product ^= (left << bit) * (right >> bit & 1)
    for bit in (8, 7, 6, 5):
        product ^= (0b100101 << bit - 5) * (product >> bit & 1)
    return product


def plainly_read(text: str, *, groups: int, size: int, label: bytes) -> bytes | None:
    """The ``size`` bytes that a text of so many groups stands for; None where it is not as printed.

    What is left of the groups' bits are the first ones of SHA-256(label || bytes).
    """
    typed = [c for c in text if not c.isspace() and c not in "-\u2013_."]
    read = ["0" if c in "oO" else "1" if c in "iIlL" else c.upper() for c in typed]
    if len(read) != 5 * groups or any(c not in ALPHABET for c in read):
        return None
    digits = [ALPHABET.index(c) for c in read]
    bits = ""
    for number in range(groups):
        *data, check = digits[5 * number : 5 * number + 5]
        total = check
        for power, digit in enumerate(data, 1):
            total ^= times(digit, math.prod([2] * power))
        if total != number + 1:
            return None
        bits += "".join(f"{digit:05b}" for digit in data)
    secret = int(bits[: 8 * size], 2).to_bytes(size, "big")
    digest = int.from_bytes(hashlib.sha256(label + secret).digest(), "big")
    check_bits = bits[8 * size :]
    return secret if f"{digest:0256b}".startswith(check_bits) else None


plain_device_key = partial(plainly_read, groups=14, size=32, label=b"twinlock/v1/device-key-print")
plain_recovery_code = partial(plainly_read, groups=7, size=16, label=b"twinlock/v1/recovery-check")
