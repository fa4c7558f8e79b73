"""Recovery by contacts, with real agents and a real vault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.agent.contact_scene import CONTACTS, DAY, SHARING, Ceremony, Scene, code_of, paper, scene
from twinlock.agent.agent import Agent
from twinlock.agent.aiding import Aiding
from twinlock.agent.contacts import Ability, cancel, choose_contacts, open_notices, standings
from twinlock.agent.home import FileHome
from twinlock.agent.new_device import NewDevice
from twinlock.agent.revocation import finish_revocation
from twinlock.agent.state import decode_locked, state_path
from twinlock.agent.ways import NewWay
from twinlock.core import cbor
from twinlock.core.contacts.codes import nonce_commitment
from twinlock.core.contacts.messages import Ask, decode_opening, decode_reply, peek_share
from twinlock.core.enrolment import decode_enrolment
from twinlock.core.factors.contacts import take_contacts_parameters
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.membership import RecoveryBegin, RecoveryCancel
from twinlock.core.primitives import Kem, kem_key_from_seed, signing_key_from_seed
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError


@pytest.fixture
def lost() -> Iterator[Scene]:
    with scene() as made:
        yield made


# --- the whole way -------------------------------------------------------------------------------


@pytest.mark.parametrize("kem", list(Kem), ids=lambda k: k.name)
def test_a_member_who_lost_everything_comes_back_with_new_keys(kem: Kem, tmp_path: Path) -> None:
    """R-CONTACTS-9, R-CONTACTS-10: the old records open, and the old keys count nowhere."""
    with scene(kem) as made:
        world, before = made.world, made.agent("weber")
        request = world.asked_for("I48.0")
        ceremony = made.begin()
        ceremony.collect("anna", "carl")
        code, way = paper()
        change = ceremony.recover(tmp_path, way)
        world.vault.members.accept(change)
        kept = FileHome(state_path(tmp_path, "weber"))
        bundle = made.from_server().groups
        agent = finish_revocation(kept, [code], bundle, clock=world.clock)
        with agent:
            agent.follow(world.vault.group_bundle(agent.hello()))
            request = world.asked_for("I48.0")
            assert world.vault.open(request, agent.release(request))[0].ok
            assert [listed.listed.label for listed in agent.ways.all()] == ["paper"]
            assert open_notices(agent.admin) == []
        stale = world.vault.group_bundle(before.hello())
        assert code_of(before.follow, stale) == "member.keys-retired"
        assert code_of(made.aid("berta").share, ceremony.digest, made.news("berta")) == (
            "recovery.unknown"
        )


def test_further_factors_of_the_enrolment_are_needed_too(tmp_path: Path) -> None:
    """R-CONTACTS-9: contacts who act together without the member lack them."""
    from twinlock.agent.factors import Passphrase
    from twinlock.agent.recovering import recover

    with scene(others=[Passphrase("correct horse battery")]) as made:
        ceremony = made.begin()
        ceremony.collect("anna", "berta")
        _, way = paper()
        assert code_of(ceremony.recover, tmp_path, way) == "factor.missing"
        change = recover(
            ceremony.device,
            made.from_server(),
            [way],
            FileHome(state_path(tmp_path, "weber")),
            sharing=SHARING,
            factors=[Passphrase("correct horse battery")],
            clock=made.world.clock,
        )
        made.world.vault.members.accept(change)


def test_a_change_that_was_not_accepted_is_made_again(lost: Scene, tmp_path: Path) -> None:
    """R-CONTACTS-10: somebody was faster in the log; nothing is lost."""
    ceremony = lost.begin()
    ceremony.collect("anna", "berta")
    _, way = paper()
    first = ceremony.recover(tmp_path, way)
    lost.follow("kim")
    lost.world.vault.append(lost.agent("kim").admin.new_epoch(lost.world.ward.group_id))
    assert code_of(lost.world.vault.members.accept, first) == "group.log-moved"
    code, way = paper()
    second = ceremony.recover(tmp_path, way)
    lost.world.vault.members.accept(second)
    assert code_of(ceremony.recover, tmp_path, way) == "recovery.over"
    kept = FileHome(state_path(tmp_path, "weber"))
    with finish_revocation(kept, [code], lost.from_server().groups, clock=lost.world.clock) as back:
        assert back.member_id == lost.id_of("weber")


def test_the_old_keys_never_reach_the_disk(lost: Scene, tmp_path: Path) -> None:
    """R-CONTACTS-10."""
    ceremony = lost.begin()
    ceremony.collect("anna", "berta")
    ceremony.recover(tmp_path, paper()[1])
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".lock") == [
        "weber.member.change",
        "weber.member.next",
    ]


def test_another_member_of_the_same_name_is_not_replaced(lost: Scene, tmp_path: Path) -> None:
    """R-CONTACTS-10."""
    ceremony = lost.begin()
    ceremony.collect("anna", "berta")
    other = lost.world.founding.folder / "kim.member"
    state_path(tmp_path, "weber").write_bytes(other.read_bytes())
    state_path(tmp_path, "weber").chmod(0o600)
    assert code_of(ceremony.recover, tmp_path, paper()[1]) == "recovery.other-member-here"


# --- what the device refuses ---------------------------------------------------------------------


def test_with_too_few_shares_nothing_opens(lost: Scene, tmp_path: Path) -> None:
    """R-CONTACTS-9."""
    ceremony = lost.begin()
    ceremony.collect("anna")
    assert ceremony.device.missing == 1
    assert code_of(ceremony.recover, tmp_path, paper()[1]) == "recovery.too-few"


def test_a_contact_who_replies_twice_is_found_out(lost: Scene) -> None:
    """R-CONTACTS-5: a second reply could be searched for, once the nonce is known."""
    ceremony = lost.begin()
    reply = ceremony.reply("anna")
    first = ceremony.device.open(reply)
    assert ceremony.device.open(reply) == first
    other = replace(decode_reply(reply), nonce=bytes(32)).encode()
    assert code_of(ceremony.device.open, other) == "recovery.second-reply"


def test_each_contact_gets_a_nonce_of_its_own(lost: Scene) -> None:
    """R-CONTACTS-5: the one that is open to Anna says nothing about Berta's codes."""
    ceremony = lost.begin()
    opened = [ceremony.device.open(ceremony.reply(name)) for name in CONTACTS]
    assert len({decode_opening(o.opening).nonce for o in opened}) == 3
    assert len({o.code for o in opened}) == 3


