"""Session objects with values that software knows, for ``doctor``: all die with the lab.

The lab works as the runtime role, in sessions of its own, and makes nothing that persists.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property

from twinlock.core.ports import KeyRole, OuterSuite
from twinlock.core.primitives import rsa_oaep_encrypt
from twinlock.token.binding import KeySession
from twinlock.token.calls import SessionCalls
from twinlock.token.ck import Cka, Ckk, Cko
from twinlock.token.keys import read_modulus, read_p256
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.policy import (
    RSA_EXPONENT,
    long_lived,
    long_lived_public,
    secret_key,
    session_attributes,
    transport_private,
    transport_public,
)
from twinlock.token.profiles import TokenProfile
from twinlock.token.returns import CallError
from twinlock.token.spki import rsa_spki
from twinlock.token.structures import AES_KEY_GEN, RSA_OAEP, Attributes, Template


@dataclass(frozen=True, slots=True)
class LabKey:
    """An RSA session key pair: its public half in DER, its private half's handle."""

    public: bytes
    private: int


class Lab:
    """A place to try things on a token. Make it with ``laboratory``."""

    def __init__(self, token: Pkcs11Token, session: KeySession, calls: SessionCalls) -> None:
        self.token = token
        self.profile = token.profile
        self.calls = calls
        self._session = session

    @cached_property
    def transport(self) -> LabKey:
        """A transport key as the runtime makes it."""
        return self.transport_like(self.profile)

    def transport_like(self, profile: TokenProfile) -> LabKey:
        """A transport key as the runtime makes it with a profile."""
        return self._rsa_pair(transport_private(profile))

    @cached_property
    def wrapping(self) -> LabKey:
        """An RSA wrapping key as the runtime makes it, but as a session object."""
        suite = self.profile.rsa_oaep_suite
        return self._rsa_pair(self._as_session(KeyRole.WRAPPING, suite))

    def wrapping_aes(self) -> int:
        """A token-aes wrapping key as a session object."""
        attributes = self._as_session(KeyRole.WRAPPING, OuterSuite.TOKEN_AES)
        return self.generate_aes({Cka.VALUE_LEN: 32, **attributes})

    def verifier_key(self) -> int:
        """A verifier key as a session object."""
        return self.generate_aes({Cka.VALUE_LEN: 32, **self._as_session(KeyRole.VERIFIER, None)})

    def signing_pair(self) -> tuple[int, int]:
        """A signing key pair; returns the public and the private handle."""
        public: Attributes = {
            Cka.CLASS: Cko.PUBLIC_KEY,
            Cka.KEY_TYPE: Ckk.EC,
            Cka.TOKEN: False,
            Cka.PRIVATE: False,
            Cka.VERIFY: True,
        }
        return self._session.generate_p256(public, self._as_session(KeyRole.IDENTITY, None))

    def hardening_pair(self) -> tuple[bytes, int]:
        """A hardening key pair; returns the public half in DER and the private handle."""
        public: Attributes = {
            **long_lived_public(None, b"", "twinlock doctor", KeyRole.HARDENING),
            Cka.TOKEN: False,
        }
        private = self._as_session(KeyRole.HARDENING, None)
        made_public, made_private = self._session.generate_p256(public, private)
        return read_p256(self.calls, made_public), made_private

    def generate_aes(self, attributes: Attributes) -> int:
        """C_GenerateKey of an AES key."""
        return self.calls.generate_key(AES_KEY_GEN, Template(attributes))

    def readable_aes(self) -> int:
        """A session key that may leave the token, if anything wraps it."""
        return self.generate_aes(
            {Cka.VALUE_LEN: 32, Cka.TOKEN: False, Cka.SENSITIVE: False, Cka.EXTRACTABLE: True}
        )

    def aes_key(self, value: bytes, *usages: Cka) -> int:
        """A session key of a known value; where creating is refused, through the transport key."""
        attributes = secret_key(*usages)
        try:
            return self.calls.create_object(Template({**attributes, Cka.VALUE: value}))
        except CallError:
            return self.unwrap_session_key(value, attributes)

    def unwrap_session_key(self, value: bytes, attributes: Attributes) -> int:
        """What a release's AES key goes through, under a template of choice."""
        block = rsa_oaep_encrypt(self.transport.public, self.profile.oaep_hash, value)
        mechanism = RSA_OAEP[self.profile.oaep_hash]
        return self.calls.unwrap(mechanism, self.transport.private, block, Template(attributes))

    def levels(self) -> dict[str, Attributes]:
        """The templates of the three levels, as the runtime uses them."""
        return session_attributes(self.profile)

    @contextmanager
    def second_session(self) -> Iterator[SessionCalls]:
        """Another session of the process, closed at the end."""
        functions = self.token.module.functions
        other = SessionCalls(functions, functions.open_session(self.token.info.slot))
        try:
            yield other
        finally:
            functions.close_session(other.session)

    def _as_session(self, role: KeyRole, suite: OuterSuite | None) -> Attributes:
        persistent = long_lived(self.profile, role, suite, os.urandom(16), "twinlock doctor")
        return {**persistent, Cka.TOKEN: False}

    def _rsa_pair(self, private: Attributes) -> LabKey:
        public = {**transport_public(), Cka.ENCRYPT: bool(private[Cka.DECRYPT])}
        made_public, made_private = self._session.generate_rsa(2048, public, private)
        spki = rsa_spki(read_modulus(self.calls, made_public), RSA_EXPONENT)
        return LabKey(spki, made_private)


@contextmanager
def laboratory(token: Pkcs11Token) -> Iterator[Lab]:
    """Open a session for trying; everything made in it dies with it."""
    token.pool.login()
    module, slot = token.module, token.info.slot
    session = module.open_session(slot)
    try:
        yield Lab(token, session, SessionCalls(module.functions, session.handle))
    finally:
        with suppress(CallError):
            module.functions.close_session(session.handle)
