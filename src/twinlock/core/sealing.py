"""Sealing: a fresh DEK and release key for every new content, two locks, a writer's signature.

With an RSA-OAEP suite everything is done with public keys, in software; with TOKEN_AES the DEK is
born in the token and never in this process's memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from twinlock.core import cbor, segments
from twinlock.core.envelope import (
    MAX_VALUE_SIZE,
    Core,
    Field,
    Head,
    Layout,
    LockHeader,
    new_core,
    new_header,
)
from twinlock.core.locks import LockSealer, Target, commit
from twinlock.core.ports import OuterSuite, Randomness, SealingDek, Token, TokenKey
from twinlock.core.primitives import (
    RunningSha256,
    SigningKey,
    aes_key_wrap,
    gcm_seal,
    rsa_oaep_encrypt,
    sha256,
)
from twinlock.core.secret import Secret
from twinlock.errors import CallerError

_OUTER: Final = "twinlock/v1/outer"
OAEP_HASH: Final = {OuterSuite.RSA_OAEP_SHA1: "sha1", OuterSuite.RSA_OAEP_SHA256: "sha256"}


def outer_binding(core: bytes, context: bytes, header: LockHeader) -> bytes:
    """Return bind_outer: what O is bound to."""
    return cbor.encode(
        [
            _OUTER,
            core,
            context,
            header.commitment,
            int(header.outer_suite),
            header.wrapping_kid,
        ]
    )


def rsa_outer(wrapping: TokenKey, suite: OuterSuite, wrapped: bytes, binding: bytes) -> bytes:
    """Return O of an RSA-OAEP suite: ``wrapped`` (W) and the binding's hash, to the public key."""
    return rsa_oaep_encrypt(wrapping.public, OAEP_HASH[suite], wrapped + sha256(binding))


@dataclass(frozen=True, slots=True)
class NewLocks:
    """A fresh release key under locks for its groups, before there is an O to it."""

    core: Core
    header: LockHeader
    release_key: Secret
    binding: bytes
    """bind_outer, encoded."""


