"""Direct calls of a PKCS#11 function list: what runs for every record, and nothing else.

docs/adr/0003 says why: a record costs seven calls this way. A ``SessionCalls`` belongs to one
session and is used by one thread at a time; its buffers are made once. Every call that is not
answered CKR_OK raises ``CallError``.
"""

from __future__ import annotations

import ctypes
from ctypes import addressof, sizeof, string_at
from typing import Final

from twinlock.token.ck import CK_UNAVAILABLE, Cka, Ckm, Ckr
from twinlock.token.functions import Functions
from twinlock.token.returns import CallError
from twinlock.token.structures import (
    CK_ULONG,
    CkAttribute,
    CkGcmParams,
    CkMechanism,
    FixedMechanism,
    Template,
)

_BUFFER_SIZE: Final = 8192
_TAG_SIZE: Final = 16


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

        ``aad`` is empty only where ``RecordOpener.check_aad`` let it pass.
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

    def derive(self, mechanism: FixedMechanism, key: int, into: Template) -> int:
        """C_DeriveKey; returns the new object's handle. One call."""
        self.calls += 1
        self._checked(
            "DeriveKey", mechanism.address, key, into.address, into.count, self._handle_at
        )
        return self._handle.value

    def value(self, key: int, size: int) -> bytes:
        """CKA_VALUE of a readable key of ``size`` bytes. One call."""
        self.calls += 1
        wanted = CkAttribute(Cka.VALUE, self._buffer_at, size)
        self._checked("GetAttributeValue", key, addressof(wanted), 1)
        if wanted.length != size:
            raise CallError(Ckr.FUNCTION_FAILED, "C_GetAttributeValue")
        return string_at(self._buffer_at, size)

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
