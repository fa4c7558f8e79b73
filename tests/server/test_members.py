"""Ways in that are kept at the server: enrolling, changing, revoking, arriving elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.server.world import DIAGNOSIS, World, world_in_memory
from twinlock.agent.agent import Agent
from twinlock.agent.arrival import Arrival
from twinlock.agent.factors import DeviceKey, Passphrase
from twinlock.agent.home import FileHome
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.revocation import discard_revocation, finish_revocation
from twinlock.agent.state import own_member, state_path
from twinlock.agent.ways import NewWay
from twinlock.core.enrolment import decode_enrolment
from twinlock.core.enrolment_list import verify_enrolment_list
from twinlock.core.member_bundle import BundleRequest, decode_member_bundle
from twinlock.core.member_change import Login, MemberChange, decode_member_change
from twinlock.core.membership import AgentPlacement, MemberCard, Policy
from twinlock.core.ports import OuterSuite
from twinlock.core.release import sign_message
from twinlock.core.request import GroupHead, Hello, decode_group_bundle
from twinlock.errors import TwinlockError
from twinlock.server.passkey_records import PasskeyRecord
from twinlock.server.setup import deployment_card
from twinlock.store.members import PutMember
from twinlock.testing import MemoryMember


@pytest.fixture
def world() -> Iterator[World]:
    with world_in_memory() as made:
        yield made


def code_of(call, *arguments, **named) -> str:
    with pytest.raises(TwinlockError) as caught:
        call(*arguments, **named)
    return caught.value.code


def record(agent: Agent, number: bytes) -> bytes:
    """A passkey's record, as registering one gives it."""
    return PasskeyRecord(agent.member_id, "localhost", number * 16, b"key", 0, ()).encode()


def kim(world: World) -> Agent:
    return world.kim.agent


def published(world: World) -> tuple[RecoveryCode, Agent]:
    """Kim has a recovery code as well, and the server keeps what may be kept."""
    code, _ = RecoveryCode.create()
    kim(world).ways.enrol(NewWay([code], "paper"), send=world.vault.members.accept)
    return code, kim(world)


def opens(world: World, agent: Agent) -> bool:
    agent.follow(world.vault.group_bundle(agent.hello()))
    request = world.asked_for("I48.0")
    (opened,) = world.vault.open(request, agent.release(request))
    return opened.text().reveal() == "I48.0"


def arrive(world: World, factors, full: bytes | None = None, kinds=("recovery-code",)) -> Arrival:
    bundle = full or world.vault.members.bundle("kim", kinds)
    return Arrival.begin(
        bundle, factors, deployment=deployment_card(world.config), clock=world.clock
    )


def test_a_member_arrives_on_a_computer_that_knows_nothing(world: World, tmp_path: Path) -> None:
    """R-WAYS-7: one factor set, the deployment's card, and the member's own list."""
    code, _ = published(world)
    arrival = arrive(world, [code])
    full = world.vault.members.full_bundle(arrival.ask())
    arrival.settle(full, home=tmp_path)
    with Agent.unlock("kim", code, home=tmp_path, clock=world.clock) as agent:
        assert opens(world, agent)
        assert [way.listed.label for way in agent.ways.all()] == ["", "paper"]
    assert opens(world, arrival.agent(full))


def test_an_arriving_agent_believes_no_group_that_its_own_list_does_not_name(world: World) -> None:
    """R-WAYS-7: the server cannot add one."""
    code, agent = published(world)
    state = world.vault.group_state(world.groups["emergency"])
    founder = world.weber.agent
    world.vault.append(founder.admin.add(state.group_id, agent.card(), compared=True))
    arrival = arrive(world, [code])
    arrived = arrival.agent(world.vault.members.full_bundle(arrival.ask()))
    bundle = world.vault.group_bundle(arrived.hello())
    assert code_of(arrived.follow, bundle) == "group.not-invited"


