"""What a member's agent remembers between runs: enrolments, pins, counters, budgets.

One file per member, authenticated with a key from the member's seed. The enrolments in it are
needed before that key is there; they authenticate themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from twinlock.agent.budget import BudgetLedger
from twinlock.agent.recovery_book import RecoveryBook, decode_recovery_book
from twinlock.core import cbor
from twinlock.core.deployment import DeploymentCard
from twinlock.core.enrolment import Enrolment, MemberKeys, decode_enrolment
from twinlock.core.enrolment_list import EnrolmentList, traits_of, verify_enrolment_list
from twinlock.core.membership import (
    GroupState,
    Invitation,
    Member,
    PinnedHead,
    decode_state,
    encode_state,
    parse_invitation,
)
from twinlock.core.primitives import equal, hmac_sha256
from twinlock.core.secret import Secret
from twinlock.errors import DataError
from twinlock.files import read_private, write_private

_STATE: Final = "twinlock/v1/agent-state"
_BODY: Final = "twinlock/v2/agent-state-body"
_FORMER_BODY: Final = "twinlock/v1/agent-state-body"
_MAX_SIZE: Final = 256 << 20
NO_RELEASE: Final = bytes(32)


@dataclass(frozen=True)
class KnownGroup:
    """A group that this agent follows; ``verified``: through an invitation or by founding it."""

    state: GroupState
    verified: bool

    @cached_property
    def encoded(self) -> bytes:
        """The state's snapshot; kept, because a large group's takes a while."""
        return encode_state(self.state)


@dataclass(frozen=True, slots=True)
class AgentSession:
    """A session of this agent: its nonce bounds the age of every transport key it accepts.

    ``begun`` is in seconds since the epoch.
    """

    nonce: bytes
    session_hash: bytes
    begun: int


@dataclass(slots=True)
class MemberState:
    """The content of a member's state file."""

    deployment_id: bytes
    member_id: bytes
    name: str
    enrolments: list[Enrolment]
    identity: bytes | None = None
    counter: int = 0
    previous: bytes = NO_RELEASE
    audit_head: bytes = NO_RELEASE
    groups: dict[bytes, KnownGroup] = field(default_factory=dict)
    accepted: dict[bytes, Invitation] = field(default_factory=dict)
    """Invitations that this member accepted, by group: the heads to demand at first contact."""
    issued: dict[bytes, Invitation] = field(default_factory=dict)
    """Invitations that this admin handed out and that were not used yet, by invitation id."""
    ledger: BudgetLedger = field(default_factory=BudgetLedger)
    sessions: list[AgentSession] = field(default_factory=list)
    signed_list: bytes = b""
    """The newest list of valid enrolments, signed; empty for a state of before there were lists."""
    listed: EnrolmentList | None = None
    """What ``signed_list`` says, verified."""
    recoveries: RecoveryBook = field(default_factory=RecoveryBook)
    """Recoveries that groups' logs announce, and those that this member helps with."""
    in_file: frozenset[bytes] = frozenset()
    """Invitation ids and session nonces that were in the file when this run last saw it: what is
    in one of file and memory only was ended by the other."""

    def _body(self) -> bytes:
        return cbor.encode(
            [
                _BODY,
                self.identity,
                self.counter,
                self.previous,
                self.audit_head,
                [[g.encoded, g.verified] for g in self.groups.values()],
                [i.to_text().reveal() for i in self.accepted.values()],
                [i.to_text().reveal() for i in self.issued.values()],
                [[g, [list(e) for e in spent]] for g, spent in self.ledger.spent.items()],
                [[s.nonce, s.session_hash, s.begun] for s in self.sessions],
                self.signed_list,
                self.recoveries.items(),
            ]
        )

    @property
    def list_counter(self) -> int:
        """The counter of the newest list; 0 before there is one."""
        return 0 if self.listed is None else self.listed.counter

    @property
    def ways(self) -> tuple[tuple[str, ...], ...]:
        """The kinds of each valid enrolment, also of those that are not kept here."""
        valid = self.enrolments if self.listed is None else self.listed.enrolments
        return tuple(enrolment.kinds for enrolment in valid)

    def pin_of(self, group_id: bytes) -> PinnedHead | None:
        """Return the head to demand of a group at first contact: an invitation's, or one's own."""
        if (invitation := self.accepted.get(group_id)) is not None:
            return invitation.pin
        own = () if self.listed is None else self.listed.groups
        return next((pin for pin in own if pin.group_id == group_id), None)

    def take_list(self, signed: bytes, listed: EnrolmentList, known: Iterable[Enrolment]) -> None:
        """Put a verified list in place; of ``known`` and the present enrolments its own remain."""
        by_id = {e.enrolment_id: e for e in [*known, *self.enrolments]}
        order = [e.enrolment_id for e in listed.enrolments]
        self.enrolments = [by_id[i] for i in order if i in by_id]
        self.signed_list, self.listed = signed, listed

    def note_written(self) -> None:
        """Remember what the kept state holds now."""
        self.in_file = frozenset({*self.issued, *(session.nonce for session in self.sessions)})

    def encode(self, state_key: Secret) -> bytes:
        """Encode and authenticate."""
        header = [self.deployment_id, self.member_id, self.name, [e.raw for e in self.enrolments]]
        body = self._body()
        return cbor.encode([_STATE, *header, body, _tag(state_key, header, body)])


