"""SubjectPublicKeyInfo from the attributes of a public key object (RFC 5280, 8017, 5480).

The token gives numbers; what is pinned is DER. So the DER is built from the numbers and compared
whole, and nothing that came from a row is parsed here.
"""

from __future__ import annotations

from typing import Final

_RSA_ALGORITHM: Final = bytes.fromhex("300d06092a864886f70d0101010500")
_P256_PREFIX: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_POINT_SIZE: Final = 65


def rsa_spki(modulus: bytes, exponent: bytes) -> bytes:
    """DER SubjectPublicKeyInfo of an RSA key; both numbers unsigned, big-endian."""
    numbers = _der(0x30, _integer(modulus) + _integer(exponent))
    return _der(0x30, _RSA_ALGORITHM + _der(0x03, b"\x00" + numbers))


def p256_spki(ec_point: bytes) -> bytes | None:
    """DER SubjectPublicKeyInfo from CKA_EC_POINT: a DER OCTET STRING, or (some tokens) the point.

    None if it is not an uncompressed point of 65 bytes.
    """
    # By length: of 256 bare points one begins like an OCTET STRING, 04 and then 41 as its x.
    is_der = len(ec_point) == 2 + _POINT_SIZE and ec_point[:2] == bytes([0x04, _POINT_SIZE])
    point = ec_point[2:] if is_der else ec_point
    if len(point) != _POINT_SIZE or point[0] != 4:
        return None
    return _P256_PREFIX + point


def _integer(value: bytes) -> bytes:
    digits = value.lstrip(b"\x00") or b"\x00"
    return _der(0x02, b"\x00" + digits if digits[0] & 0x80 else digits)


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content