@pytest.mark.parametrize("asked", ["older", "newer", "somebody"])
def test_the_whole_bundle_is_for_the_unlocked_member_now(world: World, asked: str) -> None:
    """R-WAYS-6: signed by a present key, and fresh."""
    _, agent = published(world)
    request = agent.bundle_request()
    if asked == "somebody":
        damaged = bytearray(request)
        damaged[-1] ^= 1
        assert code_of(world.vault.members.full_bundle, bytes(damaged)) == "data.not-authentic"
        return
    world.clock.now += 121 if asked == "older" else -121
    assert code_of(world.vault.members.full_bundle, request) == "request.expired"


def test_strangers_and_members_get_answers_of_one_form(world: World) -> None:
    """R-WAYS-8: same size, same kinds, always the same."""
    published(world)
    ask = world.vault.members.bundle
    for kinds in (
        ["recovery-code"],
        ["device-key"],
        ["device-key", "recovery-code"],
        ["passphrase"],
    ):
        known, stranger = ask("kim", kinds), ask("nix", kinds)
        assert len(known) == len(stranger)
        assert ask("nix", reversed(kinds)) == stranger
        one, other = decode_member_bundle(known), decode_member_bundle(stranger)
        assert one.signed_list == other.signed_list == b""
        (shown,), (drawn,) = one.blobs, other.blobs
        assert (
            decode_enrolment(shown).kinds == decode_enrolment(drawn).kinds == tuple(sorted(kinds))
        )
        assert (
            len({decode_member_bundle(ask(n, kinds)).member_id for n in ("kim", "nix", "nox")}) == 3
        )
    for name in ("kim", "nix"):
        assert ask(name, ["recovery-code"], b"x" * 16) == ask(name, ["recovery-code"])


def test_nothing_opens_an_answer_about_a_stranger(world: World) -> None:
    """R-WAYS-8: no factor, and it cannot be told from a wrong one."""
    code, _ = published(world)
    bundle = world.vault.members.bundle("stranger", ["recovery-code"])
    for factor in (code, RecoveryCode.create()[0]):
        assert code_of(arrive, world, [factor], bundle) == "factor.wrong"
    wrong = RecoveryCode.create()[0]
    assert code_of(arrive, world, [wrong]) == "factor.wrong"


def test_unusual_factors_are_not_handed_out_by_name(world: World) -> None:
    """R-WAYS-8: there is no decoy for them."""
    for kinds in (["smart-card"], ["contacts"], ["nonsense"], []):
        assert code_of(world.vault.members.bundle, "kim", kinds) == "enrolment.no-such-kind"


def test_a_changed_factor_counts_and_the_old_one_does_not(world: World) -> None:
    """R-WAYS-9: the keys stay, the list moves on, an enrolment put back is refused."""
    code, agent = published(world)
    before = world.vault.store.members.enrolments(agent.member_id)
    (paper,) = [w.listed.enrolment_id for w in agent.ways.all() if w.listed.label == "paper"]
    fresh, _ = RecoveryCode.create()
    agent.ways.enrol(NewWay([fresh], "new"), instead_of=paper, send=world.vault.members.accept)
    present = arrive(world, [fresh])
    assert present.keys.signing.public == agent.ways.keys.signing.public
    assert code_of(arrive, world, [code]) == "factor.wrong"
    # Whoever writes the database puts the old row back; the member's list does not have it.
    stored = world.vault.store.members.enrolment_list(agent.member_id)
    assert stored is not None
    full = decode_member_bundle(world.vault.members.full_bundle(agent.bundle_request()))
    put_back = replace(full, blobs=tuple(before.values())).encode()
    assert code_of(arrive(world, [code], put_back).state, put_back) == "enrolment.not-listed"


def test_an_older_list_is_refused_by_server_and_agent(world: World) -> None:
    """R-WAYS-9: the counter only goes up."""
    _, agent = published(world)
    old = world.vault.members.full_bundle(agent.bundle_request())
    changes: list[bytes] = []

    def send(change: bytes) -> None:
        changes.append(change)
        world.vault.members.accept(change)

    agent.ways.enrol(NewWay([RecoveryCode.create()[0]]), send=send)
    assert code_of(agent.ways.take, old) == "enrolment.list-rolled-back"
    assert code_of(world.vault.members.accept, changes[0]) == "enrolment.list-stale"


