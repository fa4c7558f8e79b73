"""Direct calls of a PKCS#11 function list: what runs for every record, and nothing else.

docs/adr/0003 says why: a record costs seven calls this way. The functions release the GIL. A
``SessionCalls`` belongs to one session and is used by one thread at a time; its buffers are made
once. Every call that is not answered CKR_OK raises ``CallError``.
"""

from __future__ import annotations

import ctypes
from ctypes import addressof, sizeof, string_at
from typing import Any, Final

from twinlock.token.ck import (
    CK_UNAVAILABLE,
    CKF_OS_LOCKING_OK,
    CKF_RW_SERIAL,
    CKU_USER,
    Ckm,
    Ckr,
)
from twinlock.token.returns import CallError
from twinlock.token.structures import (
    CK_ULONG,
    CkAttribute,
    CkGcmParams,
    CkInitializeArgs,
    CkMechanism,
    FixedMechanism,
    Template,
)

_BUFFER_SIZE: Final = 8192
_TAG_SIZE: Final = 16

_POINTER = ctypes.c_void_p
_FUNCTIONS: Final = """
Initialize Finalize GetInfo GetFunctionList GetSlotList GetSlotInfo GetTokenInfo
GetMechanismList GetMechanismInfo InitToken InitPIN SetPIN OpenSession CloseSession
CloseAllSessions GetSessionInfo GetOperationState SetOperationState Login Logout CreateObject
CopyObject DestroyObject GetObjectSize GetAttributeValue SetAttributeValue FindObjectsInit
FindObjects FindObjectsFinal EncryptInit Encrypt EncryptUpdate EncryptFinal DecryptInit Decrypt
DecryptUpdate DecryptFinal DigestInit Digest DigestUpdate DigestKey DigestFinal SignInit Sign
SignUpdate SignFinal SignRecoverInit SignRecover VerifyInit Verify VerifyUpdate VerifyFinal
VerifyRecoverInit VerifyRecover DigestEncryptUpdate DecryptDigestUpdate SignEncryptUpdate
DecryptVerifyUpdate GenerateKey GenerateKeyPair WrapKey UnwrapKey DeriveKey
"""
"""CK_FUNCTION_LIST in order; the pointers begin behind a padded CK_VERSION."""
_POSITION: Final = {name: index for index, name in enumerate(_FUNCTIONS.split())}

_CIPHER = (CK_ULONG, _POINTER, CK_ULONG, _POINTER, _POINTER)
_INIT = (CK_ULONG, _POINTER, CK_ULONG)
_ARGUMENTS: Final = {
    "Initialize": (_POINTER,),
    "Finalize": (_POINTER,),
    "OpenSession": (CK_ULONG, CK_ULONG, _POINTER, _POINTER, _POINTER),
    "CloseSession": (CK_ULONG,),
    "GetSessionInfo": (CK_ULONG, _POINTER),
    "Login": (CK_ULONG, CK_ULONG, _POINTER, CK_ULONG),
    "CreateObject": (CK_ULONG, _POINTER, CK_ULONG, _POINTER),
    "CopyObject": (CK_ULONG, CK_ULONG, _POINTER, CK_ULONG, _POINTER),
    "DestroyObject": (CK_ULONG, CK_ULONG),
    "GetAttributeValue": (CK_ULONG, CK_ULONG, _POINTER, CK_ULONG),
    "SetAttributeValue": (CK_ULONG, CK_ULONG, _POINTER, CK_ULONG),
    "EncryptInit": _INIT,
    "Encrypt": _CIPHER,
    "DecryptInit": _INIT,
    "Decrypt": _CIPHER,
    "SignInit": _INIT,
    "Sign": _CIPHER,
    "GenerateKey": (CK_ULONG, _POINTER, _POINTER, CK_ULONG, _POINTER),
    "WrapKey": (CK_ULONG, _POINTER, CK_ULONG, CK_ULONG, _POINTER, _POINTER),
    "UnwrapKey": (
        *(CK_ULONG, _POINTER, CK_ULONG, _POINTER, CK_ULONG),
        *(_POINTER, CK_ULONG, _POINTER),
    ),
}


class CkSessionInfo(ctypes.Structure):
    """CK_SESSION_INFO."""

    _fields_ = (
        ("slot", CK_ULONG),
        ("state", CK_ULONG),
        ("flags", CK_ULONG),
        ("device_error", CK_ULONG),
    )


_USER_STATES: Final = frozenset({1, 3})
"""CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS."""


