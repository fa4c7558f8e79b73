"""The list of a member's valid enrolments, as the member signed it (SPEC 28).

It says which ways in count, so that one put back from a backup does not; and it carries the
member's own pins, so that a new device needs nobody's word but the member's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from twinlock.core import cbor
from twinlock.core.enrolment import FULL_STRENGTH, MAX_FACTORS
from twinlock.core.membership import PinnedHead, Policy
from twinlock.core.membership.traits import EXCEPTIONS, PQ_AT_REST, SCRAM_ALONE, SOLE_PASSKEY
from twinlock.core.primitives import SigningKey
from twinlock.core.release import sign_message, verify_message
from twinlock.errors import DataError

_LIST: Final = "twinlock/v2/enrolment-list"
MAX_LIST_SIZE: Final = 1 << 18
MAX_ENROLMENTS: Final = 32
MAX_GROUPS: Final = 1024
MAX_LABEL: Final = 60
SYMMETRIC: Final = frozenset({"device-key", "recovery-code", "passkey"})
"""Kinds of full strength without a classical public-key step in what is stored."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One valid enrolment. ``made``: seconds since the epoch. ``label``: the member's own words.

    ``at_server``: it is kept there too, so that any computer of the member can fetch it.
    """

    enrolment_id: bytes
    kinds: tuple[str, ...]
    label: str
    made: int
    at_server: bool


@dataclass(frozen=True, slots=True)
class EnrolmentList:
    """A member's valid enrolments and own pins. ``identity``: the token's fingerprint."""

    deployment_id: bytes
    member_id: bytes
    counter: int
    enrolments: tuple[Listed, ...]
    identity: bytes
    groups: tuple[PinnedHead, ...]

    @property
    def ids(self) -> frozenset[bytes]:
        """The ids of the valid enrolments."""
        return frozenset(listed.enrolment_id for listed in self.enrolments)

    def encode(self) -> bytes:
        """Encode for signing."""
        return cbor.encode(
            [
                _LIST,
                self.deployment_id,
                self.member_id,
                self.counter,
                [
                    [e.enrolment_id, list(e.kinds), e.label, e.made, e.at_server]
                    for e in self.enrolments
                ],
                self.identity,
                [[p.group_id, p.seq, p.head] for p in sorted(self.groups, key=_group_id)],
            ]
        )

    def signed(self, key: SigningKey) -> bytes:
        """Sign with the member's signing key."""
        return sign_message(self.encode(), key)


def verify_enrolment_list(signed: bytes, public: bytes) -> EnrolmentList:
    """Verify a list with its member's signing key (65 bytes), then read it.

    Raises DataError ``enrolment.list-damaged``, also for one that somebody else signed.
    """
    try:
        return decode_enrolment_list(verify_message(signed, public, max_size=MAX_LIST_SIZE))
    except DataError as error:
        raise DataError(
            "enrolment.list-damaged",
            "The list of this member's ways in is not what the member signed.",
            hint="Do not go on with what the server sent; tell an admin.",
        ) from error


def decode_enrolment_list(raw: bytes) -> EnrolmentList:
    """Decode a verified list. Raises ``format.*``."""
    items = cbor.decode_labelled(raw, _LIST, 7, max_size=MAX_LIST_SIZE)
    _, deployment, member, counter, rows, identity, groups = items
    enrolments = tuple(_take_listed(row) for row in cbor.take_list(rows, 1, MAX_ENROLMENTS))
    if len({e.enrolment_id for e in enrolments}) != len(enrolments):
        raise cbor.malformed("it lists an enrolment twice")
    pins = tuple(_take_pin(pin) for pin in cbor.take_list(groups, 0, MAX_GROUPS))
    ids = [pin.group_id for pin in pins]
    if ids != sorted(set(ids)):
        raise cbor.malformed("its groups are not in ascending order")
    return EnrolmentList(
        cbor.take_bytes(deployment, 16),
        cbor.take_bytes(member, 16),
        cbor.take_uint(counter),
        enrolments,
        cbor.take_bytes(identity, 32),
        pins,
    )


def guessable(kinds: Iterable[str]) -> bool:
    """Say whether a stolen enrolment of these factors can be tested offline with guesses.

    A hardened password cannot: each guess is a call of the token. SPEC 28.
    """
    return FULL_STRENGTH.union({"password"}).isdisjoint(kinds)


def traits_of(ways: Iterable[Iterable[str]]) -> frozenset[str]:
    """Return what a member with these enrolments, each a set of kinds, has to state in the log.

    SPEC 18 says what groups make of it.
    """
    sets = [frozenset(kinds) for kinds in ways]
    stated = {
        PQ_AT_REST: all(not SYMMETRIC.isdisjoint(kinds) for kinds in sets),
        SCRAM_ALONE: any("scram" in kinds and FULL_STRENGTH.isdisjoint(kinds) for kinds in sets),
        SOLE_PASSKEY: all("passkey" in kinds for kinds in sets),
    }
    return frozenset(trait for trait, holds in stated.items() if holds and sets)


def refused_traits(policy: Policy, traits: frozenset[str]) -> frozenset[str]:
    """Return what of a member's traits, or which missing one, a group's policy refuses."""
    missing = {PQ_AT_REST} if policy.pq_at_rest else set()
    return ((traits & EXCEPTIONS) - policy.exceptions) | (missing - traits)


def _take_listed(value: Any) -> Listed:
    enrolment_id, kinds, label, made, at_server = cbor.take_list(value, 5, 5)
    label = cbor.take_text(label)
    if len(label) > MAX_LABEL or not label.isprintable():
        raise cbor.malformed("a label is not short and printable")
    if not isinstance(at_server, bool):
        raise cbor.malformed("where an enrolment is kept is not said with true or false")
    return Listed(
        cbor.take_bytes(enrolment_id, 16),
        tuple(cbor.take_text(kind) for kind in cbor.take_list(kinds, 1, MAX_FACTORS)),
        label,
        cbor.take_uint(made),
        at_server,
    )


def _take_pin(value: Any) -> PinnedHead:
    group_id, seq, head = cbor.take_list(value, 3, 3)
    return PinnedHead(cbor.take_bytes(group_id, 32), cbor.take_uint(seq), cbor.take_bytes(head, 32))


def _group_id(pin: PinnedHead) -> bytes:
    return pin.group_id