def test_two_lists_of_one_age_are_a_fork(world: World, tmp_path: Path) -> None:
    """R-WAYS-9: two devices that changed something at once are told so."""
    code, agent = published(world)
    arrival = arrive(world, [code])
    other = arrival.agent(world.vault.members.full_bundle(arrival.ask()))
    other.follow(world.vault.group_bundle(other.hello()))
    other.ways.enrol(NewWay([RecoveryCode.create()[0]]), send=world.vault.members.accept)
    agent.ways.enrol(NewWay([RecoveryCode.create()[0]]))
    full = world.vault.members.full_bundle(agent.bundle_request())
    assert code_of(agent.ways.take, full) == "enrolment.list-forked"


def test_another_device_takes_what_was_changed_elsewhere(world: World) -> None:
    """R-WAYS-9: ways in that are gone are named."""
    code, agent = published(world)
    arrival = arrive(world, [code])
    other = arrival.agent(world.vault.members.full_bundle(arrival.ask()))
    other.follow(world.vault.group_bundle(other.hello()))
    (first, _) = [way.listed.enrolment_id for way in agent.ways.all()]
    fresh, _ = RecoveryCode.create()
    other.ways.enrol(NewWay([fresh], "b"), instead_of=first, send=world.vault.members.accept)
    taken = agent.ways.take(world.vault.members.full_bundle(agent.bundle_request()))
    assert [entry.enrolment_id for entry in taken.gone] == [first]
    assert [way.listed.label for way in agent.ways.all()] == ["paper", "b"]


def test_nothing_changes_here_if_the_server_refuses(world: World) -> None:
    """R-WAYS-5: all or nothing, on both sides."""
    _, agent = published(world)

    def refuse(_change: bytes) -> None:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        agent.ways.enrol(NewWay([RecoveryCode.create()[0]]), send=refuse)
    assert len(agent.ways.all()) == 2
    agent.ways.enrol(NewWay([RecoveryCode.create()[0]]), send=world.vault.members.accept)


def test_the_last_way_in_stays(world: World) -> None:
    """R-WAYS-2: nobody locks himself out."""
    agent = kim(world)
    (only,) = agent.ways.all()
    assert code_of(agent.ways.drop, only.listed.enrolment_id) == "enrolment.last"
    assert code_of(agent.ways.drop, b"?" * 16) == "enrolment.unknown"


def test_what_could_be_guessed_stays_with_the_member(world: World) -> None:
    """R-WAYS-3: by the agent, and by the server whatever an agent says."""
    agent = kim(world)
    words = Passphrase("correct horse battery staple")
    assert code_of(agent.ways.enrol, NewWay([words], at_server=True)) == "enrolment.guessable"
    change, _, _ = decode_member_change(agent.ways.enrol(NewWay([words])))
    keys = agent.ways.keys.signing
    listed = verify_enrolment_list(change.signed_list, keys.public)
    lying = replace(listed, enrolments=tuple(replace(e, at_server=True) for e in listed.enrolments))
    blobs = tuple(e.raw for e in agent.ways.state.enrolments)
    made = MemberChange(lying.signed(keys), blobs).signed(keys)
    assert code_of(world.vault.members.accept, made) == "enrolment.guessable"
    assert world.vault.store.members.members() == []


def test_a_change_that_does_not_hold_together_is_refused(world: World) -> None:
    """R-WAYS-5: exactly the enrolments of the list, of that member."""
    _, agent = published(world)
    keys = agent.ways.keys.signing
    listed = agent.ways.state.listed
    assert listed is not None
    newer = replace(listed, counter=listed.counter + 1)
    others = world.weber.agent.ways.state.enrolments[0].raw
    own = tuple(e.raw for e in agent.ways.state.enrolments)
    only = replace(newer, enrolments=newer.enrolments[:1])
    unkind = replace(newer.enrolments[0], kinds=("password",))
    cases = [
        MemberChange(newer.signed(keys), (*own, others)),
        MemberChange(only.signed(keys), own),
        MemberChange(replace(newer, enrolments=(unkind,)).signed(keys), own[:1]),
        MemberChange(
            replace(newer, enrolments=(replace(unkind, enrolment_id=b"n" * 16),)).signed(keys), ()
        ),
    ]
    for case in cases:
        assert code_of(world.vault.members.accept, case.signed(keys)) == "enrolment.unlike-list"
    foreign = MemberChange(newer.signed(keys), own).signed(world.weber.agent.ways.keys.signing)
    assert code_of(world.vault.members.accept, foreign) in (
        "data.not-authentic",
        "enrolment.list-damaged",
    )


