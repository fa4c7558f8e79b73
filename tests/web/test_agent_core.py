"""The TypeScript agent against a Python deployment: what it releases opens, lies are refused."""

from __future__ import annotations

import pytest

from tests.agent.lying import Liar, unlocked
from tests.agent.test_lies import LIES
from tests.server.world import World
from tests.web.peer import Peer, PeerAgent, PeerRefusedError
from twinlock.agent.agent import Release


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
    kim = world.kim.agent
    kim._save()
    key = world.founding.folder / "kim.key"
    peer.call("clock", now=world.clock())
    agent = peer.unlock(kim._path.read_bytes(), key.read_bytes())
    for text in ("I48.0", "I48.1"):
        request = world.asked_for(text)
        release = agent.release(request.bind(agent.hello()))
        [opened] = world.vault.open(request, Release.from_bytes(release))
        assert opened.text().reveal() == text
    assert agent.call("status")["releases"] == 2


def test_both_agents_read_the_state_that_the_other_wrote(peer: Peer, world: World) -> None:
    """R-AGENT-8: one chain of releases, one ledger, whichever of the two answers."""
    kim, path = world.kim.agent, world.kim.agent._path
    key = world.founding.folder / "kim.key"
    for turn in range(2):
        request = world.asked_for()
        assert world.vault.open(request, kim.release(request))[0].ok
        peer.call("clock", now=world.clock())
        agent = peer.unlock(path.read_bytes(), key.read_bytes())
        asked = world.asked_for()
        assert world.vault.open(
            asked, Release.from_bytes(agent.release(asked.bind(agent.hello())))
        )[0].ok
        path.write_bytes(agent.state())
        kim = unlocked(world, "kim")
        assert kim.status().releases == 2 * turn + 2
        assert kim.status().released_this_hour[world.ward.group_id] == 2 * turn + 2
        assert kim._state.encode(kim._unlocked().state_key) == path.read_bytes()
