"""Member cards: what a newcomer shows an admin, signed with the key that it names.

card        = CBOR ["twinlock/v2/member-card", deployment_id, member_id, name, kem_id,
                    kem_public, signing_public, [trait, ...], invitation_id or b"",
                    join_tag or b""]
signed card = CBOR ["twinlock/v1/member-card-signed", card, signature]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twinlock.core import cbor, primitives
from twinlock.core.membership import wire
from twinlock.core.membership.entry import Signer
from twinlock.core.membership.invitation import Invitation, join_tag
from twinlock.core.membership.member import Member
from twinlock.errors import CallerError, DataError

MAX_CARD_SIZE: Final = 8192

_CARD: Final = "twinlock/v2/member-card"
_SIGNED: Final = "twinlock/v1/member-card-signed"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberCard:
    """Keys that somebody claims as his, tied to an invitation or (both empty) to none.

    The signature proves that the signing key's holder made the card; that this is the person whom
    the admin means, only ``check_invited`` or a comparison of fingerprints shows.
    """

    deployment_id: bytes
    member: Member
    invitation_id: bytes = b""
    join_tag: bytes = b""

    def __post_init__(self) -> None:
        wire.require_size("deployment id", self.deployment_id, wire.ID_SIZE)
        if self.invitation_id or self.join_tag:
            wire.require_size("invitation id", self.invitation_id, wire.ID_SIZE)
            wire.require_size("join tag", self.join_tag, wire.HASH_SIZE)

    @classmethod
    def answering(cls, invitation: Invitation, member: Member) -> MemberCard:
        """Return the card with which ``member`` takes an invitation."""
        tag = join_tag(
            invitation.secret, invitation.group_id, member.kem_public, member.signing_public
        )
        return cls(
            deployment_id=invitation.deployment_id,
            member=member,
            invitation_id=invitation.invitation_id,
            join_tag=tag,
        )

    def encode(self, key: Signer) -> bytes:
        """Sign the card. Raises CallerError ``member.card-key`` for a key that it does not name."""
        if key.public != self.member.signing_public:
            raise CallerError(
                "member.card-key",
                "A member card is signed with the signing key that it shows.",
                hint="Sign with the member's own key.",
            )
        card = cbor.encode(
            [
                _CARD,
                self.deployment_id,
                *self.member.items(),
                self.invitation_id,
                self.join_tag,
            ]
        )
        return cbor.encode([_SIGNED, card, key.sign(card)])

    @classmethod
    def decode(cls, data: bytes) -> MemberCard:
        """Read a signed card and verify its signature.

        Raises DataError ``format.*``, ``key.malformed`` or ``member.card-invalid``.
        """
        _, card, signature = cbor.decode_labelled(data, _SIGNED, 3, max_size=MAX_CARD_SIZE)
        decoded = cls._from_items(cbor.decode_labelled(cbor.take_bytes(card), _CARD, 10))
        signing_public = decoded.member.signing_public
        try:
            primitives.verify(signing_public, card, cbor.take_bytes(signature, wire.SIGNATURE_SIZE))
        except DataError as error:
            raise _invalid("its signature does not match") from error
        return decoded

    @classmethod
    def _from_items(cls, items: list[object]) -> MemberCard:
        _, deployment_id, *member, invitation_id, tag = items
        with wire.decoding():
            return cls(
                deployment_id=cbor.take_bytes(deployment_id),
                member=Member.from_items(member),
                invitation_id=cbor.take_bytes(invitation_id),
                join_tag=cbor.take_bytes(tag),
            )

    def check_invited(self, invitation: Invitation) -> None:
        """Check that the card's maker held this invitation. Raises ``member.card-invalid``."""
        expected = MemberCard.answering(invitation, self.member)
        if (self.deployment_id, self.invitation_id) != (
            expected.deployment_id,
            expected.invitation_id,
        ):
            raise _invalid("it answers another invitation")
        if not primitives.equal(self.join_tag, expected.join_tag):
            raise _invalid("its maker did not hold the invitation")


def _invalid(why: str) -> DataError:
    return DataError(
        "member.card-invalid",
        f"This member card is not genuine: {why}.",
        hint="Do not add this member. Ask the person for a new card, over another channel.",
    )
