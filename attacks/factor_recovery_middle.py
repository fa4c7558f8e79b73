"""Somebody sits between a new device and the contacts: the server, or whoever carries the files.

Pia is genuine, and so are the contacts who talk to her: they read to each other what their devices
show. The weakened builds have codes of two digits, so that what can be searched for is found.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from attacks.factor_contacts import CONTACTS, DAY, MEMBER, NEEDED, Round, Staff
from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.world import World
from twinlock.agent import new_device, recovering
from twinlock.agent.new_device import Asked, NewDevice
from twinlock.agent.recovering import FromServer
from twinlock.agent.recovery import RecoveryCode
from twinlock.core.contacts import codes
from twinlock.core.contacts.codes import Codes, Transcript, nonce_commitment, seal_share
from twinlock.core.contacts.letter import Contact, Terms
from twinlock.core.contacts.messages import (
    Opening,
    RecoveryRequest,
    Reply,
    SealedShare,
    decode_opening,
    decode_reply,
)
from twinlock.core.enrolment import Enrolment, enrol, member_keys
from twinlock.core.enrolment_list import EnrolmentList, Listed
from twinlock.core.factors import Parameters, Place
from twinlock.core.factors.contacts import ChosenContacts, take_contacts_parameters
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.ports import Randomness
from twinlock.core.primitives import Kem, KemKey, kem_key_from_seed, signing_key_from_seed
from twinlock.core.request import GroupBundle, decode_group_bundle
from twinlock.core.secret import Secret
from twinlock.sharing.shamir import Shamir

_CONTACT: Final = "eve"
_OTHER: Final = "olga"
_SEARCH: Final = 2000
_SEED: Final = Secret(b"the seed that the server chose..")
_OF: Final = NewDevice._of
_ASKED: Final = Asked


def _unkeyed(transcript: Transcript) -> Codes:
    nonces = transcript.reply.contact_id
    return Codes(*(nonces.hex()[at : at + 8] for at in (0, 8)))


def _forgetful(device: NewDevice, digest: bytes, contact_id: bytes) -> Asked:
    return replace(_OF(device, digest, contact_id), reply=b"")


def _one_nonce(contact_id: bytes, _: bytes, *rest: bytes) -> Asked:
    return _ASKED(contact_id, b"one nonce for all of the contacts"[:32], *rest)


def _always(*_: Any) -> bool:
    return True


@attack(
    id="recovery-middle",
    claim="recovery",
    attack=18,
    says="a device of the server's in the place of Pia's new one",
    mutations=[
        Mutation(
            "codes do not depend on the device's key",
            lambda: weakened((Transcript, "codes", property(_unkeyed))),
        ),
        Mutation(
            "a device takes several replies of a contact, and codes have 2 digits",
            lambda: weakened((NewDevice, "_of", _forgetful), (codes, "DIGITS", 2)),
        ),
        Mutation(
            "a device is not held to its commitment, and codes have 2 digits",
            lambda: weakened((codes, "equal", _always), (codes, "DIGITS", 2)),
        ),
        Mutation(
            "one nonce for all contacts, and codes have 2 digits",
            lambda: weakened((new_device, "Asked", _one_nonce), (codes, "DIGITS", 2)),
        ),
    ],
    databases=False,
)
def recovery_middle(world: World, trial: Trial) -> None:
    """Broken is a contact's agent that takes the server's device for Pia's."""
    staff = Staff.gather(world)
    kinds: dict[str, tuple[Callable[[Between], str], tuple[str, ...]]] = {
        "another key": (_passed_on, ("recovery.code-differs",)),
        "a second reply": (_second_reply, ("recovery.second-reply",)),
        "another nonce than committed": (_other_nonce, ("recovery.commitment",)),
        "a nonce that another contact was shown": (_known_nonce, ("recovery.code-differs",)),
    }
    for kind, (have_code, refusals) in kinds.items():
        between = Between.begin(staff)
        with trial.attempt(kind, *refusals) as attempt:
            code = have_code(between)
            staff.aid(_CONTACT).confirm(between.opening, code)
            attempt.broke()