def test_what_is_kept_is_written_before_the_nonce_goes_out(lost: Scene) -> None:
    """R-CONTACTS-5."""
    ceremony = lost.begin()
    ceremony.device.open(ceremony.reply("anna"))
    again = NewDevice.resume(ceremony.kept[-1], ceremony.kept.append)
    other = replace(decode_reply(ceremony.reply("anna")), nonce=bytes(32)).encode()
    assert code_of(again.open, other) == "recovery.second-reply"
    assert again.ask == ceremony.device.ask


def test_a_share_counts_only_with_the_code_that_the_contact_read_back(lost: Scene) -> None:
    """R-CONTACTS-6: else a server could play the contacts, with an enrolment of its own."""
    ceremony = lost.begin()
    code = ceremony.confirm("anna")
    lost.world.clock.forward(DAY)
    share = ceremony.share("anna")
    wrong = f"{(int(code) + 1) % 10**8:08}"
    assert code_of(ceremony.device.accept, share, wrong) == "recovery.code-differs"
    assert ceremony.device.accept(share, f"{code[:4]} {code[4:]}") == 1


def damaged(scene_: Scene, ceremony: Ceremony, how: str) -> bytes:
    share = ceremony.share("anna")
    if how == "damaged":
        return share[:-1] + bytes([share[-1] ^ 1])
    if how == "signed by somebody else":
        return peek_share(share).signed(signing_key_from_seed(Secret(b"X" * 32)))
    other = peek_share(share)
    return replace(other, digest=bytes(32)).signed(scene_.agent("anna")._unlocked().signing)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("damaged", "data.not-authentic"),
        ("signed by somebody else", "data.not-authentic"),
        ("of another recovery", "recovery.other-ceremony"),
    ],
)
def test_a_share_that_is_not_the_contacts_own_is_refused(lost: Scene, how: str, code: str) -> None:
    """R-CONTACTS-8, R-CONTACTS-9."""
    ceremony = lost.begin()
    read_back = ceremony.confirm("anna")
    lost.world.clock.forward(DAY)
    share = damaged(lost, ceremony, how)
    assert code_of(ceremony.device.accept, share, read_back) == code


