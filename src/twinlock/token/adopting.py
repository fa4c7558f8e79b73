"""From an old lock to new ones inside the token: nothing of a DEK comes out in the clear.

Per row with one column eight calls: unwrap the DEK with the legacy key into an object that can only
be wrapped, bring in the new release key, wrap the one under the other, destroy the DEK; then unwrap
the result again, decrypt the column (two), destroy. Release keys die with their batch's session.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from twinlock.core.adopting import (
    LegacyKey,
    LegacyOpening,
    Rewrap,
    check_dek_size,
    host_dek_refused,
    legacy_key_missing,
    legacy_key_replaced,
    no_such_content,
    no_such_dek,
)
from twinlock.core.ports import DekOrigin, LegacyPart, OuterSuite, Randomness
from twinlock.core.primitives import aes_key_wrap, gcm_open
from twinlock.core.sealing import rsa_outer
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, not_authentic
from twinlock.token.calls import SessionCalls
from twinlock.token.ck import Cka, Ckk, Cko
from twinlock.token.importing import ReleaseKeyImport
from twinlock.token.keys import is_residue, read_modulus
from twinlock.token.opening import BATCH_SIZE, NONCE_SIZE, RecordOpener, share_out
from twinlock.token.pool import Login, SessionPool
from twinlock.token.returns import CallError, refuses_data, translating
from twinlock.token.sealing import require_own_nonces
from twinlock.token.structures import AES_KEY_WRAP, FixedMechanism, Template, rsa_oaep


@dataclass(frozen=True, slots=True)
class HeldLegacyKey:
    """A legacy key that was found and compared; its handle is valid since the last login."""

    key: LegacyKey
    handle: int
    mechanism: FixedMechanism
    unwraps: bool

    def origin(self, allow_host_dek: bool) -> DekOrigin:
        """Return where DEKs will be. Raises CallerError ``legacy.no-unwrap``."""
        if self.unwraps:
            return DekOrigin.TOKEN
        if not allow_host_dek:
            raise host_dek_refused()
        return DekOrigin.HOST


class LegacyKeys:
    """Legacy keys that were looked up since the last login. Thread-safe."""

    def __init__(self) -> None:
        self._held: dict[LegacyKey, HeldLegacyKey] = {}
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Look up again: after a login handles are others."""
        with self._lock:
            self._held = {}

    def held(self, login: Login, key: LegacyKey) -> HeldLegacyKey:
        """Find a key. Raises EnvError ``legacy.key-missing`` or ``legacy.key-replaced``."""
        with self._lock:
            known = self._held.get(key)
        if known is None:
            known = _found(login, key)
            with self._lock:
                self._held[key] = known
        return known


def _found(login: Login, key: LegacyKey) -> HeldLegacyKey:
    wanted: dict[int, int | bytes] = {Cka.CLASS: Cko.PRIVATE_KEY, Cka.KEY_TYPE: Ckk.RSA}
    if key.cka_id:
        wanted[Cka.ID] = key.cka_id
    if key.label:
        wanted[Cka.LABEL] = key.label.encode()
    found = login.session.find(wanted)
    if not found:
        raise legacy_key_missing()
    for handle in found:
        # Of several with one label, as after a renewal, it is the one that was named by its value.
        if read_modulus(login.calls, handle) == key.modulus:
            unwraps = login.calls.attribute(handle, Cka.UNWRAP) == b"\x01"
            mechanism = rsa_oaep(key.oaep_hash, key.mgf, key.oaep_label)
            return HeldLegacyKey(key, handle, mechanism, unwraps)
    raise legacy_key_replaced()


