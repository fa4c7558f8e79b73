"""Invitations: what a newcomer is given outside the server, so that the first contact is no leap.

The text form is ``twinlock-invite1:`` and base32 (RFC 4648 section 6, no padding, lower case) of
the CBOR below and the first 8 bytes of its SHA-256. Reading ignores case and white space, which
mail and paper add; the checksum finds slips, it authenticates nothing.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from twinlock.core import cbor, primitives
from twinlock.core.membership import wire
from twinlock.core.membership.pins import PinnedHead
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import CallerError, DataError

PREFIX: Final = "twinlock-invite1:"
MAX_TEXT: Final = 4096

_LABEL: Final = "twinlock/v1/invitation"
_JOIN: Final = "twinlock/v1/join"
_CHECK_SIZE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """Everything that a newcomer pins before talking to the server.

    ``invitation_id`` and ``secret``: 16 random bytes each. ``expires``: seconds since the Unix
    epoch. Raises CallerError ``log.size`` or ``member.name``.
    """

    deployment_id: bytes
    group_name: str
    pin: PinnedHead
    identity_fingerprint: bytes
    invitation_id: bytes
    secret: Secret
    expires: int

    def __post_init__(self) -> None:
        wire.require_size("deployment id", self.deployment_id, wire.ID_SIZE)
        wire.require_name(self.group_name)
        wire.require_size("fingerprint", self.identity_fingerprint, wire.HASH_SIZE)
        wire.require_size("invitation id", self.invitation_id, wire.ID_SIZE)
        wire.require_size("invitation secret", self.secret.reveal(), wire.ID_SIZE)

    @property
    def group_id(self) -> bytes:
        """The group that the newcomer is invited to."""
        return self.pin.group_id

    def require_fresh(self, now: int) -> None:
        """Raise DataError ``invitation.expired`` if ``now`` is past ``expires``."""
        if now > self.expires:
            raise DataError(
                "invitation.expired",
                "This invitation is no longer valid.",
                hint="Ask the admin who sent it for a new one.",
            )

    def to_text(self) -> SecretText:
        """Return the text to hand over. It holds the secret: not for the server, not for a log."""
        payload = cbor.encode(
            [
                _LABEL,
                self.deployment_id,
                self.group_name,
                self.pin.group_id,
                self.pin.seq,
                self.pin.head,
                self.identity_fingerprint,
                self.invitation_id,
                self.secret.reveal(),
                self.expires,
            ]
        )
        coded = base64.b32encode(payload + _checksum(payload)).decode().rstrip("=").lower()
        return SecretText(PREFIX + coded)


def parse_invitation(text: str) -> Invitation:
    """Read the text form. Raises DataError ``invitation.malformed``."""
    compact = "".join(text[:MAX_TEXT].split()).lower()
    if not compact.startswith(PREFIX):
        raise _malformed(f"it does not begin with {PREFIX}")
    data = _from_base32(compact.removeprefix(PREFIX))
    payload, check = data[:-_CHECK_SIZE], data[-_CHECK_SIZE:]
    if not payload or check != _checksum(payload):
        raise _malformed("it was copied incompletely or with a mistake")
    try:
        return _from_payload(payload)
    except (DataError, CallerError) as error:
        raise _malformed("it comes from another version") from error


def join_tag(secret: Secret, group_id: bytes, kem_public: bytes, signing_public: bytes) -> bytes:
    """Return the proof that whoever has these keys holds the invitation: HMAC-SHA-256, 32 bytes."""
    message = cbor.encode([_JOIN, group_id, kem_public, signing_public])
    return primitives.hmac_sha256(secret.reveal(), message)


def _from_payload(payload: bytes) -> Invitation:
    items = cbor.decode_labelled(payload, _LABEL, 10)
    _, deployment_id, name, group_id, seq, head, identity, invitation_id, secret, expires = items
    return Invitation(
        deployment_id=cbor.take_bytes(deployment_id),
        group_name=cbor.take_text(name),
        pin=PinnedHead(cbor.take_bytes(group_id), cbor.take_uint(seq), cbor.take_bytes(head)),
        identity_fingerprint=cbor.take_bytes(identity),
        invitation_id=cbor.take_bytes(invitation_id),
        secret=Secret(cbor.take_bytes(secret)),
        expires=cbor.take_uint(expires),
    )


def _from_base32(coded: str) -> bytes:
    try:
        return base64.b32decode(coded.upper() + "=" * (-len(coded) % 8))
    except (binascii.Error, ValueError) as error:
        raise _malformed("it holds characters that do not belong there") from error


def _checksum(payload: bytes) -> bytes:
    return primitives.sha256(payload)[:_CHECK_SIZE]


def _malformed(why: str) -> DataError:
    return DataError(
        "invitation.malformed",
        f"This is not a readable invitation: {why}.",
        hint="Copy it again, from the first letter to the last, or ask for a new one.",
    )