def test_a_revocation_makes_new_keys_everywhere_at_once(world: World, tmp_path: Path) -> None:
    """R-WAYS-10: the old factors and the old seed open nothing that is sealed afterwards."""
    _, agent = published(world)
    old = decode_member_bundle(world.vault.members.full_bundle(agent.bundle_request()))
    kept = FileHome(state_path(world.founding.folder, "kim"))
    key = DeviceKey.create(tmp_path / "new.key")
    change = agent.ways.revoke([NewWay([key], "new laptop")])
    assert agent.ways.revoke([NewWay([key])]) == change  # under way: nothing is made twice
    staged = kept.staged()
    assert staged is not None
    assert staged[1] == change
    bundle = world.vault.group_bundle(agent.hello())
    assert (
        code_of(finish_revocation, kept, [key], bundle, clock=world.clock) == "revocation.pending"
    )
    world.vault.members.accept(change)
    bundle = world.vault.group_bundle(agent.hello())
    assert code_of(agent.follow, bundle) == "member.keys-retired"
    renewed = finish_revocation(kept, [key], bundle, clock=world.clock)
    assert opens(world, renewed)
    assert code_of(finish_revocation, kept, [key], bundle) == "revocation.none"
    with Agent.unlock("kim", key, home=world.founding.folder, clock=world.clock) as again:
        assert opens(world, again)
    # The thief has the old factor, and puts the old list and enrolments back.
    thief_key = DeviceKey(world.founding.folder / "kim.key")
    thief = Arrival.begin(
        old.encode(), [thief_key], deployment=deployment_card(world.config), clock=world.clock
    )
    thief_agent = thief.agent(old.encode())
    assert code_of(thief_agent.follow, world.vault.group_bundle(thief_agent.hello())) == (
        "member.keys-retired"
    )
    assert code_of(world.vault.members.full_bundle, thief.ask()) == "data.not-authentic"
    request = world.asked((DIAGNOSIS, world.vault.seal("x", to=world.ward, context=DIAGNOSIS)))
    assert code_of(thief_agent.release, request) == "member.keys-retired"


def test_whoever_revoked_goes_on_at_once_in_each_group(world: World, tmp_path: Path) -> None:
    """R-WAYS-10: a request tells of its own group; the others must not show the old keys."""
    agent, key = world.weber.agent, DeviceKey.create(tmp_path / "new.key")
    world.vault.members.accept(agent.ways.revoke([NewWay([key])]))
    kept = FileHome(state_path(world.founding.folder, "weber"))
    bundle = world.vault.group_bundle(agent.hello())
    finish_revocation(kept, [key], bundle, clock=world.clock)
    with Agent.unlock("weber", key, home=world.founding.folder, clock=world.clock) as renewed:
        assert len(renewed.groups) == 2
        request = world.asked_for("I48.0")
        (opened,) = world.vault.open(request, renewed.release(request))
        assert opened.text().reveal() == "I48.0"


def test_a_revocation_interrupted_after_its_state_took_its_place_goes_on(
    world: World, tmp_path: Path
) -> None:
    """R-WAYS-10: logs that were not followed yet keep nobody out of the groups that were."""
    agent, key = world.weber.agent, DeviceKey.create(tmp_path / "new.key")
    world.vault.members.accept(agent.ways.revoke([NewWay([key])]))
    FileHome(state_path(world.founding.folder, "weber")).promote()
    with Agent.unlock("weber", key, home=world.founding.folder, clock=world.clock) as again:
        (opened,) = world.opened(world.asked_for("I48.0"), MemoryMember(again, []))
        assert opened.text().reveal() == "I48.0"


