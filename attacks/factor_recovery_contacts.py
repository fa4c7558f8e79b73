"""What contacts' agents do not do, whoever asks them and whatever the server shows them.

Somebody before a device says to be Pia; the admin and the server help him. Contacts read codes to
each other with whom they believe to be Pia, and only then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from attacks.building import group
from attacks.factor_contacts import ADMIN, CONTACTS, DAY, HOUR, MEMBER, Round, Staff
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.world import World
from twinlock.agent import aiding
from twinlock.agent.aiding import Aiding
from twinlock.agent.contacts import cancel
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.recovery_book import Aid, RecoveryBook, SeenNotice
from twinlock.agent.ways import NewWay
from twinlock.core.contacts.letter import Letter
from twinlock.core.contacts.messages import Ask
from twinlock.core.membership import GroupState, Member, Policy, RecoveryBegin, RecoveryCancel

_CONTACT: Final = "eve"
_AID: Final = Aiding._aid
_EXAMINE: Final = Aiding._examine
_NOTE: Final = RecoveryBook._note
_OPENINGS: Final[dict[bytes, bytes]] = {}
"""What the attackers' devices would open, for a build that asks nobody."""


def _confirmed(verbs: Aiding, digest: bytes) -> Aid:
    kept = _AID(verbs, digest)
    return replace(kept, confirmed=True, opening=_OPENINGS.get(digest, kept.opening))


def _no_cancel(book: RecoveryBook, group_id: bytes, signed: Any, *rest: Any) -> None:
    if not isinstance(signed.entry.op, RecoveryCancel):
        _NOTE(book, group_id, signed, *rest)


def _anywhere(verbs: Aiding, asked: Ask, _: Letter) -> SeenNotice | None:
    notices = verbs.state.recoveries.notices.values()
    return next((n for n in notices if n.digest == asked.request.digest), None)


def _by_the_blob(verbs: Aiding, asked: Ask) -> tuple[Letter, GroupState, Member]:
    letter, _, member = _EXAMINE(verbs, asked)
    said = replace(letter, terms=asked.letters.terms)
    return said, verbs.state.groups[said.terms.group_id].state, member


def _any_member(state: GroupState, letter: Letter) -> Member:
    return state.members[letter.place.member_id].member


@attack(
    id="recovery-contact",
    claim="recovery",
    attack=18,
    says="somebody else's device asks a contact's agent for the share",
    mutations=[
        Mutation("nobody has to confirm", lambda: weakened((Aiding, "_aid", _confirmed))),
        Mutation("nobody waits", lambda: weakened((Aiding, "_wait", lambda *_: 0))),
        Mutation(
            "cancellations are not read", lambda: weakened((RecoveryBook, "_note", _no_cancel))
        ),
        Mutation(
            "a notice counts in every group", lambda: weakened((Aiding, "_notice", _anywhere))
        ),
        Mutation(
            "what stands beside the letters is believed",
            lambda: weakened((Aiding, "_examine", _by_the_blob)),
        ),
        Mutation(
            "letters of before a revocation count",
            lambda: weakened((aiding, "_member_of", _any_member)),
        ),
    ],
    databases=False,
)
def recovery_contact(world: World, trial: Trial) -> None:
    """Broken is a share that the agent hands out."""
    staff = Staff.gather(world)
    _unconfirmed(staff, trial)
    _early(staff, trial)
    _elsewhere(staff, trial)
    _rewritten(staff, trial)
    _cancelled(staff, trial)
    _retired(staff, trial)


def _unconfirmed(staff: Staff, trial: Trial) -> None:
    """The admin alone: the notice is in the log, the time is over, and no contact was called."""
    tried = staff.begin()
    tried.reply(_CONTACT)
    _OPENINGS[tried.digest] = tried.opening(_CONTACT)
    _announce(staff, tried, ADMIN, staff.group_id)
    staff.world.clock.later += DAY
    with trial.attempt("without a call", "recovery.unconfirmed") as attempt:
        attempt.says(bool(tried.share(_CONTACT)))


def _early(staff: Staff, trial: Trial) -> None:
    tried = staff.begin()
    tried.confirm(_CONTACT)
    _OPENINGS[tried.digest] = tried.opening(_CONTACT)
    staff.world.clock.later += DAY - 60
    with trial.attempt("a minute too early", "recovery.waiting") as attempt:
        attempt.says(bool(tried.share(_CONTACT)))


def _elsewhere(staff: Staff, trial: Trial) -> None:
    """The time shall begin where Pia does not look: in a group of the admin's and the contact."""
    tried = staff.begin()
    opened = tried.device.open(tried.reply(_CONTACT))
    staff.aid(_CONTACT).confirm(opened.opening, opened.code)
    _OPENINGS[tried.digest] = opened.opening
    world = staff.world
    other = group(world, "aside", Policy(outer_suites=world.config.accept), ADMIN, _CONTACT)
    world.groups.pop("aside")
    _announce(staff, tried, ADMIN, other.group_id)
    world.clock.later += DAY
    with trial.attempt("a notice in another group", "recovery.no-notice") as attempt:
        attempt.says(bool(tried.share(_CONTACT)))


def _rewritten(staff: Staff, trial: Trial) -> None:
    tried = staff.begin()
    ask = tried.device.ask
    needed, _, group_id, rows = ask.parameters
    tried.device.ask = replace(ask, parameters=[needed, 0, group_id, rows])
    tried.confirm(_CONTACT)
    _OPENINGS[tried.digest] = tried.opening(_CONTACT)
    staff.world.clock.later += HOUR
    with trial.attempt("a shorter time beside the letter", "recovery.waiting") as attempt:
        attempt.says(bool(tried.share(_CONTACT)))


def _cancelled(staff: Staff, trial: Trial) -> None:
    tried = staff.begin()
    tried.confirm(_CONTACT)
    _OPENINGS[tried.digest] = tried.opening(_CONTACT)
    for proposal in cancel(staff.agent(MEMBER).admin, tried.digest):
        staff.world.vault.append(proposal)
    staff.world.clock.later += DAY
    with trial.attempt("after Pia's word", "recovery.cancelled") as attempt:
        attempt.says(bool(tried.share(_CONTACT)))


def _retired(staff: Staff, trial: Trial) -> None:
    """Pia has revoked everything; the old enrolment is in a backup, and a new device takes it."""
    world, old = staff.world, staff.enrolment()
    code, _ = RecoveryCode.create()
    world.follow(MEMBER)
    world.vault.members.accept(staff.agent(MEMBER).ways.revoke([NewWay([code])]))
    world.follow(*CONTACTS)
    tried = staff.begin(old)
    with trial.attempt("a letter of before", "recovery.retired") as attempt:
        tried.confirm(_CONTACT, followers=CONTACTS)
        _OPENINGS[tried.digest] = tried.opening(_CONTACT)
        world.clock.later += DAY
        attempt.says(bool(tried.share(_CONTACT)))


def _announce(staff: Staff, tried: Round, name: str, group_id: bytes) -> None:
    notice = RecoveryBegin(staff.id_of(MEMBER), tried.digest)
    staff.world.vault.append(staff.agent(name).admin.notify(group_id, notice))
    staff.follow()
