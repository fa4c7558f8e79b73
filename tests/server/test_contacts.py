"""The mailbox of recoveries: what it takes, from whom, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.agent.contact_scene import CONTACTS, DAY, SHARING, Scene, code_of, paper, scene
from twinlock.agent.arrival import Arrival
from twinlock.agent.home import FileHome
from twinlock.agent.new_device import NewDevice
from twinlock.agent.recovering import FromServer, recover
from twinlock.agent.revocation import finish_revocation
from twinlock.agent.state import state_path
from twinlock.core.contacts.messages import decode_ask, decode_opening, decode_reply
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.server.contacts import MAX_OPEN, Recoveries
from twinlock.server.setup import deployment_card


@pytest.fixture
def lost() -> Iterator[Scene]:
    with scene() as made:
        yield made


def mailbox(lost: Scene) -> Recoveries:
    return Recoveries.of(lost.world.vault, clock=lost.world.clock)


def begun(lost: Scene) -> NewDevice:
    (blob,) = decode_member_bundle(mailbox(lost).letters("weber")).blobs
    return NewDevice.begin("weber", blob, lambda _: None, clock=lost.world.clock)


def at(lost: Scene, device: NewDevice, name: str) -> dict[str, bytes]:
    messages = mailbox(lost).messages(device.digest)
    return {m.step: m.message for m in messages if m.contact_id == lost.id_of(name)}


def test_a_recovery_passes_through_the_server(lost: Scene, tmp_path: Path) -> None:
    """R-CONTACTS-12: the device and the contacts meet nowhere else than on the telephone."""
    box, device, world = mailbox(lost), begun(lost), lost.world
    digest, codes = box.begin(device.ask.encode()), {}
    for name in CONTACTS[:2]:
        (ask,) = box.waiting(lost.id_of(name))
        box.reply(lost.id_of(name), lost.aid(name).reply(ask).reply)
        opened = device.open(at(lost, device, name)["reply"])
        box.open(opened.opening)
        done = lost.aid(name).confirm(at(lost, device, name)["opening"], opened.code)
        codes[name] = done.code
        if done.notice is not None:
            world.vault.append(done.notice)
            lost.follow(*CONTACTS)
    world.clock.forward(DAY)
    for name in CONTACTS[:2]:
        box.share(lost.id_of(name), lost.aid(name).share(digest, lost.news(name)))
        device.accept(at(lost, device, name)["share"], codes[name])
    # Unlocked by the shares, the member proves itself to get the rest.
    card = deployment_card(world.config)
    arrival = Arrival.begin(
        box.letters("weber"), [device.factor(SHARING)], deployment=card, clock=world.clock
    )
    server = FromServer(world.vault.members.full_bundle(arrival.ask()), lost.from_server().groups)
    kept, (code, way) = FileHome(state_path(tmp_path, "weber")), paper()
    change = recover(device, server, [way], kept, sharing=SHARING, clock=world.clock)
    world.vault.members.accept(change)
    with finish_revocation(kept, [code], lost.from_server().groups, clock=world.clock) as agent:
        assert agent.name == "weber"
    assert code_of(box.letters, "weber") == "contacts.none"


@pytest.mark.parametrize("name", ["kim", "nobody"], ids=["without contacts", "a stranger"])
def test_strangers_and_members_without_contacts_get_the_same_answer(lost: Scene, name: str) -> None:
    """R-CONTACTS-12."""
    assert code_of(mailbox(lost).letters, name) == "contacts.none"


def test_only_letters_that_lie_here_are_asked_for(lost: Scene) -> None:
    """R-CONTACTS-12: nobody fills the mailbox with what no contact can open."""
    box, device = mailbox(lost), begun(lost)
    parameters = [3, *device.ask.parameters[1:]]
    other = replace(device.ask, parameters=parameters)
    assert code_of(box.begin, other.encode()) == "recovery.unlike-enrolment"
    place = replace(device.ask.request.place, enrolment_id=bytes(16))
    request = replace(device.ask.request, place=place)
    other = replace(device.ask, request=request)
    assert code_of(box.begin, other.encode()) == "recovery.unlike-enrolment"


def test_a_contact_speaks_for_himself_alone(lost: Scene) -> None:
    """R-CONTACTS-12: the reply of a signed-in contact, and no other's."""
    box, device = mailbox(lost), begun(lost)
    box.begin(device.ask.encode())
    reply = lost.aid("anna").reply(device.ask.encode()).reply
    assert code_of(box.reply, lost.id_of("berta"), reply) == "recovery.other-ceremony"
    foreign = replace(decode_reply(reply), contact_id=lost.id_of("kim")).encode()
    assert code_of(box.reply, lost.id_of("kim"), foreign) == "recovery.unknown"
    box.reply(lost.id_of("anna"), reply)
    other = replace(decode_reply(reply), nonce=bytes(32)).encode()
    assert code_of(box.reply, lost.id_of("anna"), other) == "recovery.message-exists"


def test_messages_come_in_their_order(lost: Scene) -> None:
    """R-CONTACTS-12: no opening before the reply, none but the device's, no share before it."""
    box, device = mailbox(lost), begun(lost)
    reply = lost.aid("anna").reply(device.ask.encode()).reply
    opened = device.open(reply)
    assert code_of(box.open, opened.opening) == "recovery.unknown"
    box.begin(device.ask.encode())
    assert code_of(box.open, opened.opening) == "recovery.other-ceremony"
    box.reply(lost.id_of("anna"), reply)
    other = replace(decode_opening(opened.opening), nonce=bytes(32)).encode()
    assert code_of(box.open, other) == "recovery.commitment"
    lost.world.vault.append(lost.aid("anna").confirm(opened.opening, opened.code).notice)
    lost.follow("anna")
    lost.world.clock.forward(DAY)
    share = lost.aid("anna").share(device.digest, lost.news("anna"))
    assert code_of(box.share, lost.id_of("anna"), share) == "recovery.other-ceremony"
    box.open(opened.opening)
    assert code_of(box.share, lost.id_of("berta"), share) == "recovery.other-ceremony"
    box.share(lost.id_of("anna"), share)


def test_recoveries_are_few_and_do_not_stay_for_ever(lost: Scene) -> None:
    """R-CONTACTS-12."""
    box = mailbox(lost)
    devices = [begun(lost) for _ in range(MAX_OPEN + 1)]
    for device in devices[:-1]:
        assert box.begin(device.ask.encode()) == decode_ask(device.ask.encode()).request.digest
    assert code_of(box.begin, devices[-1].ask.encode()) == "recovery.too-many"
    assert len(box.waiting(lost.id_of("anna"))) == MAX_OPEN
    lost.world.clock.forward(75 * DAY)
    box.begin(devices[-1].ask.encode())
    assert box.waiting(lost.id_of("anna")) == [devices[-1].ask.encode()]