class Functions:
    """The function list of one loaded module, callable by the C_ names without their prefix."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        pointer = ctypes.c_void_p()
        get_list = library.C_GetFunctionList
        get_list.argtypes, get_list.restype = (ctypes.c_void_p,), CK_ULONG
        self._check(get_list(ctypes.byref(pointer)), "C_GetFunctionList")
        table = ctypes.cast((pointer.value or 0) + sizeof(_POINTER), ctypes.POINTER(_POINTER))
        self._call: dict[str, Any] = {
            name: ctypes.CFUNCTYPE(CK_ULONG, *arguments)(table[_POSITION[name]] or 0)
            for name, arguments in _ARGUMENTS.items()
        }

    def __getitem__(self, name: str) -> Any:
        """The bare function: takes integers and addresses, returns a CKR number."""
        return self._call[name]

    def initialize(self, reserved: bytes | None) -> None:
        """C_Initialize with CKF_OS_LOCKING_OK; in a forked child, drop the copied state first.

        ``reserved`` is the string some modules (NSS) take as pReserved.
        """
        keep = ctypes.create_string_buffer(reserved) if reserved is not None else None
        arguments = CkInitializeArgs(
            flags=CKF_OS_LOCKING_OK, reserved=addressof(keep) if keep is not None else None
        )
        value = self._call["Initialize"](addressof(arguments))
        if value == Ckr.CRYPTOKI_ALREADY_INITIALIZED:
            self._call["Finalize"](None)
            value = self._call["Initialize"](addressof(arguments))
        self._check(value, "C_Initialize")

    def open_session(self, slot: int) -> int:
        """C_OpenSession, read-write; returns the handle."""
        handle = CK_ULONG()
        value = self._call["OpenSession"](slot, CKF_RW_SERIAL, None, None, addressof(handle))
        self._check(value, "C_OpenSession")
        return handle.value

    def close_session(self, session: int) -> None:
        """C_CloseSession: the objects that the session made die with it."""
        self._check(self._call["CloseSession"](session), "C_CloseSession")

    def logged_in(self, session: int) -> bool:
        """Tell whether the session lives and its user is logged in."""
        info = CkSessionInfo()
        alive = self._call["GetSessionInfo"](session, addressof(info)) == Ckr.OK
        return alive and info.state in _USER_STATES

    def login(self, session: int, pin: bytes) -> None:
        """C_Login as the user. A login that the process already has is kept."""
        value = self._call["Login"](session, CKU_USER, pin, len(pin))
        if value != Ckr.USER_ALREADY_LOGGED_IN:
            self._check(value, "C_Login")

    @staticmethod
    def _check(value: int, function: str) -> None:
        if value:
            raise CallError(value, function)


class SessionCalls:
    """The calls that are made for records, in one session. ``calls`` counts them."""

    __slots__ = (
        "_buffer",
        "_buffer_at",
        "_buffer_size",
        "_decrypt",
        "_decrypt_init",
        "_destroy",
        "_encrypt",
        "_encrypt_init",
        "_functions",
        "_gcm",
        "_gcm_at",
        "_gcm_mechanism",
        "_handle",
        "_handle_at",
        "_length",
        "_length_at",
        "_unwrap",
        "calls",
        "session",
    )

    def __init__(self, functions: Functions, session: int) -> None:
        self.session = session
        self.calls = 0
        self._functions = functions
        self._unwrap = functions["UnwrapKey"]
        self._decrypt_init = functions["DecryptInit"]
        self._decrypt = functions["Decrypt"]
        self._encrypt_init = functions["EncryptInit"]
        self._encrypt = functions["Encrypt"]
        self._destroy = functions["DestroyObject"]
        self._handle = CK_ULONG()
        self._handle_at = addressof(self._handle)
        self._length = CK_ULONG()
        self._length_at = addressof(self._length)
        self._grow(_BUFFER_SIZE)
        self._gcm = CkGcmParams(None, 0, 0, None, 0, 8 * _TAG_SIZE)
        self._gcm_mechanism = CkMechanism(Ckm.AES_GCM, addressof(self._gcm), sizeof(self._gcm))
        self._gcm_at = addressof(self._gcm_mechanism)

    def _grow(self, size: int) -> None:
        self._buffer = ctypes.create_string_buffer(size)
        self._buffer_at = addressof(self._buffer)
        self._buffer_size = size

    def unwrap(self, mechanism: FixedMechanism, key: int, wrapped: bytes, into: Template) -> int:
        """C_UnwrapKey; returns the new object's handle. One call."""
        self.calls += 1
        value = self._unwrap(
            self.session,
            mechanism.address,
            key,
            wrapped,
            len(wrapped),
            into.address,
            into.count,
            self._handle_at,
        )
        if value:
            raise CallError(value, "C_UnwrapKey")
        return self._handle.value

    def decrypt(self, mechanism: FixedMechanism, key: int, ciphertext: bytes) -> bytes:
        """C_DecryptInit and C_Decrypt. Two calls."""
        return self._run_decrypt(mechanism.address, key, ciphertext)

    def decrypt_gcm(self, key: int, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
        """AES-GCM with a 16-byte tag at the end of ``ciphertext``. Two calls.

        ``aad`` is not empty: SoftHSM 2.6.1 can crash without.
        """
        self._set_gcm(nonce, aad)
        plaintext = self._run_decrypt(self._gcm_at, key, ciphertext)
        if len(plaintext) != len(ciphertext) - _TAG_SIZE:
            raise CallError(Ckr.FUNCTION_FAILED, "C_Decrypt")
        return plaintext

    def encrypt_gcm(self, key: int, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """AES-GCM; returns ciphertext || 16-byte tag. Two calls."""
        self._set_gcm(nonce, aad)
        expected = len(plaintext) + _TAG_SIZE
        if expected > self._buffer_size:
            self._grow(expected)
        self.calls += 2
        value = self._encrypt_init(self.session, self._gcm_at, key)
        if value:
            raise CallError(value, "C_EncryptInit")
        self._length.value = self._buffer_size
        value = self._encrypt(
            self.session, plaintext, len(plaintext), self._buffer_at, self._length_at
        )
        if value or self._length.value != expected:
            raise CallError(value or Ckr.FUNCTION_FAILED, "C_Encrypt")
        return string_at(self._buffer_at, expected)

    def destroy(self, key: int) -> None:
        """C_DestroyObject. One call."""
        self.calls += 1
        value = self._destroy(self.session, key)
        if value:
            raise CallError(value, "C_DestroyObject")

    def sign(self, mechanism: FixedMechanism, key: int, digest: bytes) -> bytes:
        """C_SignInit and C_Sign. Two calls."""
        self.calls += 2
        self._checked("SignInit", mechanism.address, key)
        self._length.value = self._buffer_size
        self._checked("Sign", digest, len(digest), self._buffer_at, self._length_at)
        return string_at(self._buffer_at, self._length.value)

    def generate_key(self, mechanism: FixedMechanism, template: Template) -> int:
        """C_GenerateKey; returns the handle. One call."""
        self.calls += 1
        self._checked(
            "GenerateKey", mechanism.address, template.address, template.count, self._handle_at
        )
        return self._handle.value

    def create_object(self, template: Template) -> int:
        """C_CreateObject; returns the handle. One call."""
        self.calls += 1
        self._checked("CreateObject", template.address, template.count, self._handle_at)
        return self._handle.value

    def copy_object(self, key: int, template: Template) -> int:
        """C_CopyObject; returns the handle. One call."""
        self.calls += 1
        self._checked("CopyObject", key, template.address, template.count, self._handle_at)
        return self._handle.value

    def wrap(self, mechanism: FixedMechanism, wrapping_key: int, key: int) -> bytes:
        """C_WrapKey. One call."""
        self.calls += 1
        self._length.value = self._buffer_size
        self._checked(
            "WrapKey", mechanism.address, wrapping_key, key, self._buffer_at, self._length_at
        )
        return string_at(self._buffer_at, self._length.value)

    def attribute(self, key: int, kind: int) -> bytes | None:
        """C_GetAttributeValue of one attribute, None if it does not exist or may not be read.

        Two calls: NSS wants a buffer of exactly the attribute's length.
        """
        wanted = CkAttribute(kind, None, 0)
        for _ in ("length", "value"):
            self.calls += 1
            value = self._functions["GetAttributeValue"](self.session, key, addressof(wanted), 1)
            if value in (Ckr.ATTRIBUTE_SENSITIVE, Ckr.ATTRIBUTE_TYPE_INVALID):
                return None
            if value:
                raise CallError(value, "C_GetAttributeValue")
            if wanted.length == CK_UNAVAILABLE:
                return None
            if wanted.length > self._buffer_size:
                raise CallError(Ckr.BUFFER_TOO_SMALL, "C_GetAttributeValue")
            wanted.value = self._buffer_at
        return string_at(self._buffer_at, wanted.length)

    def set_attributes(self, key: int, template: Template) -> None:
        """C_SetAttributeValue. One call."""
        self.calls += 1
        self._checked("SetAttributeValue", key, template.address, template.count)

    def _set_gcm(self, nonce: bytes, aad: bytes) -> None:
        gcm = self._gcm
        gcm.iv = nonce
        gcm.iv_length = len(nonce)
        gcm.iv_bits = 8 * len(nonce)
        gcm.aad = aad
        gcm.aad_length = len(aad)

    def _run_decrypt(self, mechanism_at: int, key: int, ciphertext: bytes) -> bytes:
        if len(ciphertext) > self._buffer_size:
            self._grow(len(ciphertext))
        self.calls += 2
        value = self._decrypt_init(self.session, mechanism_at, key)
        if value:
            raise CallError(value, "C_DecryptInit")
        self._length.value = self._buffer_size
        value = self._decrypt(
            self.session, ciphertext, len(ciphertext), self._buffer_at, self._length_at
        )
        if value:
            raise CallError(value, "C_Decrypt")
        if self._length.value > self._buffer_size:
            raise CallError(Ckr.BUFFER_TOO_SMALL, "C_Decrypt")
        return string_at(self._buffer_at, self._length.value)

    def _checked(self, name: str, *arguments: object) -> None:
        value = self._functions[name](self.session, *arguments)
        if value:
            raise CallError(value, f"C_{name}")