@dataclass(frozen=True, slots=True)
class LockedState:
    """A state file before its member is unlocked: only the enrolments can be used."""

    deployment_id: bytes
    member_id: bytes
    name: str
    enrolments: tuple[Enrolment, ...]
    _body: bytes
    _tag: bytes

    @property
    def pinned(self) -> DeploymentCard | None:
        """The deployment and the token that the file names; authentic only once it was unlocked.

        A file that names another token has passwords hardened by that one, blinded: it learns
        nothing, and what comes back opens nothing. Raises ``format.*``.
        """
        items = cbor.decode(self._body, max_size=_MAX_SIZE)
        identity = items[1] if isinstance(items, list) and len(items) > 1 else None
        if identity is None:
            return None
        return DeploymentCard(self.deployment_id, cbor.take_bytes(identity, 32))

    def unlocked(self, keys: MemberKeys) -> MemberState:
        """Authenticate the rest. Raises DataError ``agent.state-damaged``."""
        state = MemberState(self.deployment_id, self.member_id, self.name, list(self.enrolments))
        self.merge_into(state, keys)
        # Also one that no list names yet: a change whose answer got lost may have made it.
        state.enrolments = list(self.enrolments)
        return state

    def merge_into(self, state: MemberState, keys: MemberKeys) -> None:
        """Take over whatever this file knows and ``state`` does not: another run of the agent may
        have released, followed a group or opened a session meanwhile. Pins never go back.

        Raises DataError ``agent.state-damaged``.
        """
        *items, signed_list, recoveries = self._authentic_items(keys)
        identity, counter, previous, audit_head, groups, accepted, issued, spent, sessions = items
        if state.identity is None:
            state.identity = identity
        stored = BudgetLedger({g: [(minute, n) for minute, n in rows] for g, rows in spent})
        if cbor.take_uint(counter) > state.counter:
            state.counter = counter
            state.previous = cbor.take_bytes(previous, 32)
            state.audit_head = cbor.take_bytes(audit_head, 32)
            state.ledger = stored
        elif counter == state.counter:
            state.ledger.raise_to(stored)
        self._merge_enrolments(state, keys, cbor.take_bytes(signed_list))
        state.recoveries.merge(decode_recovery_book(recoveries))
        ours = {known.encoded for known in state.groups.values()}
        for raw, verified in groups:
            if raw not in ours:
                _merge_group(state, KnownGroup(decode_state(raw), bool(verified)))
        for invitation in _invitations(accepted):
            if invitation.group_id not in state.groups:
                state.accepted.setdefault(invitation.group_id, invitation)
        self._merge_lists(state, _invitations(issued), sessions)

    def _merge_enrolments(self, state: MemberState, keys: MemberKeys, signed: bytes) -> None:
        listed = verify_enrolment_list(signed, keys.signing.public) if signed else None
        if listed is None:
            known = {e.raw for e in state.enrolments}
            state.enrolments += [e for e in self.enrolments if e.raw not in known]
        elif listed.counter > state.list_counter:
            state.take_list(signed, listed, self.enrolments)

    def _merge_lists(self, state: MemberState, issued: list[Invitation], sessions: Any) -> None:
        stored = {i.invitation_id: i for i in issued}
        opened = {n: AgentSession(n, digest, begun) for n, digest, begun in sessions}
        ours = {session.nonce: session for session in state.sessions}
        seen = state.in_file
        state.issued = {
            i: state.issued.get(i) or stored[i] for i in _merged(state.issued, stored, seen)
        }
        state.sessions = [ours.get(n) or opened[n] for n in _merged(ours, opened, seen)]
        state.in_file = frozenset({*stored, *opened})

    def _authentic_items(self, keys: MemberKeys) -> list[Any]:
        header = [self.deployment_id, self.member_id, self.name, [e.raw for e in self.enrolments]]
        if not equal(self._tag, _tag(keys.state_key, header, self._body)):
            raise DataError(
                "agent.state-damaged",
                "This member's state file was changed outside the agent.",
                hint="Restore the file from its backup; a fresh one needs a new invitation.",
            )
        items = cbor.decode(self._body, max_size=_MAX_SIZE)
        if items[:1] == [_FORMER_BODY]:
            former = cbor.decode_labelled(self._body, _FORMER_BODY, 10, max_size=_MAX_SIZE)
            return [*former[1:], b"", [[], []]]
        return cbor.decode_labelled(self._body, _BODY, 12, max_size=_MAX_SIZE)[1:]