def test_a_revocation_that_never_arrived_can_be_given_up(world: World, tmp_path: Path) -> None:
    """R-WAYS-10: only while the old keys still open what the server sends."""
    _, agent = published(world)
    kept = FileHome(state_path(world.founding.folder, "kim"))
    agent.ways.revoke([NewWay([DeviceKey.create(tmp_path / "new.key")])])
    agent.follow(world.vault.group_bundle(agent.hello()))
    discard_revocation(kept, agent)
    assert kept.staged() is None
    assert opens(world, agent)


def test_a_group_that_the_server_keeps_back_stops_a_revocation(
    world: World, tmp_path: Path
) -> None:
    """R-WAYS-10: it would stay sealed to the seed that is given up."""
    agent = world.weber.agent
    code, _ = RecoveryCode.create()
    agent.ways.enrol(NewWay([code]), send=world.vault.members.accept)
    arrival = arrive(world, [code], world.vault.members.bundle("weber", ["recovery-code"]))
    arrived = arrival.agent(world.vault.members.full_bundle(arrival.ask()))
    told = decode_group_bundle(world.vault.group_bundle(arrived.hello()))
    hidden = world.groups["emergency"].group_id
    kept = tuple(news for news in told.news if news.group_id != hidden)
    arrived.follow(replace(told, news=kept).encode())
    new = NewWay([DeviceKey.create(tmp_path / "new.key")])
    assert code_of(arrived.ways.revoke, [new]) == "revocation.group-missing"
    assert code_of(arrived.ways.revoke, [new], without=["", hidden.hex()[:7]]) == (
        "revocation.group-missing"
    )
    assert arrived.ways.revoke([new], without=[hidden.hex()[:16].upper()])
    staged = arrived.ways.home.staged()
    assert staged is not None


def test_a_revocation_that_somebody_outran_changes_nothing(world: World, tmp_path: Path) -> None:
    """R-WAYS-10: one transaction for all groups and the list."""
    _, agent = published(world)
    change = agent.ways.revoke([NewWay([DeviceKey.create(tmp_path / "new.key")])])
    world.vault.append(world.weber.agent.admin.new_epoch(world.ward.group_id))
    before = world.vault.store.members.enrolment_list(agent.member_id)
    assert code_of(world.vault.members.accept, change) == "group.log-moved"
    assert world.vault.store.members.enrolment_list(agent.member_id) == before
    assert opens(world, agent)


def test_a_revocation_must_cover_every_group(world: World, tmp_path: Path) -> None:
    """R-WAYS-10: old keys that stay in one group are no revocation."""
    agent = world.weber.agent
    change = agent.ways.revoke([NewWay([DeviceKey.create(tmp_path / "new.key")])])
    decoded, _, _ = decode_member_change(change)
    assert len(decoded.proposals) == 2
    staged = FileHome(state_path(world.founding.folder, "weber")).staged()
    assert staged is not None
    from twinlock.core.enrolment import unlock_any

    keys = unlock_any(staged[0].enrolments, [DeviceKey(tmp_path / "new.key")])
    partial = replace(decoded, proposals=decoded.proposals[:1]).signed(keys.signing)
    assert code_of(world.vault.members.accept, partial) == "enrolment.keys-differ"
    world.vault.members.accept(change)


@pytest.mark.parametrize("entry", ["a group of one's own", "somebody's removal", "twice"])
def test_a_change_brings_no_other_log_entries(world: World, entry: str) -> None:
    """R-WAYS-11: handed in by anybody, it must not make the server trust or change a group."""
    _, agent = published(world)
    keys, listed = agent.ways.keys.signing, agent.ways.state.listed
    assert listed is not None
    policy = Policy(outer_suites=frozenset(OuterSuite))
    admin = world.weber.agent.admin
    proposals = {
        "a group of one's own": agent.admin.found("mine", policy),
        "somebody's removal": [admin.remove(world.ward.group_id, agent.member_id)],
        "twice": [agent.admin.restate(world.ward.group_id, ())] * 2,
    }[entry]
    newer = replace(listed, counter=listed.counter + 1)
    change = MemberChange(newer.signed(keys), (), (), tuple(proposals)).signed(keys)
    before = world.vault.store.log.heads()
    assert code_of(world.vault.members.accept, change) == "enrolment.foreign-entry"
    assert world.vault.store.log.heads() == before
    assert "mine" not in {state.name for state in world.vault.group_states().values()}


