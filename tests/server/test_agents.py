"""Members' agents in the server: off by default, for one request or one login."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.server.world import DIAGNOSIS, World, world_in_memory
from twinlock.agent.factors import Password
from twinlock.agent.recovery import RecoveryCode
from twinlock.agent.ways import NewWay
from twinlock.core.member_change import Login
from twinlock.core.membership import AgentPlacement, Policy
from twinlock.core.ports import OuterSuite
from twinlock.core.secret import Secret
from twinlock.errors import TwinlockError
from twinlock.server.agents import ServerAgents
from twinlock.server.own_services import VaultHardening
from twinlock.server.rotation import dependents, retire
from twinlock.server.setup import add_hardening_key, deployment_card

WORDS = "correct horse battery staple"
LAX = Policy(outer_suites=frozenset(OuterSuite), agent_placement=AgentPlacement.SERVER)


@pytest.fixture
def world() -> Iterator[World]:
    with world_in_memory(policy=LAX) as made:
        yield prepared(made)


def prepared(world: World) -> World:
    """Kim has a password, and the server is allowed to run agents."""
    vault = world.vault
    add_hardening_key(vault.store, vault.token, world.config, now=world.clock())
    world.clock.now += 61
    service = VaultHardening(world.vault, b"kim")
    password = Password(
        WORDS, deployment=deployment_card(world.config), service=service, clock=world.clock
    )
    world.kim.agent.ways.enrol(NewWay([password]), send=world.vault.members.accept)
    world.vault._config = replace(world.vault.config, agent_in_server=True)
    return world


def code_of(call, *arguments, **named) -> str:
    with pytest.raises(TwinlockError) as caught:
        call(*arguments, **named)
    return caught.value.code


def agents_of(world: World, **lives: int) -> ServerAgents:
    return ServerAgents(world.vault, **lives)


def test_a_login_form_opens_records_for_one_request(world: World) -> None:
    """R-INSERVER-2: unlocked by what was typed, locked when the request ends."""
    agents = agents_of(world)
    with agents.once("kim", [agents.password("kim", WORDS, source="10.0.0.1")]) as agent:
        request = world.asked_for("I48.0")
        (opened,) = world.vault.open(request, agent.release(request))
        assert opened.text().reveal() == "I48.0"
    assert code_of(agent.release, world.asked_for("I48.0")) == "agent.locked"


def test_a_login_ends_by_logging_out_by_idleness_and_in_any_case(world: World) -> None:
    """R-INSERVER-2: and its agent is locked then."""
    agents = agents_of(world, idle_life=60, login_life=100)

    def login() -> Secret:
        return agents.begin("kim", [agents.password("kim", WORDS, source="10.0.0.1")])

    first = login()
    agent = agents.agent(first)
    agents.end(first)
    agents.end(first)
    assert code_of(agents.agent, first) == "agent.locked"
    assert code_of(agent.card) == "agent.locked"
    second = login()
    for _ in range(2):
        world.clock.now += 50
        agents.agent(second)
    world.clock.now += 1
    assert code_of(agents.agent, second) == "agent.locked"
    third = login()
    kept = agents.agent(third)
    world.clock.now += 61
    assert code_of(agents.agent, third) == "agent.locked"
    assert code_of(kept.card) == "agent.locked"
    fourth = agents.agent(login())
    agents.close()
    assert code_of(fourth.card) == "agent.locked"


def test_a_login_ends_where_nobody_calls_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-INSERVER-2: a thread looks once a minute, as long as there are logins."""
    waiting: list[tuple[int, Callable[[], None]]] = []

    class Waiting:
        daemon = False

        def __init__(self, seconds: int, look: Callable[[], None]) -> None:
            self.entry = seconds, look

        def start(self) -> None:
            assert self.daemon
            waiting.append(self.entry)

        def cancel(self) -> None:
            waiting.remove(self.entry)

    monkeypatch.setattr("twinlock.server.agents.Timer", Waiting)
    agents = agents_of(world, idle_life=90)
    login = agents.begin("kim", [agents.password("kim", WORDS, source="10.0.0.1")])
    agent = agents.agent(login)
    for locked in (False, True):
        (seconds, look), *rest = waiting
        assert (seconds, rest) == (60, [])
        waiting.clear()
        world.clock.now += seconds
        look()
        assert (agent._keys is None) is locked
    assert waiting == []
    agents.begin("kim", [agents.password("kim", WORDS, source="10.0.0.1")])
    assert len(waiting) == 1
    agents.close()
    assert waiting == []


def test_a_wrong_password_and_a_stranger_are_told_the_same(world: World) -> None:
    """R-WAYS-8: one error, whoever it is."""
    agents = agents_of(world)
    for name, words in (("kim", "wrong"), ("stranger", WORDS), ("weber", WORDS)):
        factors = [agents.password(name, words, source="10.0.0.1")]
        assert code_of(agents.begin, name, factors) == "factor.wrong"


@pytest.mark.parametrize("signs_in", [True, False])
def test_a_password_is_hardened_anew_and_the_members_split_login_follows(
    world: World, signs_in: bool
) -> None:
    """R-ROTATE-2, R-LOGIN-1: who signs in elsewhere by split login still does."""
    vault, agents = world.vault, agents_of(world)
    before = agents.password("kim", WORDS, source="10.0.0.1")
    (was,) = (e for e in world.kim.agent.ways.state.enrolments if e.kinds == ("password",))
    if signs_in:
        world.founding.follow(world.kim.agent)
        logins = [Login("split", before.new_login(was))]
        code, _ = RecoveryCode.create()
        world.kim.agent.ways.enrol(NewWay([code]), logins=logins, send=vault.members.accept)
    (old,) = (needed.entry.key.kid for needed in dependents(vault) if needed.names)
    add_hardening_key(vault.store, vault.token, world.config, now=world.clock())
    vault.read_directory_again()
    retire(vault, old, until=world.clock() + 86400)
    words = agents.password("kim", WORDS, source="10.0.0.1")
    with agents.once("kim", [words]) as agent:
        (now,) = (e for e in agent.ways.state.enrolments if e.kinds == ("password",))
    assert now.enrolment_id != was.enrolment_id
    kept = vault.members.logins("kim", "split")
    assert kept == ([words.new_login(now)] if signs_in else [])


def test_it_is_off_by_default(world: World) -> None:
    """R-INSERVER-1: the configuration has to say so."""
    world.vault._config = replace(world.vault.config, agent_in_server=False)
    assert code_of(ServerAgents, world.vault) == "agent.in-server-off"


def test_a_group_that_does_not_allow_it_is_not_opened() -> None:
    """R-INSERVER-1: the policy of the group, as the member's own agent reads it in the log."""
    strict = replace(LAX, agent_placement=AgentPlacement.APPLICATION_PAGE)
    with world_in_memory(policy=strict) as world:
        agents = agents_of(prepared(world))
        with agents.once("kim", [agents.password("kim", WORDS, source="10.0.0.1")]) as agent:
            assert code_of(agent.release, world.asked_for("I48.0")) == "release.placement"
        sealed = world.vault.seal("x", to=world.ward, context=DIAGNOSIS)
        assert world.opened(world.asked((DIAGNOSIS, sealed)))[0].ok
