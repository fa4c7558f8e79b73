"""What a server hands out of a member: before unlocking one enrolment, afterwards all (SPEC 28)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twinlock.core import cbor
from twinlock.core.enrolment_list import MAX_ENROLMENTS
from twinlock.core.request import statement_item, take_statement
from twinlock.core.statements import Statement

_BUNDLE: Final = "twinlock/v1/member-bundle"
_REQUEST: Final = "twinlock/v1/member-bundle-request"
MAX_BUNDLE_SIZE: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class MemberBundle:
    """Enrolments of a member, the member's signed list, and the token directory.

    Before unlocking, ``signed_list`` is empty and there is one blob, a decoy for a name that is no
    member's. Afterwards there may be no blob, of a member who keeps all ways in elsewhere. Nothing
    in it is trusted before it was verified with the member's own keys and the pinned token.
    """

    deployment_id: bytes
    member_id: bytes
    name: str
    signed_list: bytes
    blobs: tuple[bytes, ...]
    statements: tuple[Statement, ...]

    def encode(self) -> bytes:
        """Encode for the agent."""
        return cbor.encode(
            [
                _BUNDLE,
                self.deployment_id,
                self.member_id,
                self.name,
                self.signed_list,
                list(self.blobs),
                [statement_item(s) for s in self.statements],
            ]
        )


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """An unlocked member's wish to get all of its enrolments. ``time``: by its own clock."""

    deployment_id: bytes
    member_id: bytes
    time: int

    def encode(self) -> bytes:
        """Encode for signing."""
        return cbor.encode([_REQUEST, self.deployment_id, self.member_id, self.time])


def decode_bundle_request(raw: bytes) -> BundleRequest:
    """Decode what was or will be verified. Raises ``format.*``."""
    _, deployment, member, time = cbor.decode_labelled(raw, _REQUEST, 4, max_size=1024)
    return BundleRequest(
        cbor.take_bytes(deployment, 16), cbor.take_bytes(member, 16), cbor.take_uint(time)
    )


def decode_member_bundle(raw: bytes) -> MemberBundle:
    """Decode a bundle; verifies nothing. Raises ``format.*``."""
    items = cbor.decode_labelled(raw, _BUNDLE, 7, max_size=MAX_BUNDLE_SIZE)
    _, deployment, member, name, signed_list, blobs, statements = items
    kept = tuple(cbor.take_bytes(blob) for blob in cbor.take_list(blobs, 0, MAX_ENROLMENTS))
    if not kept and not signed_list:
        raise cbor.malformed("it holds neither an enrolment nor a list of them")
    return MemberBundle(
        cbor.take_bytes(deployment, 16),
        cbor.take_bytes(member, 16),
        cbor.take_text(name),
        cbor.take_bytes(signed_list),
        kept,
        tuple(take_statement(s) for s in cbor.take_list(statements)),
    )
