"""The one module that imports ``pkcs11``: loading, slots, key generation and lookup.

A module file is loaded and initialised once per process, by us, with CKF_OS_LOCKING_OK: the
binding passes NULL, which lets a token switch its locks off. What runs per record does not pass
here (docs/adr/0003). Failures leave as ``CallError``, or as a CallerError or EnvError of loading.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pkcs11 import (
    Attribute,
    KeyType,
    PKCS11Error,
    Token,
    TokenFlag,
    TokenNotPresent,
    TokenNotRecognised,
    _pkcs11,
)
from pkcs11.attributes import AttributeMapper

from twinlock.errors import CallerError, EnvError
from twinlock.token.ck import Cka, Ckr
from twinlock.token.functions import Functions
from twinlock.token.policy import P256_PARAMS, RSA_EXPONENT
from twinlock.token.returns import CallError
from twinlock.token.structures import Attributes, Template


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What a slot's token says about itself."""

    slot: int
    label: str
    serial: str
    manufacturer: str
    model: str


class _Library(_pkcs11.lib):
    def initialize(self) -> None:
        """Do nothing: ``Module`` has called C_Initialize with the flags that threads need."""


class Module:
    """A PKCS#11 library in this process. Make it with ``load``."""

    def __init__(self, path: str, reserved: bytes | None) -> None:
        self.path = path
        self.reserved = reserved
        try:
            self.functions = Functions(ctypes.CDLL(path))
        except (OSError, AttributeError) as error:
            raise CallerError(
                "token.module-unusable",
                f"{path} cannot be loaded as a PKCS#11 module: {error}.",
                hint="Give the path of the vendor's PKCS#11 library.",
            ) from error
        self._pid = os.getpid()
        self._marks_held: dict[tuple[bytes, ...], bool] = {}
        self.functions.initialize(reserved)
        with _as_call_failed("C_GetInfo"):
            self._library = _Library(path)
        self.manufacturer = self._library.manufacturer_id.strip()
        self.description = self._library.library_description.strip()
        self.version = ".".join(str(part) for part in self._library.library_version)

    def ensure_initialised(self) -> None:
        """In a forked child, drop the parent's copied state and initialise anew."""
        with _guard:
            if self._pid != os.getpid():
                self.functions.initialize(self.reserved)
                self._pid = os.getpid()

    def holds(self, marks: tuple[bytes, ...]) -> bool:
        """Tell whether the module's file holds one of these texts: how it was built."""
        known = self._marks_held.get(marks)
        if known is None:
            content = Path(self.path).read_bytes() if marks else b""
            known = self._marks_held[marks] = any(mark in content for mark in marks)
        return known

    def tokens(self) -> list[TokenInfo]:
        """Every token that is present, in slot order."""
        return [
            TokenInfo(
                slot=token.slot.slot_id,
                label=token.label,
                serial=token.serial.decode("utf-8", "replace").strip(),
                manufacturer=token.manufacturer_id.strip(),
                model=token.model.strip(),
            )
            for token in self._present()
        ]

    def find_again(self, info: TokenInfo) -> TokenInfo:
        """The same token in whatever slot it is now: numbers change when a module starts anew."""
        here = [found for found in self.tokens() if replace(found, slot=info.slot) == info]
        for found in here:
            if found.slot == info.slot:
                return found
        if len(here) != 1:
            raise CallError(Ckr.TOKEN_NOT_PRESENT, "C_GetSlotList")
        return here[0]

    def pin_failed(self, slot: int) -> bool:
        """Tell whether the token says that a wrong user PIN was given since the last right one."""
        token = self._token(slot)
        return bool(token.flags & (TokenFlag.USER_PIN_COUNT_LOW | TokenFlag.USER_PIN_FINAL_TRY))

    def open_session(self, slot: int) -> KeySession:
        """Open a read-write session, not logged in."""
        with _as_call_failed("C_OpenSession"):
            mapper = _PolicyMapper()
            return KeySession(self._token(slot).open(rw=True, attribute_mapper=mapper), mapper)

    def _token(self, slot: int) -> Token:
        for token in self._present():
            if token.slot.slot_id == slot:
                return token
        raise CallError(Ckr.TOKEN_NOT_PRESENT, "C_GetSlotList")

    def _present(self) -> list[Token]:
        with _as_call_failed("C_GetSlotList"):
            slots = self._library.get_slots(token_present=True)
        found = []
        for slot in slots:
            try:
                found.append(slot.get_token())
            except (TokenNotPresent, TokenNotRecognised):
                continue
            except PKCS11Error as error:
                raise _call_failed(error, "C_GetTokenInfo") from error
        return found


