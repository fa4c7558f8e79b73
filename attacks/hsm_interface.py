"""The HSM interface with PIN as an attacker uses it: any call, any mechanism, any template.

Every call answers None where the token refuses, so that an attack can go on to the next.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import addressof, byref, sizeof
from typing import TYPE_CHECKING, Any, Final

from twinlock.server import setup
from twinlock.token.ck import CKG_MGF1_SHA1, CKG_MGF1_SHA256, Cka, Ckm
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.structures import (
    CK_ULONG,
    Attributes,
    CkAttribute,
    CkGcmParams,
    CkMechanism,
    CkOaepParams,
    Template,
)

if TYPE_CHECKING:
    from attacks.world import World

AES_CTR: Final = 0x1086
AES_CBC: Final = 0x1082
AES_KEY_WRAP_PAD: Final = 0x210A
ECB_ENCRYPT_DATA: Final = 0x1104
CBC_ENCRYPT_DATA: Final = 0x1105
ECDH1_DERIVE: Final = 0x1050
RSA_PSS: Final = 0x000D
_IV_SIZES: Final = {0x0122: 8, 0x0125: 8, 0x0133: 8, 0x0136: 8, 0x1082: 16, 0x1085: 16}
"""CBC and CBC_PAD of DES, DES3 and AES."""
_BUFFER: Final = 1 << 16

Parameter = ctypes.Structure | ctypes.Array[ctypes.c_char] | None


class _CtrParams(ctypes.Structure):
    _fields_ = (("bits", CK_ULONG), ("block", ctypes.c_ubyte * 16))


class _PssParams(ctypes.Structure):
    _fields_ = (("hash", CK_ULONG), ("mgf", CK_ULONG), ("salt", CK_ULONG))


class _StringParams(ctypes.Structure):
    _fields_ = (("data", ctypes.c_char_p), ("length", CK_ULONG))


class _CbcDataParams(ctypes.Structure):
    _fields_ = (("iv", ctypes.c_ubyte * 16), ("data", ctypes.c_char_p), ("length", CK_ULONG))


class _EcdhParams(ctypes.Structure):
    _fields_ = (
        ("kdf", CK_ULONG),
        ("shared_length", CK_ULONG),
        ("shared", ctypes.c_char_p),
        ("public_length", CK_ULONG),
        ("public", ctypes.c_char_p),
    )


def oaep(sha256: bool = False) -> CkOaepParams:
    """RSA-OAEP with one hash for OAEP and MGF1, empty label."""
    if sha256:
        return CkOaepParams(Ckm.SHA256, CKG_MGF1_SHA256, 1, None, 0)
    return CkOaepParams(Ckm.SHA_1, CKG_MGF1_SHA1, 1, None, 0)


def gcm(nonce: bytes, aad: bytes) -> CkGcmParams:
    """AES-GCM; ``aad`` is not empty, as SoftHSM can crash without."""
    return CkGcmParams(nonce, len(nonce), 8 * len(nonce), aad, len(aad), 128)


def encrypt_data(data: bytes) -> ctypes.Structure:
    """CKM_AES_ECB_ENCRYPT_DATA: the derived key is the encryption of ``data``."""
    return _StringParams(data, len(data))


def ecdh(point: bytes) -> ctypes.Structure:
    """CKM_ECDH1_DERIVE with CKD_NULL: the derived key is the product's x-coordinate."""
    return _EcdhParams(1, 0, None, len(point), point)