@dataclass(slots=True)
class Between:
    """The server with a device of its own. The contact talks to Pia, whose device it lies to."""

    staff: Staff
    pia: Round
    key: KemKey
    nonce: bytes
    request: RecoveryRequest
    reply: Reply

    @classmethod
    def begin(cls, staff: Staff) -> Between:
        """Put the own key into Pia's request, and have the contact reply to that."""
        pia, nonce = staff.begin(), os.urandom(32)
        key = kem_key_from_seed(Kem.DHKEM_P256, Secret(os.urandom(32)))
        asked = pia.device.ask.request
        request = replace(
            asked,
            device_public=key.public,
            commitments={
                contact: nonce_commitment(asked.place, contact, key.kem, key.public, nonce)
                for contact in asked.commitments
            },
        )
        ask = replace(pia.device.ask, request=request)
        reply = decode_reply(staff.aid(_CONTACT).reply(ask.encode()).reply)
        return cls(staff, pia, key, nonce, request, reply)

    @property
    def opening(self) -> bytes:
        """What its device opens to the contact."""
        return Opening(self.request.digest, self.reply.contact_id, self.nonce).encode()

    def heard(self, nonce: bytes | None = None) -> str:
        """The code that the contact's agent waits for, if the device opens this nonce."""
        opening = Opening(self.request.digest, self.reply.contact_id, nonce or self.nonce)
        return Transcript(self.request, self.reply, opening).codes.of_person

    def told(self, nonce: bytes) -> bytes:
        """The contact's reply, as Pia's device gets it; ``nonce`` is the server's to choose."""
        return replace(self.reply, digest=self.pia.digest, nonce=nonce).encode()

    def shown(self, reply: bytes, nonce: bytes) -> str:
        """The code that Pia's device shows for a reply, by whoever knows its nonce."""
        opening = Opening(self.pia.digest, self.reply.contact_id, nonce)
        request = self.pia.device.ask.request
        return Transcript(request, decode_reply(reply), opening).codes.of_person


def _passed_on(between: Between) -> str:
    """The contact's nonce goes on as it is."""
    return between.pia.device.open(between.told(between.reply.nonce)).code


def _second_reply(between: Between) -> str:
    """Pia's device opened its nonce to the first reply; a better one is searched for."""
    device = between.pia.device
    nonce = decode_opening(device.open(between.told(bytes(32))).opening).nonce
    return device.open(_searched(between, nonce)).code


def _other_nonce(between: Between) -> str:
    """Pia's code is known before the server's device opens: a nonce is searched that meets it."""
    code = between.pia.device.open(between.told(between.reply.nonce)).code
    for _ in range(_SEARCH):
        nonce = os.urandom(32)
        if between.heard(nonce) == code:
            break
    between.nonce = nonce
    return code


def _known_nonce(between: Between) -> str:
    """Pia's device has opened its nonce to Olga: if it is the same for Eve, a reply is found."""
    device, staff = between.pia.device, between.staff
    shown = device.open(staff.aid(_OTHER).reply(device.ask.encode()).reply)
    nonce = decode_opening(shown.opening).nonce
    return device.open(_searched(between, nonce)).code


def _searched(between: Between, nonce: bytes) -> bytes:
    for _ in range(_SEARCH):
        reply = between.told(os.urandom(32))
        if between.shown(reply, nonce) == between.heard():
            break
    return reply


# --- the server plays the contacts ---------------------------------------------------------------


class _Known:
    """Sharing by somebody who keeps the shares."""

    def __init__(self) -> None:
        self.shares: dict[int, Secret] = {}

    def split(self, secret: Secret, needed: int, count: int) -> dict[int, Secret]:
        self.shares = Shamir().split(secret, needed, count)
        return self.shares

    combine = Shamir.combine


class _AsPias(ChosenContacts):
    """Letters that say to lead to Pia's keys."""

    signing_kid = b""

    def new_parameters(self, randomness: Randomness, place: Place) -> Parameters:
        return super().new_parameters(randomness, replace(place, signing_kid=self.signing_kid))


