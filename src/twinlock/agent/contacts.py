"""A member's own contacts: choosing them, seeing who can still help, cancelling (SPEC 31)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from twinlock.agent.admin import GroupAdmin
from twinlock.agent.recovery_book import SeenNotice
from twinlock.core.contacts.letter import DEFAULT_WAIT, MIN_WAIT, Contact, Terms
from twinlock.core.contacts.sharing import SecretSharing
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors.contacts import (
    KIND,
    ChosenContacts,
    ContactRow,
    take_contacts_parameters,
)
from twinlock.core.membership import GroupState, Membership, RecoveryCancel
from twinlock.core.proposal import Proposal
from twinlock.errors import CallerError


class Ability(StrEnum):
    """Whether a contact can still help."""

    CAN_HELP = "can-help"
    KEYS_CHANGED = "keys-changed"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class ContactStanding:
    """One contact; ``name`` is empty for somebody whom the group does not know any more."""

    member_id: bytes
    name: str
    ability: Ability


@dataclass(frozen=True, slots=True)
class Standing:
    """One enrolment's contacts, as the group's log shows them now."""

    enrolment_id: bytes
    terms: Terms
    group: str
    contacts: tuple[ContactStanding, ...]

    @property
    def able(self) -> int:
        """How many can still help."""
        return sum(1 for contact in self.contacts if contact.ability is Ability.CAN_HELP)

    @property
    def warning(self) -> str | None:
        """What the member should know, or None."""
        needed = self.terms.needed
        if self.able < needed:
            return f"Useless: {needed} contacts are needed, and only {self.able} can help."
        if self.able == needed:
            return f"All {self.able} contacts who can still help are needed."
        return None


def choose_contacts(
    admin: GroupAdmin,
    group_id: bytes,
    contacts: Sequence[bytes],
    *,
    needed: int,
    sharing: SecretSharing,
    wait: int = DEFAULT_WAIT,
    min_wait: int = MIN_WAIT,
) -> ChosenContacts:
    """Return the factor ``contacts`` for a new way in: ``needed`` of these members together.

    ``contacts`` are member ids in a followed, verified group (``group_id``), where a recovery is
    announced ``wait`` seconds (at least ``min_wait``) before any share. Raises CallerError
    ``group.not-followed``, ``contacts.not-in-group``, ``contacts.terms``.
    """
    known = admin.state.groups.get(group_id)
    if known is None or not known.verified or admin.state.member_id not in known.state.members:
        raise CallerError(
            "group.not-followed",
            "This agent does not follow that group as one of its members.",
            hint="Accept an invitation to it first.",
        )
    if wait < min_wait:
        raise CallerError(
            "contacts.terms",
            f"The waiting time of a recovery is at least {min_wait} seconds.",
            hint="It is the member's time to notice that somebody passes for him.",
        )
    terms = Terms(needed, len(contacts), wait, group_id)
    chosen = [_contact(_in_group(known.state, member_id)) for member_id in contacts]
    return ChosenContacts(chosen, terms, sharing)


def standings(admin: GroupAdmin) -> list[Standing]:
    """Return every enrolment with contacts that is here, with who can still help."""
    return [
        _standing(admin, enrolment)
        for enrolment in admin.state.enrolments
        if KIND in enrolment.kinds
    ]


def open_notices(admin: GroupAdmin) -> list[SeenNotice]:
    """Return the announced recoveries of this very member that nobody ended."""
    mine = admin.state.member_id
    notices = admin.state.recoveries.notices.values()
    return [notice for notice in notices if notice.member_id == mine and not notice.ended]


def cancel(admin: GroupAdmin, digest: bytes) -> list[Proposal]:
    """Cancel a recovery, one's own or as an admin: proposals for the logs that announce it.

    Raises CallerError ``recovery.unknown`` or ``recovery.not-yours``.
    """
    notices = admin.state.recoveries.notices.values()
    announced = [notice for notice in notices if notice.digest == digest and not notice.ended]
    if not announced:
        raise CallerError(
            "recovery.unknown",
            "No followed group announces such a recovery that is still open.",
            hint="Follow the groups; `twinlock member contacts show` lists the notices.",
        )
    mine = [notice for notice in announced if _may_cancel(admin, notice)]
    if not mine:
        raise CallerError(
            "recovery.not-yours",
            "Only the member whose recovery it is, or an admin of the group, cancels it.",
            hint="Tell one of them.",
        )
    groups = sorted({notice.group_id for notice in mine})
    return [admin.notify(group_id, RecoveryCancel(digest)) for group_id in groups]


def _may_cancel(admin: GroupAdmin, notice: SeenNotice) -> bool:
    mine, group = admin.state.member_id, admin.state.groups[notice.group_id].state
    return mine in group.members and (notice.member_id == mine or mine in group.admins)


def _in_group(group: GroupState, member_id: bytes) -> Membership:
    found = group.members.get(member_id)
    if found is None:
        raise CallerError(
            "contacts.not-in-group",
            f"The group {group.name} has no member {member_id.hex()}.",
            hint="Choose contacts among the members of one group.",
        )
    return found


def _contact(membership: Membership) -> Contact:
    member = membership.member
    return Contact(member.member_id, member.kem, member.kem_public)


def _standing(admin: GroupAdmin, enrolment: Enrolment) -> Standing:
    parameters = take_contacts_parameters(dict(enrolment.factors)[KIND])
    known = admin.state.groups.get(parameters.terms.group_id)
    group = None if known is None else known.state
    return Standing(
        enrolment.enrolment_id,
        parameters.terms,
        "" if group is None else group.name,
        tuple(_contact_standing(group, row) for row in parameters.rows),
    )


def _contact_standing(group: GroupState | None, row: ContactRow) -> ContactStanding:
    membership = None if group is None else group.members.get(row.contact_id)
    if membership is None:
        return ContactStanding(row.contact_id, "", Ability.LEFT)
    member = membership.member
    same = member.kem_kid == row.kem_kid
    return ContactStanding(
        row.contact_id, member.name, Ability.CAN_HELP if same else Ability.KEYS_CHANGED
    )