def parameters(mechanism: int, data: bytes, nonce: bytes, aad: bytes) -> list[Parameter]:
    """Every parameter worth trying with a mechanism, for data that belong to nonce and aad."""
    point = b"\x04" + bytes(64)
    found: dict[int, list[Parameter]] = {
        Ckm.RSA_PKCS_OAEP: [oaep(), oaep(sha256=True)],
        Ckm.AES_GCM: [gcm(nonce, aad), gcm(data[:12].ljust(12, b"\0"), aad)],
        AES_CTR: [_CtrParams(32, (ctypes.c_ubyte * 16)(*nonce, 0, 0, 0, 2))],
        RSA_PSS: [_PssParams(Ckm.SHA256, CKG_MGF1_SHA256, 32)],
        ECB_ENCRYPT_DATA: [encrypt_data(data[:32])],
        CBC_ENCRYPT_DATA: [_CbcDataParams((ctypes.c_ubyte * 16)(), data[:32], 32)],
        ECDH1_DERIVE: [ecdh(point)],
    }
    if mechanism in _IV_SIZES:
        return [ctypes.create_string_buffer(bytes(_IV_SIZES[mechanism]), _IV_SIZES[mechanism])]
    return found.get(mechanism, [None])


class Interface:
    """One session of a logged-in user. The objects that it makes die with it."""

    def __init__(self, library: ctypes.CDLL, slot: int, session: int) -> None:
        self._library = library
        self._slot = slot
        self.session = session
        self._buffer = ctypes.create_string_buffer(_BUFFER)
        self._length = CK_ULONG()

    def mechanisms(self) -> list[int]:
        """C_GetMechanismList."""
        count = CK_ULONG()
        self._library.C_GetMechanismList(CK_ULONG(self._slot), None, byref(count))
        found = (CK_ULONG * count.value)()
        self._library.C_GetMechanismList(CK_ULONG(self._slot), found, byref(count))
        return list(found)

    def objects(self, attributes: Attributes) -> list[int]:
        """Handles of all objects with these attributes."""
        template = Template(attributes)
        if not self._did("FindObjectsInit", _at(template.address), CK_ULONG(template.count)):
            return []
        found, count, handles = [], CK_ULONG(), (CK_ULONG * 64)()
        while self._did("FindObjects", handles, CK_ULONG(64), byref(count)) and count.value:
            found += handles[: count.value]
        self._did("FindObjectsFinal")
        return found

    def attribute(self, key: int, kind: int) -> bytes | None:
        """C_GetAttributeValue of one attribute."""
        wanted = CkAttribute(kind, addressof(self._buffer), _BUFFER)
        if not self._did("GetAttributeValue", CK_ULONG(key), byref(wanted), CK_ULONG(1)):
            return None
        return self._buffer.raw[: wanted.length] if wanted.length <= _BUFFER else None

    def set(self, key: int, attributes: Attributes) -> bool:
        """C_SetAttributeValue; True when the token answered OK."""
        template = Template(attributes)
        return self._did(
            "SetAttributeValue", CK_ULONG(key), _at(template.address), CK_ULONG(template.count)
        )

    def destroy(self, key: int) -> bool:
        """C_DestroyObject."""
        return self._did("DestroyObject", CK_ULONG(key))

    def create(self, attributes: Attributes) -> int | None:
        """C_CreateObject."""
        return self._made("CreateObject", (), attributes)

    def copy(self, key: int, attributes: Attributes) -> int | None:
        """C_CopyObject."""
        return self._made("CopyObject", (CK_ULONG(key),), attributes)

    def generate(self, mechanism: int, attributes: Attributes) -> int | None:
        """C_GenerateKey."""
        return self._made("GenerateKey", (byref(CkMechanism(mechanism, None, 0)),), attributes)

    def derive(
        self, mechanism: int, parameter: Parameter, key: int, attributes: Attributes
    ) -> int | None:
        """C_DeriveKey."""
        how = (byref(_mechanism(mechanism, parameter)), CK_ULONG(key))
        return self._made("DeriveKey", how, attributes)

    def unwrap(
        self, mechanism: int, parameter: Parameter, key: int, wrapped: bytes, into: Attributes
    ) -> int | None:
        """C_UnwrapKey."""
        how = (byref(_mechanism(mechanism, parameter)), CK_ULONG(key))
        return self._made("UnwrapKey", (*how, wrapped, CK_ULONG(len(wrapped))), into)

    def wrap(
        self, mechanism: int, parameter: Parameter, wrapping_key: int, key: int
    ) -> bytes | None:
        """C_WrapKey."""
        how = byref(_mechanism(mechanism, parameter))
        return self._answer("WrapKey", how, CK_ULONG(wrapping_key), CK_ULONG(key))

    def decrypt(self, mechanism: int, parameter: Parameter, key: int, data: bytes) -> bytes | None:
        """C_DecryptInit and C_Decrypt."""
        return self._run("Decrypt", mechanism, parameter, key, data)

    def encrypt(self, mechanism: int, parameter: Parameter, key: int, data: bytes) -> bytes | None:
        """C_EncryptInit and C_Encrypt."""
        return self._run("Encrypt", mechanism, parameter, key, data)

    def sign(self, mechanism: int, parameter: Parameter, key: int, data: bytes) -> bytes | None:
        """C_SignInit and C_Sign."""
        return self._run("Sign", mechanism, parameter, key, data)

    def begins(self, name: str, mechanism: int, parameter: Parameter, key: int) -> bool:
        """Tell whether ``C_<name>Init`` takes the key with the mechanism; ends what it began."""
        how = byref(_mechanism(mechanism, parameter))
        begun = self._did(f"{name}Init", how, CK_ULONG(key))
        if begun:
            self._answer(name, bytes(1), CK_ULONG(1))
        return begun

    def _run(
        self, name: str, mechanism: int, parameter: Parameter, key: int, data: bytes
    ) -> bytes | None:
        how = byref(_mechanism(mechanism, parameter))
        if not self._did(f"{name}Init", how, CK_ULONG(key)):
            return None
        return self._answer(name, data, CK_ULONG(len(data)))

    def _answer(self, name: str, *arguments: Any) -> bytes | None:
        self._length.value = _BUFFER
        if not self._did(name, *arguments, self._buffer, byref(self._length)):
            return None
        return self._buffer.raw[: self._length.value]

    def _made(self, name: str, how: tuple[Any, ...], attributes: Attributes) -> int | None:
        template, handle = Template(attributes), CK_ULONG()
        arguments = (*how, _at(template.address), CK_ULONG(template.count), byref(handle))
        return handle.value if self._did(name, *arguments) else None

    def _did(self, name: str, *arguments: Any) -> bool:
        call: Callable[..., int] = getattr(self._library, f"C_{name}")
        return call(CK_ULONG(self.session), *arguments) == 0