def test_a_contact_with_a_wrong_share_is_named(lost: Scene) -> None:
    """R-CONTACTS-9."""
    ceremony = lost.begin()
    read_back = ceremony.confirm("anna")
    lost.world.clock.forward(DAY)
    share = ceremony.share("anna")
    items = cbor.decode(ceremony.device.ask.encode())
    items[3][3][0][5] = bytes(32)
    rewritten = Ask(ceremony.device.ask.request, "weber", items[3])
    ceremony.device.ask = rewritten
    with pytest.raises(DataError) as refused:
        ceremony.device.accept(share, read_back)
    assert refused.value.code == "recovery.share-wrong"
    assert lost.id_of("anna").hex() in str(refused.value)


def test_other_terms_than_the_contacts_letters_say_are_found_out(lost: Scene) -> None:
    """R-CONTACTS-9: the public k was raised to 3, as if it had always been so."""
    ceremony = lost.begin()
    read_back = ceremony.confirm("anna")
    lost.world.clock.forward(DAY)
    share = ceremony.share("anna")
    parameters = [3, *ceremony.device.ask.parameters[1:]]
    ceremony.device.ask = replace(ceremony.device.ask, parameters=parameters)
    assert code_of(ceremony.device.accept, share, read_back) == "recovery.rewritten"


def test_a_server_cannot_recover_somebody_into_a_member_of_its_own(
    lost: Scene, tmp_path: Path
) -> None:
    """R-CONTACTS-9: the contacts said by voice whose keys it must be."""
    ceremony = lost.begin()
    ceremony.collect("anna", "berta")
    with lost.world.founding.member("evil") as evil:
        state = evil._state
        state.member_id = lost.id_of("weber")
        forged = choose_contacts_like(ceremony, evil)
    shown = decode_member_bundle(lost.from_server().member)
    served = replace(shown, blobs=(forged,)).encode()
    from twinlock.agent.recovering import FromServer, recover

    refused = code_of(
        recover,
        ceremony.device,
        FromServer(served, lost.from_server().groups),
        [paper()[1]],
        FileHome(state_path(tmp_path, "weber")),
        sharing=SHARING,
        clock=lost.world.clock,
    )
    assert refused == "recovery.other-member"


def choose_contacts_like(ceremony: Ceremony, evil: Agent) -> bytes:
    """An enrolment for the member's place that the genuine shares open, to another seed."""
    from twinlock.core.enrolment import _AAD, _BLOB, _ZEROS, _enrolment_key
    from twinlock.core.primitives import gcm_seal

    place = ceremony.device.ask.request.place
    parameters = ceremony.device.ask.parameters
    factor = ceremony.device.factor(SHARING)
    aad = cbor.encode(
        [
            _AAD,
            place.deployment_id,
            place.member_id,
            place.enrolment_id,
            16,
            [["contacts", parameters]],
        ]
    )
    key = _enrolment_key([factor], [("contacts", parameters)], place)
    seed = evil._unlocked().seed
    sealed = gcm_seal(key.reveal(), bytes(12), _ZEROS + seed.reveal(), aad)
    return cbor.encode([_BLOB, aad, bytes(12), sealed])


# --- what a contact's agent refuses --------------------------------------------------------------


def test_no_share_without_the_compared_code(lost: Scene) -> None:
    """R-CONTACTS-7."""
    ceremony = lost.begin()
    ceremony.confirm("anna")
    ceremony.reply("berta")
    lost.world.clock.forward(DAY)
    assert code_of(ceremony.share, "berta") == "recovery.unconfirmed"
    assert code_of(ceremony.share, "carl") == "recovery.unknown"


def test_three_wrong_codes_end_it(lost: Scene) -> None:
    """R-CONTACTS-6: nobody guesses on."""
    ceremony, aid = lost.begin(), lost.aid("anna")
    opened = ceremony.device.open(ceremony.reply("anna"))
    for _ in range(3):
        assert code_of(aid.confirm, opened.opening, "12345678") == "recovery.code-differs"
    assert code_of(aid.confirm, opened.opening, opened.code) == "recovery.code-tries"
    assert code_of(ceremony.share, "anna") == "recovery.unconfirmed"