def _merged(ours: Iterable[bytes], stored: Iterable[bytes], seen: frozenset[bytes]) -> list[bytes]:
    """What both know, and what either added since they last agreed on ``seen``; stored first."""
    mine, theirs = dict.fromkeys(ours), dict.fromkeys(stored)
    kept = [key for key in theirs if key in mine or key not in seen]
    return kept + [key for key in mine if key not in theirs and key not in seen]


def _merge_group(state: MemberState, stored: KnownGroup) -> None:
    known = state.groups.get(stored.state.group_id)
    if known is None or stored.state.seq > known.state.seq:
        state.groups[stored.state.group_id] = stored


def decode_locked(raw: bytes) -> LockedState:
    """Decode a state file. Raises ``format.*``."""
    items = cbor.decode_labelled(raw, _STATE, 7, max_size=_MAX_SIZE)
    _, deployment, member, name, enrolments, body, tag = items
    return LockedState(
        cbor.take_bytes(deployment, 16),
        cbor.take_bytes(member, 16),
        cbor.take_text(name),
        tuple(decode_enrolment(cbor.take_bytes(e)) for e in cbor.take_list(enrolments, 1, 100)),
        cbor.take_bytes(body),
        cbor.take_bytes(tag, 32),
    )


def own_member(state: MemberState, keys: MemberKeys) -> Member:
    """Return the member itself, as cards and log entries show it."""
    return Member(
        state.member_id,
        state.name,
        keys.kem.kem,
        keys.kem.public,
        keys.signing.public,
        traits_of(state.ways),
    )


def state_path(home: Path, name: str) -> Path:
    """Return where a member's state lies."""
    return home / f"{name}.member"


def load_state(path: Path) -> LockedState:
    """Read a state file. Raises ``file.*`` or ``format.*``."""
    return decode_locked(read_private(path, max_size=_MAX_SIZE))


def save_state(path: Path, state: MemberState, keys: MemberKeys, *, new: bool = False) -> None:
    """Write a state file atomically; ``new`` refuses to replace one."""
    write_private(path, state.encode(keys.state_key), exclusive=new)
    state.note_written()


def _tag(state_key: Secret, header: list[Any], body: bytes) -> bytes:
    return hmac_sha256(state_key.reveal(), cbor.encode([_STATE, header, body]))


def _invitations(values: Iterable[Any]) -> list[Invitation]:
    return [parse_invitation(cbor.take_text(value)) for value in values]