class Pkcs11Adopting:
    """The token at work with one legacy key (``core.adopting.Adopting``). Thread-safe."""

    def __init__(
        self,
        pool: SessionPool,
        opener: RecordOpener,
        importing: ReleaseKeyImport,
        held: HeldLegacyKey,
        origin: DekOrigin,
        randomness: Randomness,
    ) -> None:
        self._pool = pool
        self._opener = opener
        self._importing = importing
        self._held = held
        self._origin = origin
        self._randomness = randomness

    @property
    def origin(self) -> DekOrigin:
        """See ``core.adopting.Adopting``."""
        return self._origin

    def rewrap_many(self, items: Sequence[Rewrap]) -> list[bytes | DataError]:
        """See ``core.adopting.Adopting``."""
        results: list[bytes | DataError] = []
        with translating():
            for start in range(0, len(items), BATCH_SIZE):
                with self._pool.working() as work:
                    batch = items[start : start + BATCH_SIZE]
                    results += [self._rewrap(work, item) for item in batch]
        return results

    def open_many(self, items: Sequence[LegacyOpening]) -> list[list[bytes] | DataError]:
        """See ``core.adopting.Adopting``."""
        with translating():
            return share_out(self._pool, items, self._open)

    def _rewrap(self, work: SessionCalls, item: Rewrap) -> bytes | DataError:
        for part in item.parts:
            self._opener.check_aad(part)
        inside = self._origin is DekOrigin.TOKEN
        try:
            wrapped = (self._wrapped if inside else self._wrapped_here)(work, item)
        except DataError as error:
            return error
        return self._locked(work, item, wrapped)

    def _wrapped(self, work: SessionCalls, item: Rewrap) -> bytes:
        """Return W, made inside the token."""
        try:
            dek = self._unwrap(work, item.wrapped_dek, self._opener.templates.legacy_dek)
        except DataError as error:
            raise no_such_dek() from error
        try:
            release_key = self._importing.bring_in(work, item.release_key)
            wrapped = work.wrap(AES_KEY_WRAP, release_key, dek)
        finally:
            work.destroy(dek)
        check_dek_size(len(wrapped) - 8)
        if item.check:
            self._check(work, release_key, wrapped, item.parts)
        return wrapped

    def _check(
        self, work: SessionCalls, release_key: int, wrapped: bytes, parts: Sequence[LegacyPart]
    ) -> None:
        """Decrypt as a release of this row would: W unwrapped under rk, and the plaintext gone."""
        dek = work.unwrap(AES_KEY_WRAP, release_key, wrapped, self._opener.templates.dek)
        try:
            for part in parts:
                self._opener.open_part(work, dek, part)
        except DataError as error:
            raise no_such_content() if error.code == "data.not-authentic" else error from error
        finally:
            work.destroy(dek)

    def _wrapped_here(self, work: SessionCalls, item: Rewrap) -> bytes:
        """Return W, made in this process: the legacy key only decrypts."""
        try:
            dek = self._decrypt(work, item.wrapped_dek)
        except DataError as error:
            raise no_such_dek() from error
        check_dek_size(len(dek))
        try:
            for part in item.parts if item.check else ():
                gcm_open(dek.reveal(), part.nonce, part.ciphertext, part.aad)
        except DataError as error:
            raise no_such_content() from error
        return aes_key_wrap(item.release_key.reveal(), dek.reveal())

    def _locked(self, work: SessionCalls, item: Rewrap, wrapped: bytes) -> bytes:
        """Return O."""
        suite = item.wrapping.suite
        if suite is None:
            raise CallerError(
                "seal.key", "This token key does not wrap.", hint="Name a wrapping key."
            )
        if suite is not OuterSuite.TOKEN_AES:
            return rsa_outer(item.wrapping, suite, wrapped, item.binding)
        require_own_nonces(self._opener.profile)
        held = self._opener.keys.wrapping_aes(item.wrapping.kid)
        nonce = self._randomness(NONCE_SIZE)
        return nonce + work.encrypt_gcm(held.handle, nonce, wrapped, item.binding)

    def _open(self, work: SessionCalls, item: LegacyOpening) -> list[bytes] | DataError:
        for part in item.parts:
            self._opener.check_aad(part)
        try:
            if self._origin is DekOrigin.HOST:
                key = self._decrypt(work, item.wrapped_dek)
                return [gcm_open(key.reveal(), p.nonce, p.ciphertext, p.aad) for p in item.parts]
            dek = self._unwrap(work, item.wrapped_dek, self._opener.templates.dek)
            try:
                return [self._opener.open_part(work, dek, part) for part in item.parts]
            finally:
                work.destroy(dek)
        except DataError as error:
            return error

    def _unwrap(self, work: SessionCalls, wrapped_dek: bytes, into: Template) -> int:
        self._require_block(wrapped_dek)
        try:
            return work.unwrap(self._held.mechanism, self._held.handle, wrapped_dek, into)
        except CallError as failed:
            raise self._judged(failed) from failed

    def _decrypt(self, work: SessionCalls, wrapped_dek: bytes) -> Secret:
        self._require_block(wrapped_dek)
        try:
            return Secret(work.decrypt(self._held.mechanism, self._held.handle, wrapped_dek))
        except CallError as failed:
            raise self._judged(failed) from failed

    def _require_block(self, wrapped_dek: bytes) -> None:
        if not is_residue(wrapped_dek, self._held.key.modulus):
            raise not_authentic("legacy DEK: no block of this legacy key")

    def _judged(self, failed: CallError) -> DataError | CallError:
        if refuses_data(failed, self._opener.profile.refusals):
            return not_authentic(f"legacy DEK: {failed}")
        return failed