@pytest.mark.parametrize(
    ("wait", "floor", "due"),
    [(None, None, DAY), (7200, None, 7200), (60, None, 3600), (60, 0, 60)],
    ids=["default", "chosen", "below the floor", "without the floor"],
)
def test_a_share_is_due_when_the_waiting_time_is_over(
    wait: int | None, floor: int | None, due: int
) -> None:
    """R-CONTACTS-7: counted from when this very agent first saw the notice."""
    chosen = {} if wait is None else {"wait": wait, "min_wait": 0}
    with scene(**chosen) as made:
        ceremony = made.begin()
        ceremony.confirm("anna")
        aid = made.aid("anna") if floor is None else made.aid("anna", min_wait=floor)
        assert aid.due(ceremony.digest) == made.world.clock() + due
        made.world.clock.forward(due - 1)
        assert code_of(aid.share, ceremony.digest, made.news("anna")) == "recovery.waiting"
        made.world.clock.forward(1)
        assert aid.share(ceremony.digest, made.news("anna"))


def test_a_contact_who_sees_the_notice_late_waits_longer(lost: Scene) -> None:
    """R-CONTACTS-7: what stands in the entry as its time counts for nothing."""
    ceremony, aid = lost.begin(), lost.aid("anna")
    opened = ceremony.device.open(ceremony.reply("anna"))
    notice = aid.confirm(opened.opening, opened.code).notice
    assert aid.due(ceremony.digest) is None
    assert notice is not None
    lost.world.vault.append(notice)
    lost.world.clock.forward(2 * DAY)
    assert code_of(ceremony.share, "anna") == "recovery.waiting"
    lost.world.clock.forward(DAY)
    assert ceremony.share("anna")


def test_no_share_without_a_notice(lost: Scene) -> None:
    """R-CONTACTS-7."""
    ceremony, aid = lost.begin(), lost.aid("anna")
    opened = ceremony.device.open(ceremony.reply("anna"))
    aid.confirm(opened.opening, opened.code)
    lost.world.clock.forward(DAY)
    assert code_of(ceremony.share, "anna") == "recovery.no-notice"


@pytest.mark.parametrize("elsewhere", ["another group", "another member", "another recovery"])
def test_a_notice_of_something_else_does_not_count(lost: Scene, elsewhere: str) -> None:
    """R-CONTACTS-7: nobody can have the time begin where the member does not look."""
    ceremony, aid, world = lost.begin(), lost.aid("anna"), lost.world
    opened = ceremony.device.open(ceremony.reply("anna"))
    aid.confirm(opened.opening, opened.code)
    group_id, member_id, digest = world.ward.group_id, lost.id_of("weber"), ceremony.digest
    if elsewhere == "another group":
        anna = lost.agent("anna")
        other = world.founding.group("other", world.vault.group_state(world.ward).policy, [anna])
        group_id = other.group_id
    elif elsewhere == "another member":
        member_id = lost.id_of("kim")
    else:
        digest = bytes(32)
    admin = lost.agent("anna").admin
    world.vault.append(admin.notify(group_id, RecoveryBegin(member_id, digest)))
    lost.follow("anna")
    world.clock.forward(DAY)
    assert code_of(ceremony.share, "anna") == "recovery.no-notice"


@pytest.mark.parametrize("by", ["weber", "kim"], ids=["the member", "an admin"])
def test_a_cancelled_recovery_gives_no_share(lost: Scene, by: str) -> None:
    """R-CONTACTS-7, R-CONTACTS-11: also when the contact had not followed meanwhile."""
    ceremony = lost.begin()
    ceremony.confirm("anna")
    lost.follow(by)
    for proposal in cancel(lost.agent(by).admin, ceremony.digest):
        lost.world.vault.append(proposal)
    lost.world.clock.forward(DAY)
    assert code_of(ceremony.share, "anna") == "recovery.cancelled"
    lost.world.vault.append(
        lost.agent("anna").admin.notify(
            lost.world.ward.group_id, RecoveryBegin(lost.id_of("weber"), ceremony.digest)
        )
    )
    lost.world.clock.forward(DAY)
    assert code_of(ceremony.share, "anna") == "recovery.cancelled"


