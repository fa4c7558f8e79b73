"""Opening records inside the token: the hot path.

Per record seven calls: unwrap rk, decrypt O (two), unwrap the DEK, decrypt C (two), destroy the
DEK. Release keys die with their batch's session, the release's AES key with the opening's.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from typing import Final, TypeVar

from twinlock.core.ports import DekOpening, LegacyPart, OpenDek, OuterLock, OuterSuite, Part
from twinlock.errors import CallerError, DataError, EnvError, not_authentic
from twinlock.token.calls import SessionCalls
from twinlock.token.keys import KeyRing
from twinlock.token.policy import SessionTemplates
from twinlock.token.pool import SessionPool
from twinlock.token.profiles import TokenProfile
from twinlock.token.returns import CallError, refuses_data, translating
from twinlock.token.structures import AES_KEY_WRAP

Item = TypeVar("Item")
Result = TypeVar("Result")

WRAPPED_KEY_SIZE: Final = 40
NONCE_SIZE: Final = 12
TAG_SIZE: Final = 16
_BLOCK_SIZE: Final = WRAPPED_KEY_SIZE + 32
_SEALED_AES_SIZE: Final = NONCE_SIZE + WRAPPED_KEY_SIZE + TAG_SIZE
_NO_BLOCK: Final = bytes(_BLOCK_SIZE)
"""Stands in for a block that did not decrypt: no SHA-256 of anything is zero."""

BATCH_SIZE: Final = 64
"""Most records whose release keys are in the token at once, per session."""
_INLINE: Final = 8
"""Up to here handing work to threads costs more than it saves."""


class RecordOpener:
    """What every opening of a connection shares: key handles, templates, the profile.

    ``aborts`` says if the token's library ends the process when GCM has no additional data.
    """

    __slots__ = ("aborts", "keys", "profile", "templates")

    def __init__(
        self,
        keys: KeyRing,
        profile: TokenProfile,
        templates: SessionTemplates,
        aborts: Callable[[], bool],
    ) -> None:
        self.keys = keys
        self.profile = profile
        self.templates = templates
        self.aborts = aborts

    def open_item(
        self, work: SessionCalls, session_key: int, item: DekOpening
    ) -> list[bytes] | DataError:
        """Open one DEK's fields; what is not authentic is returned, what fails is raised."""
        try:
            dek = self.unwrap_dek(work, session_key, item.wrapped_release_key, item.outer)
            try:
                return [self._open_field(work, dek, field) for field in item.fields]
            finally:
                work.destroy(dek)
        except DataError as error:
            return error

    def unwrap_dek(
        self, work: SessionCalls, session_key: int, wrapped_release_key: bytes, outer: OuterLock
    ) -> int:
        """Unwrap rk, O and the DEK; returns the DEK's handle. rk stays until the session ends."""
        if len(wrapped_release_key) != WRAPPED_KEY_SIZE:
            raise not_authentic("wrapped release key: wrong length")
        templates = self.templates
        try:
            release_key = work.unwrap(
                AES_KEY_WRAP, session_key, wrapped_release_key, templates.release_key
            )
            wrapped_dek = self._unlock_outer(work, outer)
            return work.unwrap(AES_KEY_WRAP, release_key, wrapped_dek, templates.dek)
        except CallError as failed:
            self._raise_if_data(failed)
            raise

    def check_aad(self, part: Part) -> None:
        """Refuse empty additional data in what was sealed here, and where it would abort.

        Raises CallerError ``token.aad-missing`` or EnvError ``legacy.aad-empty``.
        """
        if part.aad:
            return
        if not isinstance(part, LegacyPart):
            raise CallerError(
                "token.aad-missing",
                "A segment without additional data is not decrypted.",
                hint="Bind every segment to its context.",
            )
        if self.aborts():
            raise EnvError(
                "legacy.aad-empty",
                "This build of the token's library ends the process when AES-GCM has no "
                "additional data, and the old application used none.",
                hint="Use a build without C++ library assertions, or another token; or reseal.",
            )

    def open_part(self, work: SessionCalls, dek: int, part: Part) -> bytes:
        """Decrypt one segment, or one ciphertext of before."""
        ciphertext = part.ciphertext
        if not part.aad:
            self.check_aad(part)
        if len(part.nonce) != NONCE_SIZE or len(ciphertext) < TAG_SIZE:
            raise not_authentic("segment: too short, or a nonce of another length")
        most = self.profile.gcm_max_bytes
        if most is not None and len(ciphertext) > most:
            if isinstance(part, LegacyPart):
                raise _too_large(len(ciphertext), most)
            raise CallerError(
                "token.part-too-large",
                f"The token decrypts at most {most} bytes in one call.",
                hint="Seal in smaller segments.",
            )
        try:
            return work.decrypt_gcm(dek, part.nonce, ciphertext, part.aad)
        except CallError as failed:
            self._raise_if_data(failed)
            raise

    def _open_field(self, work: SessionCalls, dek: int, field: Sequence[Part]) -> bytes:
        if len(field) == 1:
            return self.open_part(work, dek, field[0])
        return b"".join([self.open_part(work, dek, part) for part in field])

    def _unlock_outer(self, work: SessionCalls, outer: OuterLock) -> bytes:
        """Return W from O. RSA: padding failure and mismatch take the same way to one error."""
        held = self.keys.find(outer.wrapping_kid)
        if held is None or held.key.suite is not outer.suite:
            raise DataError(
                "data.wrapping-key-unknown",
                f"This record names a wrapping key that is not loaded: {outer.wrapping_kid.hex()}.",
                hint="Load the key from the token directory if it is yours.",
            )
        sealed = outer.sealed
        if outer.suite is OuterSuite.TOKEN_AES:
            if len(sealed) != _SEALED_AES_SIZE:
                raise not_authentic("outer lock: wrong length")
            nonce, ciphertext = sealed[:NONCE_SIZE], sealed[NONCE_SIZE:]
            return work.decrypt_gcm(held.handle, nonce, ciphertext, outer.binding)
        if held.outer is None or not held.takes(sealed):
            raise not_authentic("outer lock: no block of this wrapping key")
        try:
            block = work.decrypt(held.outer, held.handle, sealed)
        except CallError as failed:
            if not refuses_data(failed, self.profile.refusals):
                raise
            block = _NO_BLOCK
        if len(block) != _BLOCK_SIZE:
            block = _NO_BLOCK
        digest = hashlib.sha256(outer.binding).digest()
        if not hmac.compare_digest(block[WRAPPED_KEY_SIZE:], digest):
            raise not_authentic("outer lock: does not belong to this record and lock header")
        return block[:WRAPPED_KEY_SIZE]

    def _raise_if_data(self, failed: CallError) -> None:
        if refuses_data(failed, self.profile.refusals):
            raise not_authentic(str(failed)) from failed


