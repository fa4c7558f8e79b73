"""What a member says alone in a group's log: other keys, other ways in, notices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.world import World, world_in_memory
from twinlock import Agent, CallerError, DataError
from twinlock.agent.keys import GroupKeys
from twinlock.agent.state import KnownGroup
from twinlock.core.enrolment import MemberKeys, member_keys
from twinlock.core.membership import (
    NotAllowedError,
    Notice,
    Policy,
    Reason,
    RecoveryBegin,
    RecoveryCancel,
    SignedEntry,
)
from twinlock.core.ports import OuterSuite
from twinlock.core.primitives import Kem
from twinlock.core.proposal import Proposal
from twinlock.core.secret import Secret

PASSKEYS = Policy(outer_suites=frozenset(OuterSuite), exceptions=frozenset({"sole-passkey"}))
SEED = Secret(b"another seed of kim's, 32 bytes.")


@pytest.fixture
def world() -> Iterator[World]:
    with world_in_memory(policy=PASSKEYS) as made:
        yield made


def opens(world: World, agent: Agent, keys: MemberKeys) -> dict[int, bytes]:
    """Public halves of the ward's keys that the server has for this member, opened with these."""
    state = world.vault.group_state(world.ward)
    opener = GroupKeys(agent.member_id, keys)
    opener.receive(world.vault._groups.sealed_keys(agent.member_id, [state.group_id]))
    known = KnownGroup(state, verified=True)
    return {epoch: opener.key(known, epoch).public for epoch in state.epochs}


def publics(world: World) -> dict[int, bytes]:
    return {n: e.public for n, e in world.vault.group_state(world.ward).epochs.items()}


@pytest.mark.parametrize("kem", Kem, ids=["classical", "pq"])
@pytest.mark.parametrize("name", ["weber", "kim"], ids=["admin", "member"])
def test_new_keys_open_every_epoch_and_the_others_open_the_next(
    world: World, name: str, kem: Kem
) -> None:
    """R-LOG-15, R-LOG-20, R-LOG-25: what was sealed before stays readable to its owner."""
    group_id = world.ward.group_id
    world.vault.append(world.weber.agent.admin.new_epoch(group_id))
    for member in (world.weber, world.kim):
        world.founding.follow(member.agent)
    agent, new = world.members[name].agent, member_keys(SEED, kem)
    before = opens(world, agent, agent._unlocked())
    after = world.vault.append(agent.admin.rekey(group_id, new, ["sole-passkey"]))
    assert after.current_epoch.number == len(before) + 1
    assert opens(world, agent, new) == publics(world)
    assert opens(world, agent, new).items() > before.items()
    member = after.membership(agent.member_id).member
    assert (member.kem_public, member.signing_public) == (new.kem.public, new.signing.public)
    assert member.traits == {"sole-passkey"}
    with pytest.raises(DataError):
        opens(world, agent, agent._unlocked())
    other = world.members["kim" if name == "weber" else "weber"].agent
    assert opens(world, other, other._unlocked()) == publics(world)


def test_a_member_restates_and_everybody_sees_it(world: World) -> None:
    """R-LOG-37."""
    group_id, kim = world.ward.group_id, world.kim.agent
    after = world.vault.append(kim.admin.restate(group_id, ["sole-passkey"]))
    assert after.membership(kim.member_id).member.traits == {"sole-passkey"}
    world.founding.follow(world.weber.agent)
    seen = {g.state.group_id: g.state for g in world.weber.agent.groups}[group_id]
    assert seen == after
    assert world.opened(world.asked_for())[0].ok


def say(world: World, said: str, trait: str) -> Proposal:
    admin, group_id = world.kim.agent.admin, world.ward.group_id
    if said == "rekey":
        return admin.rekey(group_id, member_keys(SEED), [trait])
    return admin.restate(group_id, [trait])


@pytest.mark.parametrize("said", ["rekey", "restate"])
def test_what_the_group_does_not_take_is_refused_before_it_leaves_the_agent(
    world: World, said: str
) -> None:
    """R-LOG-36, R-LOG-39."""
    with pytest.raises(NotAllowedError) as caught:
        say(world, said, "scram-alone")
    assert caught.value.reason is Reason.NOT_EXCEPTED
    with pytest.raises(CallerError) as unknown:
        say(world, said, "no-factor")
    assert unknown.value.code == "log.trait"


@pytest.mark.parametrize(
    "notice", [RecoveryBegin(b"kim's member id.", b"d" * 32), RecoveryCancel(b"d" * 32)]
)
def test_a_notice_reaches_the_log_and_leaves_the_group_as_it_is(
    world: World, notice: Notice
) -> None:
    """R-LOG-42."""
    before, group_id = world.vault.group_state(world.ward), world.ward.group_id
    after = world.vault.append(world.kim.agent.admin.notify(group_id, notice))
    assert (after.seq, after.members, after.epochs) == (
        before.seq + 1,
        before.members,
        before.epochs,
    )
    [last] = world.vault.store.log.entries(group_id, after.seq)
    assert SignedEntry.decode(last.signed_entry).entry.op == notice
    assert world.opened(world.asked_for())[0].ok
