"""What the member and the group, not the server, limit: budgets, clicks, places."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.agent.lying import rules, unlocked
from tests.server.world import DIAGNOSIS, World, world_in_memory
from twinlock.core.membership import AgentPlacement
from twinlock.errors import CallerError


def released(world: World, count: int, approve=None) -> str:
    """Release ``count`` records with kim's agent; returns the refusal's code."""
    contexts = [replace(DIAGNOSIS, record=number + 1) for number in range(count)]
    items = [(c, world.vault.seal("x", to=world.ward, context=c)) for c in contexts]
    try:
        world.kim.agent.release(world.asked(*items), approve=approve)
    except CallerError as error:
        return error.code
    return "released"


def test_a_budget_is_spent_over_many_requests_and_comes_back_with_the_hour() -> None:
    """R-AGENT-6."""
    with world_in_memory(policy=rules(budget_per_hour=5)) as world:
        assert [released(world, n) for n in (3, 2)] == ["released", "released"]
        assert released(world, 1) == "release.needs-approval"
        world.clock.forward(3500)
        assert released(world, 1) == "release.needs-approval"
        world.clock.forward(160)
        assert released(world, 5) == "released"
        assert released(world, 1) == "release.needs-approval"


def test_a_clock_that_is_set_back_frees_no_budget() -> None:
    with world_in_memory(policy=rules(budget_per_hour=2)) as world:
        world.clock.forward(8 * 86400)
        assert released(world, 2) == "released"
        world.clock.forward(-7 * 86400)
        assert released(world, 1) == "release.needs-approval"


def test_more_than_the_budget_at_once_is_refused_whole() -> None:
    with world_in_memory(policy=rules(budget_per_hour=5)) as world:
        assert released(world, 6) == "release.needs-approval"
        assert world.kim.agent.status().releases == 0
        assert released(world, 5) == "released"


def test_the_member_decides_beyond_the_budget_and_sees_why() -> None:
    with world_in_memory(policy=rules(budget_per_hour=0)) as world:
        reasons: list[str] = []

        def decide(answer: bool):
            return lambda examined, reason: reasons.append(reason) or answer

        assert released(world, 1, decide(False)) == "release.needs-approval"
        assert released(world, 1, decide(True)) == "released"
        assert reasons == ["1 records of group cardiology in an hour, budget 0"] * 2
        assert world.kim.agent.status().released_this_hour[world.ward.group_id] == 1


def test_a_group_may_want_a_click_for_every_release() -> None:
    """R-AGENT-6."""
    with world_in_memory(policy=rules(click_each=True)) as world:
        assert released(world, 1) == "release.needs-approval"
        assert released(world, 1, lambda examined, reason: True) == "released"


def test_the_agents_own_budget_holds_where_the_group_has_none(shared: World) -> None:
    agent = unlocked(shared, "kim", budget_per_hour=1)
    used = agent.status().released_this_hour[shared.ward.group_id]
    agent = unlocked(shared, "kim", budget_per_hour=used + 1)
    for expected in ("released", "release.needs-approval"):
        sealed = shared.vault.seal("x", to=shared.ward, context=DIAGNOSIS)
        try:
            agent.release(shared.asked((DIAGNOSIS, sealed)))
            result = "released"
        except CallerError as error:
            result = error.code
        assert result == expected


@pytest.mark.parametrize(
    ("placement", "allowed", "expected"),
    [
        ("server", "own-origin-or-program", "release.placement"),
        ("application-page", "own-origin-or-program", "release.placement"),
        ("server", "application-page", "release.placement"),
        ("application-page", "application-page", "released"),
        ("own-origin-or-program", "own-origin-or-program", "released"),
        ("server", "server", "released"),
    ],
)
def test_an_agent_releases_only_from_where_its_group_allows(
    placement: str, allowed: str, expected: str
) -> None:
    """R-AGENT-6."""
    policy = rules(agent_placement=AgentPlacement(allowed))
    with world_in_memory(policy=policy) as world:
        agent = unlocked(world, "kim", placement=AgentPlacement(placement))
        sealed = world.vault.seal("x", to=world.ward, context=DIAGNOSIS)
        try:
            agent.release(world.asked((DIAGNOSIS, sealed)), approve=lambda *_: True)
            result = "released"
        except CallerError as error:
            result = error.code
    assert result == expected