def test_who_takes_anothers_id_in_another_group_gets_nothing(world: World) -> None:
    """R-WAYS-5: groups that give one member two keys are not chosen between."""
    _, agent = published(world)
    thief = world.founding.member("thief")
    thief.ways.state.member_id = agent.member_id
    emergency = world.groups["emergency"].group_id
    card = MemberCard(
        deployment_id=world.config.deployment_id,
        member=replace(own_member(thief.ways.state, thief.ways.keys), member_id=agent.member_id),
    ).encode(thief.ways.keys.signing)
    world.vault.append(world.weber.agent.admin.add(emergency, card, compared=True))
    asked = BundleRequest(world.config.deployment_id, agent.member_id, world.clock())
    request = sign_message(asked.encode(), thief.ways.keys.signing)
    refused = code_of(world.vault.members.full_bundle, request)
    assert refused in ("enrolment.keys-differ", "data.not-authentic")
    change = agent.ways.enrol(NewWay([RecoveryCode.create()[0]]))
    assert code_of(world.vault.members.accept, change) == "enrolment.keys-differ"


def test_who_loses_sealed_keys_follows_from_the_entry(world: World) -> None:
    """R-SRV-6: nobody's but those of whom it removes."""
    agent, weber, group_id = kim(world), world.weber.agent, world.ward.group_id
    world.founding.add(world.ward, weber, world.founding.member("nora"))
    keys = world.vault.store.log.sealed_keys
    before = keys(group_id, weber.member_id)
    world.founding.follow(agent)
    world.vault.append(agent.admin.restate(group_id, ()))
    assert keys(group_id, weber.member_id) == before
    assert opens(world, agent)
    world.founding.follow(weber)
    world.vault.append(weber.admin.remove(group_id, agent.member_id))
    assert keys(group_id, agent.member_id) == {}
    assert keys(group_id, weber.member_id).items() > before.items()
    assert opens(world, weber)


def test_an_id_that_no_group_has_is_not_taken_over(world: World) -> None:
    """R-WAYS-5: whoever signed the stored list is the member, whatever an admin adds later."""
    _, agent = published(world)
    world.founding.add(world.ward, world.weber.agent, world.founding.member("nora"))
    world.vault.append(world.weber.agent.admin.remove(world.ward.group_id, agent.member_id))
    world.founding.follow(world.weber.agent)
    thief = world.founding.member("thief")
    thief.ways.state.member_id = agent.member_id
    card = MemberCard(
        deployment_id=world.config.deployment_id,
        member=replace(own_member(thief.ways.state, thief.ways.keys), member_id=agent.member_id),
    ).encode(thief.ways.keys.signing)
    emergency = world.groups["emergency"].group_id
    world.vault.append(world.weber.agent.admin.add(emergency, card, compared=True))
    asked = BundleRequest(world.config.deployment_id, agent.member_id, world.clock())
    request = sign_message(asked.encode(), thief.ways.keys.signing)
    assert code_of(world.vault.members.full_bundle, request) == "data.not-authentic"
    listed = agent.ways.state.listed
    assert listed is not None
    keys = thief.ways.keys.signing
    mine = replace(listed, counter=99, enrolments=listed.enrolments[:1])
    change = MemberChange(mine.signed(keys), (thief.ways.state.enrolments[0].raw,)).signed(keys)
    assert code_of(world.vault.members.accept, change) == "data.not-authentic"


