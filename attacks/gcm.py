"""One AES-GCM ciphertext that two keys accept (Dodis, Grubbs, Ristenpart, Woodage 2018, section 3).

The tag is linear in every ciphertext block, so one block is left free and solved for.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_R: Final = 0xE1000000000000000000000000000000
_BLOCK: Final = 16


def _times(x: int, y: int) -> int:
    """Multiply in GF(2^128) (NIST SP 800-38D section 6.3)."""
    z, v = 0, y
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            z ^= v
        v = (v >> 1) ^ _R if v & 1 else v >> 1
    return z


def _power(x: int, exponent: int) -> int:
    result = 1 << 127
    while exponent:
        if exponent & 1:
            result = _times(result, x)
        x, exponent = _times(x, x), exponent >> 1
    return result


def _encrypt(key: bytes, block: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()


class _Ghash:
    """GHASH and the tag's mask of one key and nonce."""

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self.h = int.from_bytes(_encrypt(key, bytes(_BLOCK)), "big")
        self.mask = int.from_bytes(_encrypt(key, nonce + b"\0\0\0\1"), "big")

    def tag(self, aad: bytes, ciphertext: bytes) -> int:
        """Return the tag of ``aad`` and ``ciphertext`` as a number."""
        data = _padded(aad) + _padded(ciphertext) + _lengths(aad, ciphertext)
        y = 0
        for at in range(0, len(data), _BLOCK):
            y = _times(y ^ int.from_bytes(data[at : at + _BLOCK], "big"), self.h)
        return y ^ self.mask


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)


def _lengths(aad: bytes, ciphertext: bytes) -> bytes:
    return (len(aad) * 8).to_bytes(8, "big") + (len(ciphertext) * 8).to_bytes(8, "big")


def collide(
    keys: tuple[bytes, bytes], nonce: bytes, aad: bytes, *, blocks: int, start: bytes = b""
) -> bytes:
    """Return ciphertext || tag of so many blocks that is authentic under both keys.

    ``start`` is what the ciphertext begins with, up to its last block.
    """
    one, two = (_Ghash(key, nonce) for key in keys)
    content = bytearray(os.urandom(blocks * _BLOCK))
    content[: len(start)] = start
    content[-_BLOCK:] = bytes(_BLOCK)
    # The last block is multiplied by H^2: once for itself, once for the block of lengths.
    difference = one.tag(aad, bytes(content)) ^ two.tag(aad, bytes(content))
    factor = _times(one.h, one.h) ^ _times(two.h, two.h)
    free = _times(difference, _power(factor, 2**128 - 2))
    content[-_BLOCK:] = free.to_bytes(_BLOCK, "big")
    return bytes(content) + one.tag(aad, bytes(content)).to_bytes(_BLOCK, "big")


def unauthenticated(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """Decrypt AES-GCM without looking at the tag: what a build without authentication does."""
    counter = modes.CTR(nonce + b"\0\0\0\2")
    decryptor = Cipher(algorithms.AES(key), counter).decryptor()
    return decryptor.update(ciphertext[:-16]) + decryptor.finalize()