def test_somebody_else_cancels_nothing(lost: Scene) -> None:
    """R-CONTACTS-11: neither through the agent, nor with an entry in the log."""
    ceremony = lost.begin()
    ceremony.confirm("anna")
    lost.follow("berta")
    assert code_of(cancel, lost.agent("berta").admin, ceremony.digest) == "recovery.not-yours"
    entry = RecoveryCancel(ceremony.digest)
    lost.world.vault.append(lost.agent("berta").admin.notify(lost.world.ward.group_id, entry))
    lost.world.clock.forward(DAY)
    assert ceremony.share("anna")


def test_a_share_needs_news_of_the_very_group(lost: Scene) -> None:
    """R-CONTACTS-7: a contact who has not looked does not know of a cancellation."""
    ceremony = lost.begin()
    ceremony.confirm("anna")
    lost.world.clock.forward(DAY)
    label, directory, news, keys = cbor.decode(lost.news("anna"))
    assert [row[0] for row in news] == [lost.world.ward.group_id]
    empty = cbor.encode([label, directory, [], keys])
    aid = lost.aid("anna")
    assert code_of(aid.share, ceremony.digest, empty) == "recovery.no-news"
    assert aid.share(ceremony.digest, cbor.encode([label, directory, news, keys]))


def test_an_old_notice_is_worth_nothing(lost: Scene) -> None:
    """R-CONTACTS-7: a device that was left behind gets no share years later."""
    ceremony = lost.begin()
    ceremony.confirm("anna")
    lost.world.clock.forward(DAY + 14 * DAY)
    assert ceremony.share("anna")
    lost.world.clock.forward(1)
    assert code_of(ceremony.share, "anna") == "recovery.expired"


def test_letters_of_before_a_revocation_are_not_opened_for_anybody(lost: Scene) -> None:
    """R-CONTACTS-7: they lead to keys that the member gave up."""
    ceremony = lost.begin()
    ceremony.confirm("anna")
    weber = lost.agent("weber")
    lost.follow("weber")
    lost.world.vault.members.accept(weber.ways.revoke([paper()[1]]))
    lost.world.clock.forward(DAY)
    assert code_of(ceremony.share, "anna") == "recovery.retired"
    assert code_of(lost.aid("anna").reply, lost_ask(ceremony)) == "recovery.retired"


def lost_ask(ceremony: Ceremony) -> bytes:
    return ceremony.device.ask.encode()


def test_a_removed_member_is_not_recovered(lost: Scene) -> None:
    """R-CONTACTS-7."""
    ceremony = lost.begin()
    ceremony.confirm("anna")
    lost.follow("kim")
    kim = lost.agent("kim").admin
    lost.world.vault.append(kim.remove(lost.world.ward.group_id, lost.id_of("weber")))
    lost.world.clock.forward(DAY)
    assert code_of(ceremony.share, "anna") == "recovery.not-a-member"


def test_whoever_is_no_contact_or_in_another_deployment_has_nothing_to_do(lost: Scene) -> None:
    """R-CONTACTS-7."""
    ask = lost.begin().device.ask.encode()
    assert code_of(lost.aid("kim").reply, ask) == "recovery.not-a-contact"
    with scene() as elsewhere:
        assert code_of(elsewhere.aid("anna").reply, ask) == "recovery.not-a-contact"


def test_a_contact_asked_twice_says_the_same(lost: Scene) -> None:
    """R-CONTACTS-5: another nonce would be another chance to search."""
    ceremony = lost.begin()
    first = lost.aid("anna").reply(lost_ask(ceremony))
    assert lost.aid("anna").reply(lost_ask(ceremony)) == first
    assert (first.name, first.group) == ("weber", "cardiology")
    assert (first.needed, first.count, first.wait) == (2, 3, DAY)


def test_rewritten_terms_beside_the_letters_change_nothing(lost: Scene) -> None:
    """R-CONTACTS-3, R-CONTACTS-7: neither k nor the waiting time nor the group."""
    ceremony = lost.begin()
    rows = ceremony.device.ask.parameters[3]
    lowered = replace(ceremony.device.ask, parameters=[2, 0, bytes(32), rows])
    asked = lost.aid("anna").reply(lowered.encode())
    assert (asked.wait, asked.group) == (DAY, "cardiology")
    opened = ceremony.device.open(asked.reply)
    notice = lost.aid("anna").confirm(opened.opening, opened.code).notice
    assert notice is not None
    assert lost.world.vault.append(notice).group_id == lost.world.ward.group_id
    lost.follow("anna")
    lost.world.clock.forward(DAY - 1)
    assert code_of(ceremony.share, "anna") == "recovery.waiting"


