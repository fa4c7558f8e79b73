"""The release: a member's answer, and a second member's help with an AND lock.

A release carries one AES key, RSA-OAEP-encrypted to the transport key, and each record's release
key wrapped under it. It is signed as sent: the signature is checked before anything is parsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from twinlock.core import cbor
from twinlock.core.ports import Randomness, TransportKey
from twinlock.core.primitives import SigningKey, aes_key_wrap, rsa_oaep_encrypt, sha256, verify
from twinlock.core.request import MAX_DEKS
from twinlock.core.secret import Secret

_RELEASE: Final = "twinlock/v1/release"
_SHARE: Final = "twinlock/v1/share"
_SHARE_INFO: Final = "twinlock/v1/share-info"
_SIGNED: Final = "twinlock/v1/signed"
MAX_RELEASE_SIZE: Final = 1 << 20
MAX_SHARE_SIZE: Final = 4 << 20
"""Shares of 1,000 records, each HPKE-sealed with the largest KEM, are 1.2 MB for one AND lock."""


@dataclass(frozen=True, slots=True)
class ReleaseItem:
    """One record's release key: its position in the request, its DEK, the lock that was opened."""

    position: int
    dek_id: bytes
    lock_digest: bytes
    wrapped_release_key: bytes


@dataclass(frozen=True, slots=True)
class ReleaseMessage:
    """What the member signs."""

    deployment_id: bytes
    request_digest: bytes
    member_id: bytes
    signing_kid: bytes
    transport_kid: bytes
    transport_digest: bytes
    time: int
    counter: int
    previous: bytes
    audit_head: bytes
    session_key: bytes
    items: tuple[ReleaseItem, ...]

    def encode(self) -> bytes:
        """Encode for signing."""
        return cbor.encode(
            [
                _RELEASE,
                self.deployment_id,
                self.request_digest,
                self.member_id,
                self.signing_kid,
                self.transport_kid,
                self.transport_digest,
                self.time,
                self.counter,
                self.previous,
                self.audit_head,
                self.session_key,
                [[i.position, i.dek_id, i.lock_digest, i.wrapped_release_key] for i in self.items],
            ]
        )


def wrap_release_keys(
    transport: TransportKey, keys: Sequence[Secret], randomness: Randomness
) -> tuple[bytes, list[bytes]]:
    """Encrypt one AES key to the transport key and wrap each release key under it.

    Returns the RSA-OAEP block and, in order, 40 bytes per release key.
    """
    session_key = Secret(randomness(32))
    block = rsa_oaep_encrypt(transport.public, transport.oaep_hash, session_key.reveal())
    return block, [aes_key_wrap(session_key.reveal(), key.reveal()) for key in keys]


def sign_message(message: bytes, key: SigningKey) -> bytes:
    """Sign and encode a release or share as it is sent."""
    return cbor.encode([_SIGNED, message, key.sign(message)])


def verify_message(data: bytes, public: bytes, *, max_size: int = MAX_SHARE_SIZE) -> bytes:
    """Check the signature and only then hand out the message. Raises ``data.not-authentic``."""
    message, signature = split_signed(data, max_size=max_size)
    verify(public, message, signature)
    return message


def split_signed(data: bytes, *, max_size: int = MAX_SHARE_SIZE) -> tuple[bytes, bytes]:
    """Return (message, signature) of a signed message without trusting either."""
    _, message, signature = cbor.decode_labelled(data, _SIGNED, 3, max_size=max_size)
    return cbor.take_bytes(message), cbor.take_bytes(signature, 64)


def release_digest(signed: bytes) -> bytes:
    """Return the hash by which the member's next release names this one."""
    return sha256(signed)


def decode_release(message: bytes) -> ReleaseMessage:
    """Decode a verified release. Raises ``format.*``."""
    items = cbor.decode_labelled(message, _RELEASE, 13, max_size=MAX_RELEASE_SIZE)
    _, dep, digest, member, kid, tkid, tdigest, time, counter, prev, audit, block, rows = items
    return ReleaseMessage(
        cbor.take_bytes(dep, 16),
        cbor.take_bytes(digest, 32),
        cbor.take_bytes(member, 16),
        cbor.take_bytes(kid, 16),
        cbor.take_bytes(tkid, 16),
        cbor.take_bytes(tdigest, 32),
        cbor.take_uint(time),
        cbor.take_uint(counter),
        cbor.take_bytes(prev, 32),
        cbor.take_bytes(audit, 32),
        cbor.take_bytes(block),
        tuple(_take_item(row) for row in cbor.take_list(rows, 0, MAX_DEKS)),
    )


# --- help with an AND lock -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ShareItem:
    """One share, HPKE-sealed to the requester: item of the request, its lock, index in the lock."""

    position: int
    lock: int
    index: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class ShareMessage:
    """A second member's shares for one request, sealed to the member who asked."""

    deployment_id: bytes
    request_digest: bytes
    requester_id: bytes
    requester_kid: bytes
    member_id: bytes
    signing_kid: bytes
    time: int
    items: tuple[ShareItem, ...]

    def encode(self) -> bytes:
        """Encode for signing."""
        return cbor.encode(
            [
                _SHARE,
                self.deployment_id,
                self.request_digest,
                self.requester_id,
                self.requester_kid,
                self.member_id,
                self.signing_kid,
                self.time,
                [[i.position, i.lock, i.index, i.sealed] for i in self.items],
            ]
        )


def decode_share(message: bytes) -> ShareMessage:
    """Decode a share message. Raises ``format.*``."""
    items = cbor.decode_labelled(message, _SHARE, 9, max_size=MAX_SHARE_SIZE)
    _, dep, digest, requester, requester_kid, member, kid, time, rows = items
    return ShareMessage(
        cbor.take_bytes(dep, 16),
        cbor.take_bytes(digest, 32),
        cbor.take_bytes(requester, 16),
        cbor.take_bytes(requester_kid, 16),
        cbor.take_bytes(member, 16),
        cbor.take_bytes(kid, 16),
        cbor.take_uint(time),
        tuple(_take_share(row) for row in cbor.take_list(rows, 1, MAX_DEKS * 16)),
    )


def share_info(request_digest: bytes, requester_kid: bytes, item: tuple[int, int, int]) -> bytes:
    """Return the HPKE info of one share on its way; ``item`` is (position, lock, index)."""
    return cbor.encode([_SHARE_INFO, request_digest, requester_kid, *item])


def _take_item(value: Any) -> ReleaseItem:
    position, dek_id, lock_digest, wrapped = cbor.take_list(value, 4, 4)
    return ReleaseItem(
        cbor.take_uint(position, MAX_DEKS - 1),
        cbor.take_bytes(dek_id, 16),
        cbor.take_bytes(lock_digest, 32),
        cbor.take_bytes(wrapped, 40),
    )


def _take_share(value: Any) -> ShareItem:
    position, lock, index, sealed = cbor.take_list(value, 4, 4)
    return ShareItem(
        cbor.take_uint(position, MAX_DEKS - 1),
        cbor.take_uint(lock, 15),
        cbor.take_uint(index, 7),
        cbor.take_bytes(sealed),
    )
