"""PKCS#11's C structures, and templates built once and used for every record.

No ``pkcs11`` import. A structure that points to others keeps them alive.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from twinlock.token.ck import (
    CKD_NULL,
    CKG_MGF1_SHA1,
    CKG_MGF1_SHA256,
    CKZ_DATA_SPECIFIED,
    Ckm,
)

CK_ULONG = ctypes.c_ulong

Attributes: TypeAlias = Mapping[int, "bool | int | bytes | Sequence[int] | Attributes"]
"""A template as data: attribute number -> value; a list holds mechanisms, a mapping a template.

The order counts: SoftHSM 2.6.1 refuses whatever follows CKA_MODIFIABLE = false.
"""


class CkAttribute(ctypes.Structure):
    """CK_ATTRIBUTE."""

    _fields_ = (("type", CK_ULONG), ("value", ctypes.c_void_p), ("length", CK_ULONG))


class CkMechanism(ctypes.Structure):
    """CK_MECHANISM."""

    _fields_ = (("mechanism", CK_ULONG), ("parameter", ctypes.c_void_p), ("length", CK_ULONG))


class CkOaepParams(ctypes.Structure):
    """CK_RSA_PKCS_OAEP_PARAMS."""

    _fields_ = (
        ("hash", CK_ULONG),
        ("mgf", CK_ULONG),
        ("source", CK_ULONG),
        ("label", ctypes.c_void_p),
        ("label_length", CK_ULONG),
    )


class CkGcmParams(ctypes.Structure):
    """CK_GCM_PARAMS with ulIvBits, as in the header files that tokens were built with."""

    _fields_ = (
        ("iv", ctypes.c_char_p),
        ("iv_length", CK_ULONG),
        ("iv_bits", CK_ULONG),
        ("aad", ctypes.c_char_p),
        ("aad_length", CK_ULONG),
        ("tag_bits", CK_ULONG),
    )


class CkEcdh1Params(ctypes.Structure):
    """CK_ECDH1_DERIVE_PARAMS."""

    _fields_ = (
        ("kdf", CK_ULONG),
        ("shared_length", CK_ULONG),
        ("shared", ctypes.c_void_p),
        ("public_length", CK_ULONG),
        ("public", ctypes.c_void_p),
    )


class CkInitializeArgs(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS."""

    _fields_ = (
        ("create_mutex", ctypes.c_void_p),
        ("destroy_mutex", ctypes.c_void_p),
        ("lock_mutex", ctypes.c_void_p),
        ("unlock_mutex", ctypes.c_void_p),
        ("flags", CK_ULONG),
        ("reserved", ctypes.c_void_p),
    )


class Template:
    """A CK_ATTRIBUTE array in C memory. Immutable; may be used by all threads at once."""

    __slots__ = ("_alive", "_array", "address", "count")

    def __init__(self, attributes: Attributes) -> None:
        self.count = len(attributes)
        self._array = (CkAttribute * self.count)()
        self._alive: list[object] = []
        for position, (kind, value) in enumerate(attributes.items()):
            address, length = self._place(value)
            self._array[position] = CkAttribute(kind, address, length)
        self.address = ctypes.addressof(self._array)

    def _place(self, value: bool | int | bytes | Sequence[int] | Attributes) -> tuple[int, int]:
        if isinstance(value, Mapping):
            nested = Template(value)
            self._alive.append(nested)
            return nested.address, nested.count * ctypes.sizeof(CkAttribute)
        memory: ctypes.Array[ctypes.c_char] | ctypes.Array[ctypes.c_ulong] | ctypes.c_ubyte
        if isinstance(value, bool):
            memory = ctypes.c_ubyte(value)
        elif isinstance(value, bytes):
            memory = ctypes.create_string_buffer(value, len(value))
        elif isinstance(value, int):
            memory = (CK_ULONG * 1)(value)
        else:
            memory = (CK_ULONG * len(value))(*value)
        self._alive.append(memory)
        return ctypes.addressof(memory), ctypes.sizeof(memory)

    def packed(self) -> bytes:
        """The array's own bytes, for a binding that copies them; keep this object alive then."""
        return bytes(self._array)


class FixedMechanism:
    """A mechanism whose parameter never changes. Immutable; may be used by all threads at once."""

    __slots__ = ("_mechanism", "_parameter", "_pointed_at", "address")

    def __init__(
        self,
        mechanism: Ckm,
        parameter: ctypes.Structure | None = None,
        pointed_at: object = None,
    ) -> None:
        self._parameter = parameter
        self._pointed_at = pointed_at
        self._mechanism = CkMechanism(mechanism, None, 0)
        if parameter is not None:
            self._mechanism.parameter = ctypes.addressof(parameter)
            self._mechanism.length = ctypes.sizeof(parameter)
        self.address = ctypes.addressof(self._mechanism)


AES_KEY_WRAP: Final = FixedMechanism(Ckm.AES_KEY_WRAP)
AES_KEY_GEN: Final = FixedMechanism(Ckm.AES_KEY_GEN)
ECDSA: Final = FixedMechanism(Ckm.ECDSA)
_OAEP_HASHES: Final = {"sha1": Ckm.SHA_1, "sha256": Ckm.SHA256}
_MGFS: Final = {"sha1": CKG_MGF1_SHA1, "sha256": CKG_MGF1_SHA256}


def rsa_oaep(oaep_hash: str, mgf_hash: str, label: bytes = b"") -> FixedMechanism:
    """RSA-OAEP with these hashes, ``"sha1"`` or ``"sha256"`` each."""
    memory = ctypes.create_string_buffer(label, len(label)) if label else None
    at = None if memory is None else ctypes.addressof(memory)
    parameter = CkOaepParams(
        _OAEP_HASHES[oaep_hash], _MGFS[mgf_hash], CKZ_DATA_SPECIFIED, at, len(label)
    )
    return FixedMechanism(Ckm.RSA_PKCS_OAEP, parameter, memory)


def ecdh1(point: bytes) -> FixedMechanism:
    """ECDH1 with the other side's point, uncompressed, without a KDF: the x-coordinate itself."""
    memory = ctypes.create_string_buffer(point, len(point))
    parameter = CkEcdh1Params(CKD_NULL, 0, None, len(point), ctypes.addressof(memory))
    return FixedMechanism(Ckm.ECDH1_DERIVE, parameter, memory)


RSA_OAEP: Final = {name: rsa_oaep(name, name) for name in _OAEP_HASHES}
"""Empty label; the same hash for OAEP and MGF1."""