def _at(address: int) -> ctypes.c_void_p:
    return ctypes.c_void_p(address)


def _mechanism(mechanism: int, parameter: Parameter) -> CkMechanism:
    if parameter is None:
        return CkMechanism(mechanism, None, 0)
    made = CkMechanism(mechanism, addressof(parameter), sizeof(parameter))
    made.keep = parameter
    return made


@contextmanager
def interface(world: World) -> Iterator[Interface]:
    """Log in with the PIN, in a session of one's own. Loads and checks no keys."""
    token = setup.connect_token(world.config)
    if not isinstance(token, Pkcs11Token):
        raise TypeError("attacks on the HSM interface need a token behind PKCS#11")
    functions = token.module.functions
    session = functions.open_session(token.info.slot)
    try:
        yield Interface(ctypes.CDLL(token.module.path), token.info.slot, session)
    finally:
        functions.close_session(session)
        token.close()


def live_token(world: World) -> Pkcs11Token:
    """The honest server's own token connection, for whoever took over its process."""
    token = world.vault.token
    if not isinstance(token, Pkcs11Token):
        raise TypeError("attacks on the HSM interface need a token behind PKCS#11")
    return token


def by_id(api: Interface, kid: bytes) -> list[int]:
    """Handles of the private or secret keys with a CKA_ID."""
    found = api.objects({Cka.ID: kid})
    return [key for key in found if api.attribute(key, Cka.SENSITIVE) is not None]