class KeySession:
    """A session for what is done rarely: finding keys and making key pairs. One thread at a time.

    ``handle`` is the PKCS#11 session handle, for direct calls in the same session.
    """

    def __init__(self, session: Any, mapper: _PolicyMapper) -> None:
        self._session = session
        self._mapper = mapper
        self.handle = int(self._session.handle)

    def find(self, attributes: Attributes) -> list[int]:
        """Handles of all objects with these attributes."""
        with _as_call_failed("C_FindObjects"):
            return [found.handle for found in self._session.get_objects(dict(attributes))]

    def generate_rsa(self, bits: int, public: Attributes, private: Attributes) -> tuple[int, int]:
        """Make an RSA key pair, e = 65537; returns the public and the private handle."""
        extra: dict[int, int | bytes] = {Cka.MODULUS_BITS: bits, Cka.PUBLIC_EXPONENT: RSA_EXPONENT}
        return self._generate(KeyType.RSA, {**public, **extra}, private, bits)

    def generate_p256(self, public: Attributes, private: Attributes) -> tuple[int, int]:
        """Make a P-256 key pair; returns the public and the private handle."""
        return self._generate(KeyType.EC, {**public, Cka.EC_PARAMS: P256_PARAMS}, private, None)

    def _generate(
        self, kind: KeyType, public: Attributes, private: Attributes, bits: int | None
    ) -> tuple[int, int]:
        with _as_call_failed("C_GenerateKeyPair"), self._mapper.keeping_alive():
            made_public, made_private = self._session.generate_keypair(
                kind,
                bits,
                store=bool(private[Cka.TOKEN]),
                capabilities=0,
                public_template=dict(public),
                private_template=dict(private),
            )
        return made_public.handle, made_private.handle


class _PolicyMapper(AttributeMapper):
    """Maps the attributes that the binding lacks, and adds none of its own to a template.

    The binding copies an array attribute's bytes, which point to memory of ours: it is kept until
    the call is over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.default_secret_key_template = {}
        self.default_public_key_template = {}
        self.default_private_key_template = {}
        self._alive: list[Template] = []
        self.register_handler(Attribute.UNWRAP_TEMPLATE, self._pack_template, bytes)
        self.register_handler(Attribute.ALLOWED_MECHANISMS, _pack_mechanisms, bytes)
        self.register_handler(Attribute.LABEL, bytes, bytes)

    def _pack_template(self, attributes: Attributes) -> bytes:
        template = Template(attributes)
        self._alive.append(template)
        return template.packed()

    @contextmanager
    def keeping_alive(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._alive.clear()


def _pack_mechanisms(mechanisms: list[int]) -> bytes:
    return bytes((ctypes.c_ulong * len(mechanisms))(*mechanisms))


_guard = threading.Lock()
_loaded: dict[str, Module] = {}


def _forget_guard() -> None:
    """In a forked child the thread that held the lock does not exist."""
    global _guard
    _guard = threading.Lock()


os.register_at_fork(after_in_child=_forget_guard)


def load(path: str, reserved: str | None = None) -> Module:
    """Load and initialise a module, once per process.

    ``reserved`` is pReserved of C_Initialize (NSS: its ``configdir=...`` string). Raises
    ``token.module-unusable``, ``token.module-in-use`` or ``token.module-not-started``.
    """
    wanted = reserved.encode() if reserved is not None else None
    real = os.path.realpath(path)
    with _guard:
        module = _loaded.get(real)
        if module is None:
            try:
                module = _loaded[real] = Module(real, wanted)
            except CallError as failed:
                raise EnvError(
                    "token.module-not-started",
                    f"{path} does not start: {failed}.",
                    hint="Check the module's own configuration and that its service is running.",
                ) from failed
            return module
    if module.reserved != wanted:
        raise CallerError(
            "token.module-in-use",
            f"{path} is already initialised in this process with another configuration string.",
            hint="Use one configuration per process, or a second process.",
        )
    module.ensure_initialised()
    return module


@contextmanager
def _as_call_failed(function: str) -> Iterator[None]:
    try:
        yield
    except PKCS11Error as error:
        raise _call_failed(error, function) from error


def _call_failed(error: PKCS11Error, function: str) -> CallError:
    """The binding has one class per CKR; its name in capitals is the code's name."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(error).__name__).upper()
    known: Mapping[str, Ckr] = Ckr.__members__
    if words in known:
        return CallError(known[words], function)
    return CallError(Ckr.FUNCTION_FAILED, f"{function} ({type(error).__name__} {error})")