@dataclass(frozen=True, slots=True)
class _SoftwareDek:
    """A DEK made here, for the RSA-OAEP suites."""

    dek: Secret
    outer: bytes

    def encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        return gcm_seal(self.dek.reveal(), nonce, plaintext, aad)


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals contents for one writer under one wrapping key.

    ``token`` is needed for TOKEN_AES only.
    """

    writer: SigningKey
    wrapping: TokenKey
    randomness: Randomness
    token: Token | None = None

    def seal_fields(
        self,
        context: bytes,
        layout: Layout,
        fields: Mapping[str, bytes],
        targets: Sequence[Target],
    ) -> tuple[Head, dict[str, Field]]:
        """Seal values in memory under one fresh DEK.

        ``context`` is encoded (row scope for Layout.ROW); ``fields`` maps column to plaintext.
        """
        for column, plaintext in fields.items():
            if len(plaintext) > MAX_VALUE_SIZE - segments.SEGMENT_SIZE * 2:
                raise CallerError(
                    "seal.too-large",
                    f"The value for {column!r} has {len(plaintext)} bytes.",
                    hint="Seal it as a file: that works in constant memory.",
                )
        prefixes = self._prefixes(len(fields))
        with self._begin(context, layout, targets) as (core, header, dek):
            head = Head(core, header, dek.outer)
            sealed = {
                column: self._seal_field(core, context, column, prefix, plaintext, dek)
                for (column, plaintext), prefix in zip(fields.items(), prefixes, strict=True)
            }
        return head, sealed

    @contextmanager
    def seal_stream(
        self, context: bytes, column: str, targets: Sequence[Target]
    ) -> Iterator[StreamSealing]:
        """Begin a sealed file; see ``StreamSealing``."""
        prefix = self.randomness(segments.PREFIX_SIZE)
        with self._begin(context, Layout.FILE, targets) as (core, header, dek):
            head = Head(core, header, dek.outer)
            yield StreamSealing(head, prefix, context, column, dek, self.writer)

    def _seal_field(
        self,
        core: Core,
        context: bytes,
        column: str,
        prefix: bytes,
        plaintext: bytes,
        dek: SealingDek,
    ) -> Field:
        parts = list(_encrypt_parts(core, context, column, prefix, [plaintext], dek))
        ciphertext = b"".join(parts)
        message = segments.signed_data(
            core.writer_kid,
            core.raw,
            context,
            column,
            len(parts),
            segments.content_digest(prefix, ciphertext),
        )
        return Field(prefix, ciphertext, self.writer.sign(message))

    def _prefixes(self, count: int) -> list[bytes]:
        """Nonce prefixes under one DEK: random, and distinct by construction."""
        chosen: dict[bytes, None] = {}
        while len(chosen) < count:
            chosen[self.randomness(segments.PREFIX_SIZE)] = None
        return list(chosen)

    def new_locks(self, context: bytes, layout: Layout, targets: Sequence[Target]) -> NewLocks:
        """Draw a DEK id and a release key, and lock the release key to ``targets``.

        Raises CallerError ``lock.*`` or ``seal.key``.
        """
        dek_id = self.randomness(16)
        release_key = Secret(self.randomness(32))
        core = new_core(dek_id, layout, self.writer.kid)
        locks = LockSealer(core.raw, context, dek_id, release_key, self.randomness).seal(targets)
        suite = self.wrapping.suite
        if suite is None:
            raise CallerError(
                "seal.key", "This token key does not wrap.", hint="Name a wrapping key."
            )
        header = new_header(commit(release_key, dek_id), suite, self.wrapping.kid, locks)
        return NewLocks(core, header, release_key, outer_binding(core.raw, context, header))

    @contextmanager
    def _begin(
        self, context: bytes, layout: Layout, targets: Sequence[Target]
    ) -> Iterator[tuple[Core, LockHeader, SealingDek]]:
        new = self.new_locks(context, layout, targets)
        with self._dek(new.header.outer_suite, new.release_key, new.binding) as dek:
            yield new.core, new.header, dek

    def _dek(
        self, suite: OuterSuite, release_key: Secret, binding: bytes
    ) -> AbstractContextManager[SealingDek]:
        if suite is not OuterSuite.TOKEN_AES:
            return self._software_dek(suite, release_key, binding)
        if self.token is None:
            raise CallerError(
                "seal.token-needed",
                "This suite makes its keys inside the token, and no token is connected.",
                hint="Connect the token, or seal with rsa-oaep, which needs public keys only.",
            )
        return self.token.sealing(self.wrapping.kid, release_key, binding)

    @contextmanager
    def _software_dek(
        self, suite: OuterSuite, release_key: Secret, binding: bytes
    ) -> Iterator[SealingDek]:
        dek = Secret(self.randomness(32))
        wrapped = aes_key_wrap(release_key.reveal(), dek.reveal())
        yield _SoftwareDek(dek, rsa_outer(self.wrapping, suite, wrapped, binding))


@dataclass(slots=True)
class StreamSealing:
    """A sealed file being made: ``head`` and ``prefix``, then segments, then the signature.

    Works once: a second run would use the same nonces under the same DEK.
    """

    head: Head
    prefix: bytes
    _context: bytes
    _column: str
    _dek: SealingDek
    _writer: SigningKey
    _spent: bool = False

    def segments(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the encrypted segments and, last, the writer's 64-byte signature over them all.

        Raises CallerError ``seal.spent`` the second time.
        """
        if self._spent:
            raise CallerError(
                "seal.spent",
                "This sealed file was begun already.",
                hint="Begin a new one: every content gets keys of its own.",
            )
        self._spent = True
        digest = RunningSha256(self.prefix)
        parts = 0
        for part in _encrypt_parts(
            self.head.core, self._context, self._column, self.prefix, chunks, self._dek
        ):
            digest.update(part)
            parts += 1
            yield part
        message = segments.signed_data(
            self.head.core.writer_kid,
            self.head.core.raw,
            self._context,
            self._column,
            parts,
            digest.digest(),
        )
        yield self._writer.sign(message)


def _encrypt_parts(
    core: Core,
    context: bytes,
    column: str,
    prefix: bytes,
    chunks: Iterable[bytes],
    dek: SealingDek,
) -> Iterator[bytes]:
    for part, (plaintext, last) in enumerate(segments.cut_plaintext(chunks)):
        aad = segments.additional_data(core.raw, context, column, part, last)
        yield dek.encrypt(segments.nonce(prefix, part, last), plaintext, aad)
