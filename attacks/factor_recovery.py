"""A lost device loses no data, and fewer contacts than are needed open nothing.

The attackers hold one contact of two that are needed, the server, the database and the HSM
interface, which has no part in these enrolments. What they can have contacts do is tried in
``factor_recovery_contacts``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from attacks.factor_contacts import DAY, GROUP, MEMBER, SHARING, Staff
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.people import Insider
from attacks.world import World
from twinlock.agent import ways
from twinlock.agent.admin import GroupAdmin
from twinlock.agent.agent import Agent
from twinlock.agent.home import FileHome
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.revocation import finish_revocation
from twinlock.agent.state import state_path
from twinlock.agent.ways import NewWay
from twinlock.core.contacts.letter import Contact, Letter, open_letter
from twinlock.core.context import Context
from twinlock.core.enrolment import Enrolment, decode_enrolment, enrol, unlock
from twinlock.core.factors import Place
from twinlock.core.factors.contacts import (
    ChosenContacts,
    ContactRow,
    ContactsFactor,
    take_contacts_parameters,
)
from twinlock.core.secret import Secret
from twinlock.errors import DataError, TwinlockError
from twinlock.sharing.shamir import Shamir

_NOTE: Final = Context(table="note", record=18, column="text")
_TEXT: Final = "what Pia wrote before"
_ROW: Final = ChosenContacts._row


def _other_seed(_: Secret, *given: Any, **named: Any) -> Enrolment:
    return enrol(Secret(os.urandom(32)), *given, **named)


@attack(
    id="recovery-no-loss",
    claim="recovery",
    attack=18,
    says="a member's device is lost; she comes back by another way in, or by her contacts",
    mutations=[
        Mutation(
            "new member keys get the newest epoch alone",
            lambda: weakened((GroupAdmin, "_seeds", lambda *_: {})),
        ),
        Mutation(
            "each enrolment holds a seed of its own",
            lambda: weakened((ways, "enrol", _other_seed)),
        ),
    ],
    databases=False,
)
def recovery_no_loss(world: World, trial: Trial) -> None:
    """Broken is a record of before that she cannot open any more."""
    staff = Staff.gather(world)
    sealed = world.vault.seal(_TEXT, to=world.groups[GROUP], context=_NOTE)
    code, _ = RecoveryCode.create()

    def opens(agent: Agent) -> bool:
        agent.follow(world.vault.group_bundle(agent.hello()))
        request = world.vault.request([(_NOTE, sealed)])
        (opened,) = world.vault.open(request, agent.release(request))
        return opened.error is None and opened.text().reveal() == _TEXT

    def by_paper() -> Agent:
        pia = staff.agent(MEMBER)
        pia.ways.enrol(NewWay([code], "paper"), send=world.vault.members.accept)
        home = world.folder / "devices" / MEMBER
        return Agent.unlock(MEMBER, code, home=home, clock=world.clock)

    def by_contacts() -> Agent:
        staff.follow()
        tried = staff.begin()
        for name in ("eve", "olga"):
            tried.confirm(name)
        world.clock.later += DAY
        for name in ("eve", "olga"):
            tried.device.accept(tried.share(name), tried.codes[name])
        world.vault.members.accept(tried.recover(code))
        kept = FileHome(state_path(tried.home, MEMBER))
        return finish_revocation(kept, [code], staff.from_server().groups, clock=world.clock)

    backs: Mapping[str, Callable[[], Agent]] = {
        "another way in": by_paper,
        "two contacts": by_contacts,
    }
    for how, back in backs.items():
        with trial.attempt(how) as attempt:
            attempt.says(_lost(back, opens))


def _lost(back: Callable[[], Agent], opens: Callable[[Agent], bool]) -> bool:
    try:
        with back() as agent:
            return not opens(agent)
    except TwinlockError:
        return True


def _whole(_: Shamir, secret: Secret, needed: int, count: int) -> dict[int, Secret]:
    return dict.fromkeys(range(1, count + 1), secret)


def _first(_: Shamir, shares: Mapping[int, Secret]) -> Secret:
    return next(iter(shares.values()))


def _sealed_to_first(
    chosen: ChosenContacts, contact: Contact, index: int, share: Secret, place: Place
) -> ContactRow:
    first = chosen._contacts[0]
    to = replace(contact, kem=first.kem, kem_public=first.kem_public)
    return _ROW(chosen, to, index, share, place)


@attack(
    id="recovery-too-few",
    claim="recovery",
    attack=18,
    says="one contact of two, with the server, the database and the HSM interface",
    mutations=[
        Mutation(
            "each contact gets the whole secret",
            lambda: weakened((Shamir, "split", _whole), (Shamir, "combine", _first)),
        ),
        Mutation(
            "all letters are sealed to one contact's key",
            lambda: weakened((ChosenContacts, "_row", _sealed_to_first)),
        ),
    ],
    databases=False,
)
def recovery_too_few(world: World, trial: Trial) -> None:
    """Broken is Pia's seed in the attackers' hands."""
    staff = Staff.gather(world)
    eve = Insider.of(world, "eve")
    enrolment = decode_enrolment(staff.enrolment())
    held = _letters(enrolment, eve)
    index, share = next((letter.index, letter.share) for letter in held)
    with trial.attempt("letters of other contacts", "factor.wrong") as attempt:
        attempt.says(len(held) > 1 and _unlocks(enrolment, {x.index: x.share for x in held[:2]}))
    with trial.attempt("one share", "factor.wrong") as attempt:
        attempt.says(_unlocks(enrolment, {index: share}))
    with trial.attempt("one share twice", "factor.wrong") as attempt:
        attempt.says(_unlocks(enrolment, {index: share, index % 3 + 1: share}))


def _letters(enrolment: Enrolment, thief: Insider) -> list[Letter]:
    """All letters that a contact's key opens; a contact knows the own one."""
    found = []
    for row in take_contacts_parameters(enrolment.factors[0][1]).rows:
        try:
            found.append(
                open_letter(row.sealed, thief.keys.kem, enrolment.place, row.contact_id, row.index)
            )
        except DataError:
            continue
    return found


def _unlocks(enrolment: Enrolment, shares: Mapping[int, Secret]) -> bool:
    secret = SHARING.combine(shares)
    unlock(enrolment, [ContactsFactor(lambda: secret)])
    return True