class Pkcs11Opening:
    """One release being opened (``core.ports.Opening``)."""

    def __init__(self, pool: SessionPool, opener: RecordOpener, session_key: int) -> None:
        self._pool = pool
        self._opener = opener
        self._session_key = session_key
        self._ended = False

    def end(self) -> None:
        """Refuse further use: the release's AES key is about to be destroyed."""
        self._ended = True

    def open_many(self, items: Sequence[DekOpening]) -> list[list[bytes] | DataError]:
        """See ``core.ports.Opening``."""
        self._check_live()
        open_item, session_key = self._opener.open_item, self._session_key
        with translating():
            return share_out(
                self._pool, items, lambda work, item: open_item(work, session_key, item)
            )

    @contextmanager
    def open_dek(self, wrapped_release_key: bytes, outer: OuterLock) -> Iterator[OpenDek]:
        """See ``core.ports.Opening``."""
        self._check_live()
        with translating(), self._pool.working() as work:
            opener = self._opener
            dek = opener.unwrap_dek(work, self._session_key, wrapped_release_key, outer)
            stream = _StreamedDek(opener, work, dek)
            try:
                yield stream
            finally:
                stream.end()

    def _check_live(self) -> None:
        if self._ended:
            raise CallerError(
                "token.opening-ended",
                "This opening has ended; its keys are destroyed.",
                hint="Open records inside the `with` block.",
            )


class _StreamedDek:
    """One DEK kept open; several threads may share it, one call at a time."""

    def __init__(self, opener: RecordOpener, work: SessionCalls, dek: int) -> None:
        self._opener = opener
        self._work = work
        self._dek = dek
        self._ended = False
        self._lock = threading.Lock()

    def end(self) -> None:
        with self._lock:
            self._ended = True

    def decrypt(self, part: Part) -> bytes:
        """See ``core.ports.OpenDek``."""
        with self._lock, translating():
            if self._ended:
                raise CallerError(
                    "token.opening-ended",
                    "This data key is destroyed.",
                    hint="Read the value inside the `with` block.",
                )
            return self._opener.open_part(self._work, self._dek, part)


def share_out(
    pool: SessionPool,
    items: Sequence[Item],
    one: Callable[[SessionCalls, Item], Result],
) -> list[Result]:
    """Do ``one`` for every item, in sessions of their own and in threads where that pays.

    Returns the results in the items' order. Raises CallError, and what ``one`` raises.
    """

    def run(batch: Sequence[Item]) -> list[Result]:
        with pool.working() as work:
            return [one(work, item) for item in batch]

    batches = _batches(items, pool.limit)
    if len(batches) == 1:
        return run(batches[0])
    if pool.limit == 1:
        return [result for batch in batches for result in run(batch)]
    futures = [pool.executor.submit(run, batch) for batch in batches]
    wait(futures)
    return [result for future in futures for result in future.result()]


def _too_large(size: int, most: int) -> DataError:
    return DataError(
        "legacy.cell",
        f"A ciphertext of {size} bytes is not decrypted by this token, which takes {most} at once.",
        hint="Reseal it: new content is cut into segments that the token takes.",
    )


def _batches(items: Sequence[Item], workers: int) -> list[Sequence[Item]]:
    """Share items out evenly over the workers, at most BATCH_SIZE in each."""
    count = len(items)
    shares = 1 if count <= _INLINE else workers
    size = min(BATCH_SIZE, max(1, -(-count // shares)))
    return [items[start : start + size] for start in range(0, count, size)] or [items]
