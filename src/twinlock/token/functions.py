"""The function list of a loaded module, and the calls that begin and end a session.

The functions are called through ctypes, which releases the GIL (docs/adr/0003).
"""

from __future__ import annotations

import ctypes
from ctypes import addressof, sizeof
from typing import Any, Final

from twinlock.token.ck import CKF_OS_LOCKING_OK, CKF_RW_SERIAL, CKU_USER, Ckr
from twinlock.token.returns import CallError
from twinlock.token.structures import CK_ULONG, CkInitializeArgs

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
    "DeriveKey": (CK_ULONG, _POINTER, CK_ULONG, _POINTER, CK_ULONG, _POINTER),
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
        # Error reporters send the local variables of every frame that an error passes through.
        del pin
        if value != Ckr.USER_ALREADY_LOGGED_IN:
            self._check(value, "C_Login")

    @staticmethod
    def _check(value: int, function: str) -> None:
        if value:
            raise CallError(value, function)