@attack(
    id="recovery-impostor",
    claim="recovery",
    attack=18,
    says="the server has Pia's new device open an enrolment that the server made",
    mutations=[
        Mutation(
            "the device asks for no code of the contact's",
            lambda: weakened((new_device, "equal", _always)),
        ),
        Mutation(
            "the device does not compare whose keys it opened",
            lambda: weakened((recovering, "_require_who_was_asked_for", nothing)),
        ),
    ],
    databases=False,
)
def recovery_impostor(world: World, trial: Trial) -> None:
    """Broken is a device that goes on with a seed of the server's choice."""
    staff = Staff.gather(world)
    known = _Known()
    forged = _forged(staff, known)
    served = FromServer(_bundle(staff, forged), _no_groups(staff))
    with trial.attempt("the server plays the contacts", "recovery.code-differs") as attempt:
        tried = _round(staff, forged)
        for name in CONTACTS[:NEEDED]:
            tried.device.accept(_played(staff, tried, name, known), "00000000")
        attempt.says(bool(tried.recover(RecoveryCode.create()[0], served)))
    with trial.attempt("genuine contacts, forged letters", "recovery.other-member") as attempt:
        tried = _round(staff, forged)
        for name in CONTACTS[:NEEDED]:
            tried.confirm(name)
        world.clock.later += DAY
        for name in CONTACTS[:NEEDED]:
            tried.device.accept(tried.share(name), tried.codes[name])
        attempt.says(bool(tried.recover(RecoveryCode.create()[0], served)))


def _forged(staff: Staff, known: _Known) -> Enrolment:
    contacts = [
        Contact(i, m.member.kem, m.member.kem_public)
        for name in CONTACTS
        for i, m in staff.world.vault.group_states()[staff.group_id].members.items()
        if i == staff.id_of(name)
    ]
    chosen = _AsPias(contacts, Terms(NEEDED, len(contacts), DAY, staff.group_id), known)
    chosen.signing_kid = staff.agent(MEMBER).admin.keys.signing.kid
    return enrol(
        _SEED,
        [chosen],
        deployment_id=staff.world.config.deployment_id,
        member_id=staff.id_of(MEMBER),
        kem=Kem.DHKEM_P256,
        randomness=os.urandom,
    )


def _bundle(staff: Staff, forged: Enrolment) -> bytes:
    """All that there is of Pia, says the server, signed with the keys that it chose."""
    shown = decode_member_bundle(staff.from_server().member)
    listed = EnrolmentList(
        shown.deployment_id,
        shown.member_id,
        1,
        (Listed(forged.enrolment_id, forged.kinds, "", 0, True),),
        staff.world.vault.group_states()[staff.group_id].identity_fingerprint,
        (),
    )
    signed = listed.signed(member_keys(_SEED).signing)
    return replace(shown, signed_list=signed, blobs=(forged.raw,)).encode()


def _no_groups(staff: Staff) -> bytes:
    return GroupBundle(decode_group_bundle(staff.from_server().groups).directory, (), ()).encode()


def _round(staff: Staff, forged: Enrolment) -> Round:
    device = NewDevice.begin(MEMBER, forged.raw, lambda _: None, clock=staff.world.clock)
    return Round(staff, device)


def _played(staff: Staff, tried: Round, name: str, known: _Known) -> bytes:
    """A contact's part of the ceremony, by the server: the contact knows nothing of it."""
    own, whose = signing_key_from_seed(Secret(os.urandom(32))), staff.id_of(name)
    keys, device = member_keys(_SEED), tried.device
    reply = Reply(
        device.digest,
        whose,
        os.urandom(32),
        own.public,
        keys.signing.kid,
        keys.kem.kid,
        staff.world.vault.group_states()[staff.group_id].identity_fingerprint,
        staff.group_id,
    )
    opening = decode_opening(device.open(reply.encode()).opening)
    row = take_contacts_parameters(device.ask.parameters).row_of(whose)
    if row is None:
        raise LookupError("the server forged no letter for this contact")
    terms = Terms(NEEDED, len(CONTACTS), DAY, staff.group_id)
    transcript = Transcript(device.ask.request, reply, opening)
    sealed = seal_share(transcript, row.index, terms, known.shares[row.index])
    return SealedShare(device.digest, whose, sealed).signed(own)
