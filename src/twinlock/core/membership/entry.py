"""Entries of the membership log as bytes: encoding, signatures, heads.

    entry      = CBOR ["twinlock/v2/log", deployment_id, group_id, seq, prev, op, body,
                       actor member_id, actor kid, time]
    signatures = CBOR [[member_id, kid, signature], ...]     the actor's first, the rest ascending
    entry hash = SHA-256(entry)                              known before anybody signs
    head       = SHA-256(entry || signatures)                known before the token countersigns
    prev       = the head after the entry before; 32 zero bytes in entry 0
    group_id   = the entry hash of entry 0, which itself bears an empty group_id

Each signature is over the entry bytes, the countersignature over entry || signatures; both are
ECDSA P-256 with SHA-256, so the digest that the token signs is the head. CBOR items end where they
say, so the concatenation has one reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Protocol

from twinlock.core import cbor, primitives
from twinlock.core.membership import wire
from twinlock.core.membership.ops import Found, Op, decode_op
from twinlock.errors import CallerError

MAX_ENTRY_SIZE: Final = cbor.MAX_SIZE
MAX_SIGNED_SIZE: Final = MAX_ENTRY_SIZE + 200 * wire.MAX_ADMINS
NO_PREV: Final = bytes(wire.HASH_SIZE)

_ENTRY: Final = "twinlock/v2/log"
_SIGNED: Final = "twinlock/v1/log-signed"


class Signer(Protocol):
    """An ECDSA P-256 key, wherever it lives; ``primitives.SigningKey`` is one."""

    @property
    def public(self) -> bytes:
        """The 65-byte uncompressed point."""
        ...

    def sign(self, message: bytes) -> bytes:
        """ECDSA P-256/SHA-256; r || s, 64 bytes, low s."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One statement about a group, not yet checked against anything."""

    deployment_id: bytes
    group_id: bytes
    seq: int
    prev: bytes
    op: Op
    actor_id: bytes
    actor_kid: bytes
    time: int

    def encode(self) -> bytes:
        """Return the bytes that are signed."""
        return cbor.encode(
            [
                _ENTRY,
                self.deployment_id,
                self.group_id,
                self.seq,
                self.prev,
                self.op.NAME,
                self.op.body(),
                self.actor_id,
                self.actor_kid,
                self.time,
            ]
        )

    @classmethod
    def decode(cls, data: bytes) -> Entry:
        """Read an entry, strictly.

        Raises DataError ``format.*``, ``key.malformed`` or ``log.unknown-op``. An entry 0 without
        an empty group id, or with another operation than found, is malformed.
        """
        items = cbor.decode_labelled(data, _ENTRY, 10, max_size=MAX_ENTRY_SIZE)
        _, deployment_id, group_id, seq, prev, op, body, actor_id, actor_kid, time = items
        entry = cls(
            deployment_id=cbor.take_bytes(deployment_id, wire.ID_SIZE),
            group_id=cbor.take_bytes(group_id),
            seq=cbor.take_uint(seq),
            prev=cbor.take_bytes(prev, wire.HASH_SIZE),
            op=decode_op(cbor.take_text(op), body),
            actor_id=cbor.take_bytes(actor_id, wire.ID_SIZE),
            actor_kid=cbor.take_bytes(actor_kid, wire.ID_SIZE),
            time=cbor.take_uint(time),
        )
        founding = isinstance(entry.op, Found)
        if founding != (entry.seq == 0) or len(entry.group_id) != (0 if founding else 32):
            raise cbor.malformed("exactly the entry 0 founds a group, and it bears no group id")
        return entry


@dataclass(frozen=True, slots=True)
class EntrySignature:
    """A member's signature over the entry bytes with the key that ``kid`` names."""

    member_id: bytes
    kid: bytes
    signature: bytes

    def items(self) -> list[Any]:
        """Return the array that stands for this signature."""
        return [self.member_id, self.kid, self.signature]