def test_letters_of_another_member_do_not_open_for_this_request(lost: Scene) -> None:
    """R-CONTACTS-3: a request that names one member, with letters of another."""
    ceremony = lost.begin()
    request = ceremony.device.ask.request
    place = replace(request.place, member_id=lost.id_of("kim"))
    swapped = replace(ceremony.device.ask, request=replace(request, place=place))
    assert code_of(lost.aid("anna").reply, swapped.encode()) == "recovery.letter"


def test_a_device_in_the_middle_is_found_by_its_codes(lost: Scene) -> None:
    """R-CONTACTS-6: the server swaps the device's key for its own."""
    ceremony = lost.begin()
    evil = kem_key_from_seed(Kem.DHKEM_P256, Secret(b"E" * 32))
    request, nonce = ceremony.device.ask.request, b"n" * 32
    swapped = replace(
        request,
        device_public=evil.public,
        commitments={
            contact: nonce_commitment(request.place, contact, evil.kem, evil.public, nonce)
            for contact in request.commitments
        },
    )
    aid = lost.aid("anna")
    theirs = aid.reply(replace(ceremony.device.ask, request=swapped).encode())
    # The server may tell the device whatever it likes, before it learns the device's nonce.
    shown = replace(decode_reply(theirs.reply), digest=ceremony.digest).encode()
    code = ceremony.device.open(shown).code
    opening = cbor.encode(
        ["twinlock/v1/recovery-opening", swapped.digest, lost.id_of("anna"), nonce]
    )
    assert code_of(aid.confirm, opening, code) == "recovery.code-differs"


def test_a_device_that_opens_another_nonce_is_refused(lost: Scene) -> None:
    """R-CONTACTS-5."""
    ceremony = lost.begin()
    opened = ceremony.device.open(ceremony.reply("anna"))
    other = replace(decode_opening(opened.opening), nonce=bytes(32)).encode()
    assert code_of(lost.aid("anna").confirm, other, opened.code) == "recovery.commitment"


# --- the member's own view -----------------------------------------------------------------------


def test_a_member_who_is_not_lost_sees_the_notice(lost: Scene) -> None:
    """R-CONTACTS-11."""
    ceremony = lost.begin()
    ceremony.confirm("anna")
    weber = lost.agent("weber")
    assert open_notices(weber.admin) == []
    lost.follow("weber")
    (seen,) = open_notices(weber.admin)
    assert (seen.digest, seen.begun_by) == (ceremony.digest, lost.id_of("anna"))
    assert seen in weber.notices
    for proposal in cancel(weber.admin, ceremony.digest):
        lost.world.vault.append(proposal)
    lost.follow("weber")
    assert open_notices(weber.admin) == []
    assert code_of(cancel, weber.admin, ceremony.digest) == "recovery.unknown"


def test_a_notice_is_seen_in_news_that_come_with_a_request_too(lost: Scene) -> None:
    """R-CONTACTS-11."""
    ceremony = lost.begin()
    opened = ceremony.device.open(ceremony.reply("anna"))
    notice = lost.aid("anna").confirm(opened.opening, opened.code).notice
    assert notice is not None
    lost.world.vault.append(notice)
    weber = lost.world.members["weber"]
    lost.world.opened(lost.world.asked_for(), weber)
    assert [seen.digest for seen in open_notices(weber.agent.admin)] == [ceremony.digest]


def test_what_was_seen_outlives_the_run(lost: Scene) -> None:
    """R-CONTACTS-7: the time counts from the first sight, and a cancellation stays."""
    ceremony = lost.begin()
    ceremony.confirm("anna")
    agent = lost.agent("anna")
    first = agent.notices
    kept = lost.world.founding.folder / "anna.member"
    state = decode_locked(kept.read_bytes()).unlocked(agent._unlocked())
    assert tuple(state.recoveries.notices.values()) == first
    assert state.recoveries.aids[ceremony.digest].confirmed
    lost.world.clock.forward(1000)
    lost.follow("anna")
    assert agent.notices == first