def test_a_member_in_no_group_hears_no_logs_of_others(world: World) -> None:
    """R-AGENT-2: a head that an agent says to know opens no log that is not its member's."""
    agent = kim(world)
    foreign = world.groups["emergency"].group_id
    said = Hello(
        world.config.deployment_id,
        agent.member_id,
        bytes(32),
        bytes(32),
        (GroupHead(foreign, 0, bytes(32)), GroupHead(b"?" * 32, 0, bytes(32))),
        AgentPlacement.OWN_ORIGIN_OR_PROGRAM.value,
    )
    news = decode_group_bundle(world.vault.group_bundle(said.encode())).news
    assert {n.group_id for n in news} == {world.ward.group_id}


def test_sign_ins_go_with_the_change(world: World) -> None:
    """R-WAYS-5: and are kept until they are replaced."""
    agent = kim(world)
    new = NewWay([RecoveryCode.create()[0]])
    agent.ways.enrol(new, logins=[Login("split", b"v" * 32)], send=world.vault.members.accept)
    assert world.vault.members.logins("kim", "split") == [b"v" * 32]
    assert world.vault.members.logins("nobody", "split") == []
    more = [
        Login("split", b"w" * 32),
        Login("passkey", record(agent, b"1")),
        Login("passkey", record(agent, b"2")),
    ]
    agent.ways.enrol(
        NewWay([RecoveryCode.create()[0]]), logins=more, send=world.vault.members.accept
    )
    assert world.vault.members.logins("kim", "split") == [b"w" * 32]
    assert sorted(world.vault.members.logins("kim", "passkey")) == sorted(
        [record(agent, b"1"), record(agent, b"2")]
    )
    only = [Login("passkey", None), Login("passkey", record(agent, b"3"))]
    agent.ways.enrol(
        NewWay([RecoveryCode.create()[0]]), logins=only, send=world.vault.members.accept
    )
    assert world.vault.members.logins("kim", "passkey") == [record(agent, b"3")]
    assert world.vault.members.logins("kim", "split") == [b"w" * 32]
    new = NewWay([RecoveryCode.create()[0]])
    for odd in (
        Login("telepathy", b"x"),
        Login("split", b"short"),
        Login("scram", bytes(5000)),
        Login("passkey", record(world.weber.agent, b"4")),
    ):
        refused = code_of(agent.ways.enrol, new, logins=[odd], send=world.vault.members.accept)
        assert refused == "enrolment.unlike-list"
    change = agent.ways.revoke(
        [NewWay([RecoveryCode.create()[0]])], logins=[Login("split", b"x" * 32)]
    )
    world.vault.members.accept(change)
    assert world.vault.members.logins("kim", "passkey") == []
    assert world.vault.members.logins("kim", "split") == [b"x" * 32]


def test_a_member_without_a_group_is_not_kept(world: World) -> None:
    """R-WAYS-5: the logs alone say who a member is."""
    stranger = world.founding.member("stranger")
    change = stranger.ways.enrol(NewWay([RecoveryCode.create()[0]]))
    assert code_of(world.vault.members.accept, change) == "data.not-authentic"
    # Refused like a forger: whose ids are members' is not told.
    asked = stranger.bundle_request()
    assert code_of(world.vault.members.full_bundle, asked) == "data.not-authentic"


def test_a_policy_is_kept_by_agent_and_server() -> None:
    """R-WAYS-4: a way in that a group does not allow is not made, and not kept."""
    with world_in_memory(policy=Policy(outer_suites=frozenset(OuterSuite))) as world:
        agent = kim(world)
        scram = Passphrase("correct horse battery staple")
        # Traits change with a passphrase alone: it is stated in the log in the same step.
        agent.ways.enrol(NewWay([scram]), send=world.vault.members.accept)
        state = world.vault.group_state(world.ward)
        assert state.members[agent.member_id].member.traits == frozenset()
        assert opens(world, agent)


def test_the_database_takes_no_older_list_whatever_the_server_does(world: World) -> None:
    """R-WAYS-9: the counter is compared in the same statement."""
    _, agent = published(world)
    stored = world.vault.store.members.enrolment_list(agent.member_id)
    assert stored is not None
    put = PutMember(
        member_id=agent.member_id, name="kim", counter=stored.counter, signed_list=b"", blobs={}
    )
    assert code_of(world.vault.store.members.put, put) == "enrolment.list-stale"
