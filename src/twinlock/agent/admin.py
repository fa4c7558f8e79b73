"""What a member's agent does to a group: it builds, signs and seals; the server only stores.

Every verb returns a ``Proposal`` for the server. Nothing changes in the agent until the entry comes
back through ``Agent.follow``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from twinlock.agent.keys import GroupKeys
from twinlock.agent.state import KnownGroup, MemberState, own_member
from twinlock.core.enrolment import MemberKeys
from twinlock.core.membership import (
    Add,
    ColumnState,
    EpochKey,
    Found,
    GroupState,
    Invitation,
    Leave,
    Member,
    MemberCard,
    MemberRekey,
    NewEpoch,
    Notice,
    Op,
    Policy,
    Remove,
    Restate,
    Role,
    SetAdmins,
    SetColumn,
    SetIdentity,
    SetPolicy,
    SetWriters,
    SignedEntry,
    Writer,
    add_signature,
    apply,
    found_entry,
    info_group_key,
    next_entry,
    replay,
    sign_entry,
)
from twinlock.core.ports import Clock, Randomness
from twinlock.core.primitives import Kem, hpke_seal, kem_key_from_seed
from twinlock.core.proposal import Proposal, SealedKeyFor
from twinlock.core.secret import Secret
from twinlock.errors import CallerError

INVITATION_LIFE: Final = 14 * 86400


@dataclass(frozen=True, slots=True)
class GroupAdmin:
    """The verbs on groups, with one unlocked member's keys. Get it from ``Agent.admin``."""

    state: MemberState
    keys: MemberKeys
    group_keys: GroupKeys
    save: Callable[[], None]
    clock: Clock
    randomness: Randomness

    # --- founding and inviting ---------------------------------------------------------------

    def found(
        self,
        name: str,
        policy: Policy,
        *,
        others: Iterable[tuple[bytes, Role]] = (),
        writers: Iterable[Writer] = (),
        kem: Kem = Kem.DHKEM_P256,
        admin_k: int = 1,
        recovery: bytes | None = None,
    ) -> list[Proposal]:
        """Found a group with this member as admin, and name its writers.

        ``others`` are member cards with roles, already compared with their owners. Returns the
        proposals to append in order: the founding, and, if writers are given, ``set-writers``.
        """
        identity = self.state.identity
        if identity is None:
            raise CallerError(
                "agent.no-identity",
                "This member has pinned no token yet.",
                hint="Create the member with the deployment's card.",
            )
        members = [(own_member(self.state, self.keys), Role.ADMIN)]
        members += [(self._card(raw).member, role) for raw, role in others]
        seed, public = self._new_group_key(kem)
        op = Found(
            nonce=self.randomness(16),
            name=name,
            policy=policy,
            kem=kem,
            public=public,
            members=tuple(members),
            admin_k=admin_k,
            identity_fingerprint=identity,
            recovery=recovery,
        )
        entry = found_entry(
            op,
            deployment_id=self.state.deployment_id,
            actor_id=self.state.member_id,
            time=self.clock(),
        )
        signed = sign_entry(entry, self.keys.signing, self.state.member_id)
        founded = replay([signed.encode()], deployment_id=self.state.deployment_id)
        proposals = [self._proposal(founded, signed, {1: seed}, (m for m, _ in members))]
        self.state.groups[founded.group_id] = KnownGroup(founded, verified=True)
        if writers:
            op_writers = SetWriters(tuple(writers))
            proposals.append(Proposal(self._sign(founded, op_writers).encode()))
        self.save()
        return proposals

    def invite(self, group_id: bytes) -> Invitation:
        """Make an invitation, to be handed over outside the server; remembered until it is used."""
        group = self._group(group_id)
        invitation = Invitation(
            deployment_id=self.state.deployment_id,
            group_name=group.name,
            pin=group.pin,
            identity_fingerprint=group.identity_fingerprint,
            invitation_id=self.randomness(16),
            secret=Secret(self.randomness(16)),
            expires=self.clock() + INVITATION_LIFE,
        )
        self.state.issued[invitation.invitation_id] = invitation
        self.save()
        return invitation

    # --- members -----------------------------------------------------------------------------

    def add(
        self, group_id: bytes, card: bytes, role: Role = Role.MEMBER, *, compared: bool = False
    ) -> Proposal:
        """Add a member by card; all epochs' keys are sealed to it, so that it opens old records.

        The card must answer an invitation of this admin's, unless ``compared`` says that its
        fingerprint was compared with its owner by another way. Raises ``member.card-invalid``,
        ``member.not-invited`` or ``invitation.expired``.
        """
        shown = self._card(card)
        invitation = self.state.issued.get(shown.invitation_id)
        if invitation is not None:
            invitation.require_fresh(self.clock())
            if invitation.group_id != group_id:
                raise _not_invited()
            shown.check_invited(invitation)
        elif not compared:
            raise _not_invited()
        group = self._group(group_id)
        signed = self._sign(group, Add(shown.member, role))
        after = apply(group, signed)
        proposal = self._proposal(after, signed, self._seeds(group_id), [shown.member])
        self.state.issued.pop(shown.invitation_id, None)
        self.save()
        return proposal

    def remove(self, group_id: bytes, member_id: bytes) -> Proposal:
        """Remove a member and begin the next epoch, in one entry.

        What was sealed before stays readable with old copies until it is re-sealed.
        """
        group = self._group(group_id)
        seed, epoch_key = self._next_epoch(group)
        return self._epoch_proposal(group, Remove(member_id, epoch_key), seed, (member_id,))

    def leave(self, group_id: bytes) -> Proposal:
        """Leave a group; the admins should begin another epoch afterwards."""
        group = self._group(group_id)
        seed, epoch_key = self._next_epoch(group)
        return self._epoch_proposal(group, Leave(epoch_key), seed, (self.state.member_id,))

    def new_epoch(self, group_id: bytes) -> Proposal:
        """Begin the next epoch of a group's key without changing its members."""
        group = self._group(group_id)
        seed, epoch_key = self._next_epoch(group)
        return self._epoch_proposal(group, NewEpoch(epoch_key), seed, ())

    # --- what a member says alone --------------------------------------------------------------

    def restate(self, group_id: bytes, traits: Iterable[str]) -> Proposal:
        """State what this member's ways in are now. Raises ``log.trait`` or ``log.not-allowed``."""
        return self._own(group_id, Restate(frozenset(traits)))

    def notify(self, group_id: bytes, notice: Notice) -> Proposal:
        """Tell the group's members about a recovery; the group stays as it is."""
        return self._own(group_id, notice)

    def rekey(self, group_id: bytes, new_keys: MemberKeys, traits: Iterable[str] = ()) -> Proposal:
        """Give this member other keys in a group, with the next epoch, in one entry.

        ``traits`` are those of the enrolments that hold the new seed. Every epoch's group key is
        sealed to the new key, so that what was sealed before stays readable; the next one's to
        everybody. This agent goes on with the old keys until it is unlocked with the new ones.
        Raises ``log.trait``, ``log.not-allowed``, ``group.key-missing``.
        """
        group = self._group(group_id)
        seed, epoch_key = self._next_epoch(group)
        kem, signing = new_keys.kem, new_keys.signing
        op = MemberRekey(kem.kem, kem.public, signing.public, epoch_key, frozenset(traits))
        signed = add_signature(self._sign(group, op), signing, self.state.member_id)
        after = apply(group, signed)
        others = {i: m.member for i, m in after.members.items()}
        own = others.pop(self.state.member_id)
        begun, entry_hash = {epoch_key.number: seed}, signed.entry_hash
        keys = self._sealed(after, entry_hash, self._seeds(group_id) | begun, [own])
        keys += self._sealed(after, entry_hash, begun, others.values())
        return Proposal(signed.encode(), keys)

    # --- rules -------------------------------------------------------------------------------

    def set_admins(self, group_id: bytes, admins: Iterable[bytes], admin_k: int) -> Proposal:
        """Name all admins, and how many of them must sign a change."""
        return self._plain(group_id, SetAdmins(frozenset(admins), admin_k))

    def set_writers(self, group_id: bytes, writers: Iterable[Writer]) -> Proposal:
        """Name all writers whose content the group accepts."""
        return self._plain(group_id, SetWriters(tuple(writers)))

    def set_identity(self, group_id: bytes, fingerprint: bytes) -> Proposal:
        """Vouch for a new identity key of the token, by its 32-byte fingerprint."""
        return self._plain(group_id, SetIdentity(fingerprint))

    def set_policy(self, group_id: bytes, policy: Policy) -> Proposal:
        """Set the group's policy; lowering a floor needs every admin, or admin_k of them."""
        return self._plain(group_id, SetPolicy(policy))

    def set_column(self, group_id: bytes, table: str, column: str, state: ColumnState) -> Proposal:
        """Say whether legacy values of an adopted column may still be read.

        Going back from CUT_OVER to LEGACY needs every admin, or admin_k of them.
        """
        return self._plain(group_id, SetColumn(table, column, state))

    def cosign(self, proposal: Proposal) -> Proposal:
        """Add this admin's signature to another admin's proposal."""
        signed = SignedEntry.decode(proposal.signed_entry)
        if signed.entry.group_id not in self.state.groups:
            raise _unknown_group()
        more = add_signature(signed, self.keys.signing, self.state.member_id)
        return Proposal(more.encode(), proposal.keys)

    # --- building ----------------------------------------------------------------------------

    def _plain(self, group_id: bytes, op: Op) -> Proposal:
        return Proposal(self._sign(self._group(group_id), op).encode())

    def _own(self, group_id: bytes, op: Op) -> Proposal:
        """What no admin has to sign is checked at once."""
        group = self._group(group_id)
        signed = self._sign(group, op)
        apply(group, signed)
        return Proposal(signed.encode())

    def _sign(self, group: GroupState, op: Op) -> SignedEntry:
        entry = next_entry(group, op, actor_id=self.state.member_id, time=self.clock())
        return sign_entry(entry, self.keys.signing, self.state.member_id)

    def _epoch_proposal(
        self, group: GroupState, op: Op, seed: Secret, going: tuple[bytes, ...]
    ) -> Proposal:
        signed = self._sign(group, op)
        staying = [m.member for i, m in group.members.items() if i not in going]
        number = group.current_epoch.number + 1
        keys = self._sealed(group, signed.entry_hash, {number: seed}, staying)
        return Proposal(signed.encode(), keys)

    def _proposal(
        self,
        after: GroupState,
        signed: SignedEntry,
        seeds: dict[int, Secret],
        members: Iterable[Member],
    ) -> Proposal:
        return Proposal(signed.encode(), self._sealed(after, signed.entry_hash, seeds, members))

    def _sealed(
        self,
        group: GroupState,
        entry_hash: bytes,
        seeds: dict[int, Secret],
        members: Iterable[Member],
    ) -> tuple[SealedKeyFor, ...]:
        sealed = []
        for member in members:
            for epoch, seed in seeds.items():
                info = info_group_key(
                    deployment_id=group.deployment_id,
                    group_id=group.group_id,
                    epoch=epoch,
                    entry_hash=entry_hash,
                    member_id=member.member_id,
                    kem_kid=member.kem_kid,
                )
                blob = hpke_seal(member.kem, member.kem_public, info, seed.reveal())
                sealed.append(SealedKeyFor(epoch, member.member_id, blob))
        return tuple(sealed)

    def _seeds(self, group_id: bytes) -> dict[int, Secret]:
        """The group keys of all epochs."""
        known = self.state.groups[group_id]
        return {number: self.group_keys.seed(known, number) for number in known.state.epochs}

    def _next_epoch(self, group: GroupState) -> tuple[Secret, EpochKey]:
        kem = group.current_epoch.kem
        seed, public = self._new_group_key(kem)
        return seed, EpochKey(group.current_epoch.number + 1, kem, public)

    def _new_group_key(self, kem: Kem) -> tuple[Secret, bytes]:
        seed = Secret(self.randomness(32))
        return seed, kem_key_from_seed(kem, seed).public

    def _group(self, group_id: bytes) -> GroupState:
        known = self.state.groups.get(group_id)
        if known is None or not known.verified:
            raise _unknown_group()
        return known.state

    def _card(self, raw: bytes) -> MemberCard:
        shown = MemberCard.decode(raw)
        if shown.deployment_id != self.state.deployment_id:
            raise CallerError(
                "member.other-deployment",
                "This member card belongs to another deployment.",
                hint="Ask for a card that was made for this one.",
            )
        return shown


def _unknown_group() -> CallerError:
    return CallerError(
        "group.not-followed",
        "This agent does not follow that group, or knows it unverified only.",
        hint="Accept an invitation to it first.",
    )


def _not_invited() -> CallerError:
    return CallerError(
        "member.not-invited",
        "This card answers no open invitation of yours to this group.",
        hint="Invite the person first, or compare the card's fingerprint by phone and say so.",
    )
