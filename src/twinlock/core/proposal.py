"""What a member's agent hands to the server to change a group: a signed entry and sealed keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from twinlock.core import cbor

_PROPOSAL: Final = "twinlock/v2/proposal"
MAX_PROPOSAL_SIZE: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class SealedKeyFor:
    """The group key of one epoch (its 32-byte seed), HPKE-sealed to one member."""

    epoch: int
    member_id: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Proposal:
    """A signed log entry, and the group keys that it grants. Who loses keys follows from it."""

    signed_entry: bytes
    keys: tuple[SealedKeyFor, ...] = ()

    def encode(self) -> bytes:
        """Encode for the server, or for another admin to sign."""
        return cbor.encode(
            [
                _PROPOSAL,
                self.signed_entry,
                [[k.epoch, k.member_id, k.sealed] for k in self.keys],
            ]
        )


def decode_proposal(data: bytes) -> Proposal:
    """Decode a proposal. Raises ``format.*``."""
    _, entry, keys = cbor.decode_labelled(data, _PROPOSAL, 3, max_size=MAX_PROPOSAL_SIZE)
    return Proposal(
        cbor.take_bytes(entry),
        tuple(_take_key(key) for key in cbor.take_list(keys)),
    )


def _take_key(value: Any) -> SealedKeyFor:
    epoch, member_id, sealed = cbor.take_list(value, 3, 3)
    return SealedKeyFor(
        cbor.take_uint(epoch), cbor.take_bytes(member_id, 16), cbor.take_bytes(sealed)
    )
