"""Weakened builds that several attacks use. Each takes one defence away and says which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import addressof, c_char, sizeof

from attacks.harness import Mutation, nothing, weakened
from twinlock.core import sealing, segments
from twinlock.core.context import Context
from twinlock.core.envelope import Head, Lock
from twinlock.core.ports import Part
from twinlock.core.primitives import aes_key_wrap
from twinlock.core.release import ReleaseMessage, decode_release, split_signed
from twinlock.core.secret import Secret
from twinlock.server import records
from twinlock.server.ceremony import Ceremony
from twinlock.server.records import RecordReader
from twinlock.server.requests import Pending, Request
from twinlock.token.calls import SessionCalls
from twinlock.token.importing import ReleaseKeyImport
from twinlock.token.opening import RecordOpener
from twinlock.token.structures import CK_ULONG, CkMechanism

_AES_CTR = 0x00001086
_ENCODE = Context.encode
_ANY_CONTEXT = Context(table="any", record=1, column="any")


def _same_context(context: Context, deployment_id: bytes) -> bytes:
    return _ENCODE(_ANY_CONTEXT, deployment_id)


CONTEXT_IGNORED = Mutation(
    "the context is the same for every record",
    lambda: weakened((Context, "encode", _same_context)),
    rebuild=True,
)


def _all_locks(reader: RecordReader, head: Head) -> tuple[tuple[Lock, ...], bytes]:
    return head.header.locks, b""


@contextmanager
def authors_unchecked() -> Iterator[None]:
    """Nobody's signature counts, and every group's locks are offered."""
    with weakened(
        (RecordReader, "_authorised", _all_locks),
        (records, "verify_author", nothing),
        (records, "verify_cell", nothing),
        (records, "verify", nothing),
    ):
        yield


AUTHORS_UNCHECKED = Mutation("records need no author", authors_unchecked)


class CtrMechanism:
    """CKM_AES_CTR as GCM uses it: what AES-GCM decrypts when nobody looks at the tag."""

    def __init__(self, nonce: bytes) -> None:
        size = sizeof(CK_ULONG)
        self._raw = bytearray(size + 16)
        self._raw[:size] = (32).to_bytes(size, "little")
        self._raw[size:] = nonce + (2).to_bytes(4, "big")
        self._held = (c_char * len(self._raw)).from_buffer(self._raw)
        self._mechanism = CkMechanism(_AES_CTR, addressof(self._held), len(self._raw))

    @property
    def address(self) -> int:
        """Where the mechanism lies; it lives as long as this object."""
        return addressof(self._mechanism)


def _without_tag(opener: RecordOpener, work: SessionCalls, dek: int, part: Part) -> bytes:
    mechanism = CtrMechanism(part.nonce)
    return work._run_decrypt(mechanism.address, dek, part.ciphertext[:-16])


def _without_zeros(plaintext: bytes) -> bytes:
    return plaintext[32:]


@contextmanager
def content_unauthenticated() -> Iterator[None]:
    """The token decrypts without a tag, nobody looks at the zero bytes or at the signature."""
    with weakened(
        (RecordOpener, "open_part", _without_tag),
        (segments, "strip_commitment", _without_zeros),
        (records, "verify_author", nothing),
        (records, "verify_cell", nothing),
        (records, "verify", nothing),
    ):
        yield


CONTENT_UNAUTHENTICATED = Mutation(
    "content is encrypted but not authenticated: no tag, no zero bytes, no signature",
    content_unauthenticated,
)


def _any_signer(
    _: Ceremony, request: Request, release: bytes, states: object
) -> tuple[Pending, ReleaseMessage]:
    message = decode_release(split_signed(release)[0])
    return request.pending[-1], message


SIGNER_UNCHECKED = Mutation(
    "the server does not check who signed a release, nor for which request",
    lambda: weakened((Ceremony, "_verified", _any_signer)),
)

_BRING_IN = ReleaseKeyImport.bring_in


def bring_in_zeros(importing: ReleaseKeyImport, work: SessionCalls, _: Secret) -> int:
    """Take 32 zero bytes for whatever release key was to be brought into the token."""
    return _BRING_IN(importing, work, Secret(bytes(32)))


def _wrap_under_zeros(_: bytes, dek: bytes) -> bytes:
    return aes_key_wrap(bytes(32), dek)


RELEASE_KEY_ZERO = Mutation(
    "the release key is 32 zero bytes",
    lambda: weakened(
        (sealing, "aes_key_wrap", _wrap_under_zeros),
        (ReleaseKeyImport, "bring_in", bring_in_zeros),
    ),
    rebuild=True,
)