@dataclass(frozen=True)
class SignedEntry:
    """An entry with its signatures: the actor's first, the others ascending by member and key.

    ``countersignature`` is empty until the token made it. Nothing in here is verified; ``replay``
    and ``apply`` do that.
    """

    entry_bytes: bytes
    signatures: tuple[EntrySignature, ...]
    countersignature: bytes = b""

    @cached_property
    def entry(self) -> Entry:
        """What the entry bytes say. Raises like ``Entry.decode``."""
        return Entry.decode(self.entry_bytes)

    @cached_property
    def entry_hash(self) -> bytes:
        """SHA-256 of the entry bytes; sealed group keys are bound to it."""
        return primitives.sha256(self.entry_bytes)

    @cached_property
    def head(self) -> bytes:
        """SHA-256 of entry || signatures: the head of the log after this entry."""
        return primitives.sha256(countersign_input(self))

    def encode(self) -> bytes:
        """Return the bytes that are stored and sent."""
        signatures = [signature.items() for signature in self.signatures]
        return cbor.encode([_SIGNED, self.entry_bytes, signatures, self.countersignature])

    @classmethod
    def decode(cls, data: bytes) -> SignedEntry:
        """Read a signed entry, strictly; verifies nothing. Raises like ``Entry.decode``."""
        items = cbor.decode_labelled(data, _SIGNED, 4, max_size=MAX_SIGNED_SIZE)
        _, entry_bytes, signatures, countersignature = items
        if cbor.take_bytes(countersignature) != b"":
            cbor.take_bytes(countersignature, wire.SIGNATURE_SIZE)
        taken = tuple(
            _take_signature(item) for item in cbor.take_list(signatures, 1, wire.MAX_ADMINS)
        )
        if list(taken[1:]) != _ascending(taken[1:]):
            raise cbor.malformed("its signatures are not in ascending order")
        signed = cls(cbor.take_bytes(entry_bytes), taken, countersignature)
        signed.entry  # noqa: B018  decoded here, so that what cannot be read is refused here
        return signed


def sign_entry(entry_bytes: bytes, key: Signer, member_id: bytes) -> SignedEntry:
    """Sign as the actor. Raises CallerError ``log.actor`` if entry and key name different ones."""
    entry = Entry.decode(entry_bytes)
    signature = _sign(entry_bytes, key, member_id)
    if (signature.member_id, signature.kid) != (entry.actor_id, entry.actor_kid):
        raise CallerError(
            "log.actor",
            "This entry names another actor or another key than the one that signs it.",
            hint="Build the entry for the member who signs first; others add their signatures.",
        )
    return SignedEntry(entry_bytes, (signature,))


def add_signature(signed: SignedEntry, key: Signer, member_id: bytes) -> SignedEntry:
    """Add another admin's signature, or the new signing key's to a member-rekey.

    Raises CallerError ``log.signed-twice``, and ``log.countersigned`` once the token has signed:
    the head would change.
    """
    if signed.countersignature:
        raise CallerError(
            "log.countersigned",
            "The token has countersigned this entry, so nobody signs it any more.",
            hint="Collect the admins' signatures before the entry goes to the server.",
        )
    signature = _sign(signed.entry_bytes, key, member_id)
    if any((s.member_id, s.kid) == (member_id, signature.kid) for s in signed.signatures):
        raise CallerError(
            "log.signed-twice",
            "This member has signed the entry already.",
            hint="Ask another admin: every signature counts for one member.",
        )
    actor, *others = signed.signatures
    ordered = _ascending([*others, signature])
    return SignedEntry(signed.entry_bytes, (actor, *ordered))


def countersign_input(signed: SignedEntry) -> bytes:
    """Return the message that the token's log key signs (ECDSA P-256/SHA-256)."""
    signatures = cbor.encode([signature.items() for signature in signed.signatures])
    return signed.entry_bytes + signatures


def with_countersignature(signed: SignedEntry, countersignature: bytes) -> SignedEntry:
    """Return the complete entry. ``countersignature``: 64 bytes over ``countersign_input``."""
    wire.require_size("countersignature", countersignature, wire.SIGNATURE_SIZE)
    return replace(signed, countersignature=countersignature)


def _sign(entry_bytes: bytes, key: Signer, member_id: bytes) -> EntrySignature:
    return EntrySignature(member_id, primitives.key_id(key.public), key.sign(entry_bytes))


def _take_signature(value: Any) -> EntrySignature:
    member_id, kid, signature = wire.take_items(value, 3)
    return EntrySignature(
        cbor.take_bytes(member_id, wire.ID_SIZE),
        cbor.take_bytes(kid, wire.ID_SIZE),
        cbor.take_bytes(signature, wire.SIGNATURE_SIZE),
    )


def _ascending(signatures: Sequence[EntrySignature]) -> list[EntrySignature]:
    """Sort by member and key, one each: one set of signatures has one encoding."""
    by_key = {(s.member_id, s.kid): s for s in signatures}
    return [by_key[key] for key in sorted(by_key)]
