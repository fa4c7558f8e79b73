"""What a new device and a contact say to each other (SPEC 31).

    request = ["twinlock/v1/recovery-request", deployment_id, member_id, enrolment_id, KEM,
               the device's KEM public key, made, [[contact_id, commitment], ...] by contact_id]
    ask     = ["twinlock/v1/recovery-ask", request, name, parameters of the factor ``contacts``]
    reply   = ["twinlock/v1/recovery-reply", digest, contact_id, nonce, the contact's signing key,
               kid of the member's signing key, kid of the member's KEM key,
               fingerprint of the token's identity key, group_id]
    opening = ["twinlock/v1/recovery-opening", digest, contact_id, nonce]
    share   = ["twinlock/v1/recovery-share", digest, contact_id, sealed]   signed by the contact

``digest`` is SHA-256 of the request, which the notice in the group's log names too. Nothing here is
authentic by itself: what two people read to each other makes it so (``codes``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from twinlock.core import cbor
from twinlock.core.contacts.sharing import MAX_CONTACTS, MIN_NEEDED
from twinlock.core.factors import Parameters, Place
from twinlock.core.factors.contacts import ContactsParameters, take_contacts_parameters
from twinlock.core.membership.wire import take_kem
from twinlock.core.primitives import (
    Kem,
    SigningKey,
    check_kem_public,
    check_signing_public,
    sha256,
)
from twinlock.core.release import sign_message, split_signed, verify_message

MAX_SIZE: Final = 1 << 17
"""Of any message, in bytes."""

_REQUEST: Final = "twinlock/v1/recovery-request"
_ASK: Final = "twinlock/v1/recovery-ask"
_REPLY: Final = "twinlock/v1/recovery-reply"
_OPENING: Final = "twinlock/v1/recovery-opening"
_SHARE: Final = "twinlock/v1/recovery-share"


@dataclass(frozen=True)
class RecoveryRequest:
    """A new device asks for shares: its key, and its commitment to a nonce for each contact.

    ``made``: seconds since the epoch, as the device says.
    """

    place: Place
    kem: Kem
    device_public: bytes
    made: int
    commitments: Mapping[bytes, bytes]

    def encode(self) -> bytes:
        """Return the bytes that ``digest`` is of."""
        place = self.place
        return cbor.encode(
            [
                _REQUEST,
                place.deployment_id,
                place.member_id,
                place.enrolment_id,
                int(self.kem),
                self.device_public,
                self.made,
                [[contact, self.commitments[contact]] for contact in sorted(self.commitments)],
            ]
        )

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the encoded request: the name of this recovery."""
        return sha256(self.encode())


def decode_request(raw: bytes) -> RecoveryRequest:
    """Decode a request. Raises ``format.*`` or ``key.malformed``."""
    items = cbor.decode_labelled(raw, _REQUEST, 8, max_size=MAX_SIZE)
    _, deployment, member, enrolment, kem, public, made, rows = items
    pairs = [cbor.take_list(row, 2, 2) for row in cbor.take_list(rows, MIN_NEEDED, MAX_CONTACTS)]
    contacts = [cbor.take_bytes(contact, 16) for contact, _ in pairs]
    if contacts != sorted(set(contacts)):
        raise cbor.malformed("its contacts are not in ascending order")
    kem = take_kem(kem)
    return RecoveryRequest(
        Place(
            cbor.take_bytes(deployment, 16),
            cbor.take_bytes(member, 16),
            cbor.take_bytes(enrolment, 16),
        ),
        kem,
        check_kem_public(kem, cbor.take_bytes(public)),
        cbor.take_uint(made),
        {contact: cbor.take_bytes(commitment, 32) for contact, commitment in pairs},
    )


@dataclass(frozen=True, slots=True)
class Ask:
    """What goes to every contact: the request, and the enrolment's letters.

    ``name`` is for people, before the log says it.
    """

    request: RecoveryRequest
    name: str
    parameters: Parameters

    @property
    def letters(self) -> ContactsParameters:
        """The parameters, taken apart. Raises ``factor.parameters`` or ``format.malformed``."""
        return take_contacts_parameters(self.parameters)

    def encode(self) -> bytes:
        """Encode for the contacts."""
        return cbor.encode([_ASK, self.request.encode(), self.name, self.parameters])