def test_the_member_sees_who_can_still_help(lost: Scene) -> None:
    """R-CONTACTS-13."""
    weber = lost.agent("weber")
    (standing,) = standings(weber.admin)
    assert (standing.able, standing.warning, standing.group) == (3, None, "cardiology")
    assert [contact.name for contact in standing.contacts] == list(CONTACTS)
    lost.follow("kim")
    kim = lost.agent("kim").admin
    lost.world.vault.append(kim.remove(lost.world.ward.group_id, lost.id_of("carl")))
    lost.follow("weber")
    (standing,) = standings(weber.admin)
    assert (standing.able, standing.contacts[2].ability) == (2, Ability.LEFT)
    assert standing.warning is not None
    assert standing.warning.startswith("All 2")
    lost.follow("anna")
    anna = lost.agent("anna")
    lost.world.vault.members.accept(anna.ways.revoke([paper()[1]]))
    lost.follow("weber")
    (standing,) = standings(weber.admin)
    assert (standing.able, standing.contacts[0].ability) == (1, Ability.KEYS_CHANGED)
    assert standing.warning is not None
    assert standing.warning.startswith("Useless")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"needed": 1}, "contacts.terms"),
        ({"needed": 4}, "contacts.terms"),
        ({"wait": 3599}, "contacts.terms"),
        ({"names": ("anna", "anna")}, "contacts.terms"),
        ({"names": ("anna", "weber")}, "contacts.self"),
    ],
)
def test_contacts_that_protect_nobody_are_refused(lost: Scene, change, code: str) -> None:
    """R-CONTACTS-1, R-CONTACTS-7."""
    with pytest.raises(CallerError) as refused:
        lost.choose(**change)
    assert refused.value.code == code


def test_contacts_are_members_of_a_followed_group(lost: Scene) -> None:
    """R-CONTACTS-3: their keys come from its verified log."""
    admin, anna = lost.agent("weber").admin, lost.id_of("anna")

    def choose(group_id: bytes, *contacts: bytes) -> str:
        return code_of(choose_contacts, admin, group_id, contacts, needed=2, sharing=SHARING)

    ward = lost.world.ward.group_id
    assert choose(bytes(32), anna, lost.id_of("carl")) == "group.not-followed"
    assert choose(ward, anna, bytes(16)) == "contacts.not-in-group"


def test_contacts_made_anew_in_a_revocation_lead_to_the_new_keys(lost: Scene) -> None:
    """R-CONTACTS-3: the letter names the keys of its own seed."""
    weber, world = lost.agent("weber"), lost.world
    lost.follow("weber")
    chosen = choose_contacts(
        weber.admin,
        world.ward.group_id,
        [lost.id_of(name) for name in CONTACTS],
        needed=2,
        sharing=SHARING,
    )
    _, way = paper()
    world.vault.members.accept(weber.ways.revoke([way, NewWay([chosen], "contacts")]))
    lost.follow("anna")
    asked = lost.aid("anna").reply(lost.begin().device.ask.encode())
    assert asked.name == "weber"


def test_an_enrolment_without_contacts_begins_no_recovery() -> None:
    """R-CONTACTS-5."""
    with scene() as made:
        shown = decode_member_bundle(made.from_server().member)
        kinds = {decode_enrolment(blob).kinds: blob for blob in shown.blobs}
        from twinlock.agent.new_device import contacts_enrolment

        others = [blob for kind, blob in kinds.items() if "contacts" not in kind]
        without = replace(shown, blobs=tuple(others))
        assert code_of(contacts_enrolment, without) == "contacts.none"
        assert code_of(NewDevice.begin, "weber", others[0], print) == "contacts.none"
        parameters = dict(decode_enrolment(kinds[("contacts",)]).factors)["contacts"]
        assert take_contacts_parameters(parameters).terms.needed == 2


def test_the_agents_verbs_need_it_unlocked(lost: Scene) -> None:
    """R-CONTACTS-7."""
    with lost.world.founding.member("dora") as agent:
        pass
    assert code_of(Aiding.of, agent) == "agent.locked"
