"""The TypeScript agent against a Python deployment: what it releases opens, lies are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.agent.lying import Liar, unlocked
from tests.agent.test_lies import LIES
from tests.server.world import DIAGNOSIS, PATIENT, World
from tests.web.peer import Peer, PeerAgent, PeerRefusedError
from twinlock.agent.agent import Release
from twinlock.core.membership import log_fingerprint
from twinlock.core.request import decode_hello
from twinlock.server.opened import Opened
from twinlock.server.requests import Request
from twinlock.testing import MemoryMember


def as_peer(peer: Peer, world: World, liar: Liar, **options: object) -> PeerAgent:
    """The same member in TypeScript, with the state that the Python agent has in memory."""
    agent = liar.agent
    keys = agent._unlocked()
    key = (world.founding.folder / f"{agent.name}.key").read_bytes()
    peer.call("clock", now=world.clock())
    return peer.unlock(agent._state.encode(keys.state_key), key, **options)


@pytest.mark.parametrize("lie", sorted(LIES))
def test_a_lie_is_refused_with_the_code_that_the_python_agent_gives(
    peer: Peer, shared: World, lie: str
) -> None:
    """R-AGENT-1, R-AGENT-2, R-AGENT-3, R-AGENT-4."""
    tell, code = LIES[lie]
    liar = Liar.asking(shared)
    tell(liar)
    agent = as_peer(peer, shared, liar)
    with pytest.raises(PeerRefusedError) as caught:
        agent.release(liar.encoded())
    assert caught.value.code == code
    assert agent.call("status")["releases"] == liar.agent.status().releases


def test_what_the_typescript_agent_releases_is_opened(peer: Peer, world: World) -> None:
    """R-VEC-2, R-REL-1, R-REL-2."""
    agent = peer.member(world, "kim")
    for text in ("I48.0", "I48.1"):
        assert [o.text().reveal() for o in opened(world, agent, world.asked_for(text))] == [text]
    assert agent.call("status")["releases"] == 2


def test_rows_and_many_records_are_opened(peer: Peer, world: World) -> None:
    """R-REL-4: every item stands at its record's position."""
    agent = peer.member(world, "kim")
    contexts = [replace(DIAGNOSIS, record=number) for number in range(1, 30)]
    asked = [(c, world.vault.seal(f"text {c.record}", to=world.ward, context=c)) for c in contexts]
    row = world.vault.seal_row({"a": "1", "b": ""}, to=world.ward, context=PATIENT)
    *values, last = opened(world, agent, world.asked(*asked, (PATIENT, row)))
    assert [o.text().reveal() for o in values] == [f"text {c.record}" for c in contexts]
    assert last.ok


def test_a_first_lock_of_another_group_does_not_matter(peer: Peer, world: World) -> None:
    """R-LOCK-5: kim opens the ward's lock, whichever place it has among others."""
    emergency = world.groups["emergency"]
    for groups in ([world.ward, emergency], [emergency, world.ward]):
        sealed = world.vault.seal("I48.0", to=groups, context=DIAGNOSIS)
        [value] = opened(world, peer.member(world, "kim"), world.asked((DIAGNOSIS, sealed)))
        assert value.text().reveal() == "I48.0"


def test_a_group_is_followed_with_and_without_a_request(peer: Peer, world: World) -> None:
    """R-AGENT-2, R-REQ-6: heads in the next hello show what was taken."""
    agents = [peer.member(world, "kim"), peer.member(world, "kim")]
    proposal = world.weber.agent.admin.new_epoch(world.ward.group_id)
    world.vault.append(proposal)
    agents[0].call("follow", bundle=world.vault.group_bundle(agents[0].hello()))
    for agent in agents:
        assert opened(world, agent, world.asked_for())[0].ok
        [group] = agent.call("groups")
        assert (group["epoch"], group["members"], group["role"]) == (2, 2, "member")
        state = world.vault.group_state(world.ward)
        assert group["fingerprint"] == log_fingerprint(state.pin)
        [head] = decode_hello(agent.hello()).heads
        assert (head.seq, head.head) == (state.seq, state.head)


def test_a_member_joins_with_an_invitation_that_the_program_accepted(
    peer: Peer, world: World
) -> None:
    """R-LOG-29: the agent demands the head that the invitation names."""
    office, officer = world.groups["data-office"], world.officer.agent
    newcomer = world.founding.member("nora")
    card = newcomer.card(officer.admin.invite(office.group_id))
    world.vault.append(officer.admin.add(office.group_id, card))
    agent = peer.member(world, "nora")
    assert agent.call("groups") == []
    agent.call("follow", bundle=world.vault.group_bundle(agent.hello()))
    [group] = agent.call("groups")
    assert (group["name"], group["verified"]) == ("data-office", True)
    (world.founding.folder / "nora.member").write_bytes(agent.state())
    again = unlocked(world, "nora")
    assert [known.verified for known in again.groups] == [True]
    assert again._state.accepted == {}


def test_both_agents_read_the_state_that_the_other_wrote(peer: Peer, world: World) -> None:
    """R-AGENT-10: one chain of releases, one ledger, whichever of the two answers."""
    path = world.founding.folder / "kim.member"
    for turn in (1, 2):
        assert world.opened(world.asked_for(), MemoryMember(unlocked(world, "kim"), []))[0].ok
        agent = peer.member(world, "kim")
        assert opened(world, agent, world.asked_for())[0].ok
        path.write_bytes(agent.state())
        kim = unlocked(world, "kim")
        assert kim.status().releases == 2 * turn
        assert kim.status().released_this_hour[world.ward.group_id] == 2 * turn
        assert kim._state.encode(kim._unlocked().state_key) == path.read_bytes()


def opened(world: World, agent: PeerAgent, request: Request) -> list[Opened]:
    """Have a TypeScript agent release a request, and open it."""
    release = agent.release(request.bind(agent.hello()))
    return world.vault.open(request, Release.from_bytes(release))