def decode_ask(raw: bytes) -> Ask:
    """Decode an ask. Raises ``format.*``, ``key.malformed`` or ``factor.parameters``."""
    _, request, name, parameters = cbor.decode_labelled(raw, _ASK, 4, max_size=MAX_SIZE)
    ask = Ask(
        decode_request(cbor.take_bytes(request)),
        cbor.take_text(name),
        cbor.take_list(parameters, 4, 4),
    )
    if {row.contact_id for row in ask.letters.rows} != set(ask.request.commitments):
        raise cbor.malformed("it does not ask the contacts whose letters it holds")
    return ask


@dataclass(frozen=True, slots=True)
class Reply:
    """A contact's nonce, and what its verified log says of the member and the token."""

    digest: bytes
    contact_id: bytes
    nonce: bytes
    contact_signing: bytes
    member_signing_kid: bytes
    member_kem_kid: bytes
    identity: bytes
    group_id: bytes

    def encode(self) -> bytes:
        """Encode for the device."""
        return cbor.encode(
            [
                _REPLY,
                self.digest,
                self.contact_id,
                self.nonce,
                self.contact_signing,
                self.member_signing_kid,
                self.member_kem_kid,
                self.identity,
                self.group_id,
            ]
        )


def decode_reply(raw: bytes) -> Reply:
    """Decode a reply. Raises ``format.*`` or ``key.malformed``."""
    items = cbor.decode_labelled(raw, _REPLY, 9, max_size=MAX_SIZE)
    _, digest, contact, nonce, signing, member_signing, member_kem, identity, group = items
    return Reply(
        cbor.take_bytes(digest, 32),
        cbor.take_bytes(contact, 16),
        cbor.take_bytes(nonce, 32),
        check_signing_public(cbor.take_bytes(signing)),
        cbor.take_bytes(member_signing, 16),
        cbor.take_bytes(member_kem, 16),
        cbor.take_bytes(identity, 32),
        cbor.take_bytes(group, 32),
    )


@dataclass(frozen=True, slots=True)
class Opening:
    """The nonce that the device had committed itself to for this contact."""

    digest: bytes
    contact_id: bytes
    nonce: bytes

    def encode(self) -> bytes:
        """Encode for the contact."""
        return cbor.encode([_OPENING, self.digest, self.contact_id, self.nonce])


def decode_opening(raw: bytes) -> Opening:
    """Decode an opening. Raises ``format.*``."""
    _, digest, contact, nonce = cbor.decode_labelled(raw, _OPENING, 4, max_size=MAX_SIZE)
    return Opening(
        cbor.take_bytes(digest, 32), cbor.take_bytes(contact, 16), cbor.take_bytes(nonce, 32)
    )


@dataclass(frozen=True, slots=True)
class SealedShare:
    """A contact's share, sealed to the device's key (``codes.share_info``)."""

    digest: bytes
    contact_id: bytes
    sealed: bytes

    def signed(self, key: SigningKey) -> bytes:
        """Encode, and sign with the contact's key."""
        raw = cbor.encode([_SHARE, self.digest, self.contact_id, self.sealed])
        return sign_message(raw, key)


def peek_share(signed: bytes) -> SealedShare:
    """Read a share that nobody has verified. Raises ``format.*``."""
    return _decode_share(split_signed(signed, max_size=MAX_SIZE)[0])


def verify_share(signed: bytes, public: bytes) -> SealedShare:
    """Verify with the contact's signing key. Raises ``data.not-authentic`` or ``format.*``."""
    return _decode_share(verify_message(signed, public, max_size=MAX_SIZE))


def _decode_share(raw: bytes) -> SealedShare:
    items: list[Any] = cbor.decode_labelled(raw, _SHARE, 4, max_size=MAX_SIZE)
    return SealedShare(
        cbor.take_bytes(items[1], 32), cbor.take_bytes(items[2], 16), cbor.take_bytes(items[3])
    )
