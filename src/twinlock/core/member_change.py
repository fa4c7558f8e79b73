"""What a member's agent hands to the server when its ways in change (SPEC 28)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from twinlock.core import cbor
from twinlock.core.enrolment_list import MAX_ENROLMENTS
from twinlock.core.primitives import SigningKey
from twinlock.core.proposal import Proposal, decode_proposal
from twinlock.core.release import sign_message, split_signed

_CHANGE: Final = "twinlock/v1/member-change"
MAX_CHANGE_SIZE: Final = 64 << 20
LOGIN_KINDS: Final = ("split", "scram", "passkey")
SPLIT_ANEW: Final = "split-anew"
"""Takes the place of a split login, if there is one: for a password that is only hardened anew."""

MAX_LOGINS: Final = 64
MAX_PROPOSALS: Final = 2048


@dataclass(frozen=True, slots=True)
class Login:
    """What a sign-in is compared with. ``kind``: ``split``, ``scram`` or ``passkey``.

    ``value`` None forgets all of that kind. Of ``split`` and ``scram`` there is one.
    """

    kind: str
    value: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class MemberChange:
    """The new signed list, all enrolments that are kept at the server, and what goes with them.

    ``logins`` are done in order; what they do not name stays. ``proposals`` are entries of the
    member's groups that must be appended with it, all or none.
    """

    signed_list: bytes
    blobs: tuple[bytes, ...]
    logins: tuple[Login, ...] = ()
    proposals: tuple[Proposal, ...] = ()

    def signed(self, key: SigningKey) -> bytes:
        """Encode, and sign with the signing key that the list is signed with."""
        return sign_message(
            cbor.encode(
                [
                    _CHANGE,
                    self.signed_list,
                    list(self.blobs),
                    [[login.kind, login.value] for login in self.logins] or None,
                    [proposal.encode() for proposal in self.proposals],
                ]
            ),
            key,
        )


def decode_member_change(signed: bytes) -> tuple[MemberChange, bytes, bytes]:
    """Return a change, the bytes that are signed, and the signature, which nobody has verified.

    Raises ``format.*``.
    """
    message, signature = split_signed(signed, max_size=MAX_CHANGE_SIZE)
    items = cbor.decode_labelled(message, _CHANGE, 5, max_size=MAX_CHANGE_SIZE)
    _, signed_list, blobs, logins, proposals = items
    change = MemberChange(
        cbor.take_bytes(signed_list),
        tuple(cbor.take_bytes(blob) for blob in cbor.take_list(blobs, 0, MAX_ENROLMENTS)),
        ()
        if logins is None
        else tuple(_take_login(login) for login in cbor.take_list(logins, 1, MAX_LOGINS)),
        tuple(
            decode_proposal(cbor.take_bytes(raw))
            for raw in cbor.take_list(proposals, 0, MAX_PROPOSALS)
        ),
    )
    return change, message, signature


def _take_login(value: Any) -> Login:
    kind, stored = cbor.take_list(value, 2, 2)
    return Login(cbor.take_text(kind), None if stored is None else cbor.take_bytes(stored))
