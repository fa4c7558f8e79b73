"""A second member opens a share of an AND lock: for whom, within which limits, and how it fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.agent.lying import rules, unlocked
from tests.server.world import DIAGNOSIS, World, world_in_memory
from twinlock import Agent, AllOf
from twinlock.core.membership import AgentPlacement
from twinlock.core.release import decode_share, sign_message, split_signed
from twinlock.errors import CallerError, DataError, TwinlockError


def helped(world: World, helper: Agent, count: int = 1, approve=None) -> str:
    """Have ``helper`` open its shares of ``count`` records for kim; returns the refusal's code."""
    both = AllOf(world.ward, world.groups["data-office"])
    contexts = [replace(DIAGNOSIS, record=number + 1) for number in range(count)]
    request = world.asked(*((c, world.vault.seal("x", to=both, context=c)) for c in contexts))
    bundle = request.bind(world.kim.hello())
    try:
        share = helper.help_with(request.assist(helper.hello(), bundle), approve=approve)
    except CallerError as error:
        return error.code
    assert world.vault.open(request, world.kim.release(bundle, shares=[share]))[0].ok
    return "helped"


def test_helping_counts_against_the_helpers_budget_in_every_run() -> None:
    """R-AGENT-6."""
    with world_in_memory(policy=rules(budget_per_hour=3)) as world:
        one, other = unlocked(world, "officer"), unlocked(world, "officer")
        assert helped(world, one, 2) == "helped"
        assert helped(world, other, 2) == "release.needs-approval"
        assert helped(world, other, 1) == "helped"
        assert helped(world, one, 1) == "release.needs-approval"
        assert helped(world, one, 1, lambda examined, reason: True) == "helped"
        assert unlocked(world, "officer").status().releases == 0


def test_helping_may_want_a_click_and_an_allowed_place() -> None:
    with world_in_memory(policy=rules(click_each=True)) as world:
        officer = unlocked(world, "officer")
        assert helped(world, officer) == "release.needs-approval"
        assert helped(world, officer, 1, lambda examined, reason: True) == "helped"
        elsewhere = unlocked(world, "officer", placement=AgentPlacement.SERVER)
        assert helped(world, elsewhere, 1, lambda *_: True) == "release.placement"


def asked_together(world: World):
    both = AllOf(world.ward, world.groups["data-office"])
    request = world.asked((DIAGNOSIS, world.vault.seal("x", to=both, context=DIAGNOSIS)))
    bundle = request.bind(world.kim.hello())
    return request, bundle, request.assist(world.officer.hello(), bundle)


def test_a_share_for_another_request_is_foreign(shared: World) -> None:
    _, bundle, _ = asked_together(shared)
    _, _, other = asked_together(shared)
    share = shared.officer.agent.help_with(other)
    with pytest.raises(DataError) as caught:
        shared.kim.release(bundle, shares=[share])
    assert caught.value.code == "share.foreign"


def test_a_damaged_share_is_not_taken(shared: World) -> None:
    _, bundle, assisting = asked_together(shared)
    share = bytearray(shared.officer.agent.help_with(assisting))
    share[-1] ^= 1
    with pytest.raises(DataError) as caught:
        shared.kim.release(bundle, shares=[bytes(share)])
    assert caught.value.code == "data.not-authentic"


def test_a_wrong_share_names_its_sender(shared: World) -> None:
    _, bundle, assisting = asked_together(shared)
    officer = shared.officer.agent
    message = decode_share(split_signed(officer.help_with(assisting))[0])
    [item] = message.items
    for wrong in (
        replace(item, sealed=bytes(len(item.sealed))),
        replace(item, position=7),
        replace(item, lock=3),
        replace(item, index=0),
    ):
        lie = replace(message, items=(wrong,)).encode()
        signed = sign_message(lie, officer._unlocked().signing)
        with pytest.raises(DataError) as caught:
            shared.kim.release(bundle, shares=[signed])
        assert caught.value.code == "share.wrong"
        assert "officer" in caught.value.message


def test_a_share_from_nobody_in_the_groups_is_foreign(world: World) -> None:
    _, bundle, assisting = asked_together(world)
    message = decode_share(split_signed(world.officer.agent.help_with(assisting))[0])
    stranger = world.founding.member("stranger")
    lie = replace(message, member_id=stranger.member_id).encode()
    with pytest.raises(DataError) as caught:
        world.kim.release(bundle, shares=[sign_message(lie, stranger._unlocked().signing)])
    assert caught.value.code == "share.foreign"


def test_nobody_helps_with_a_request_of_ones_own_or_without_a_share(shared: World) -> None:
    _, bundle, _ = asked_together(shared)
    with pytest.raises(DataError) as own:
        shared.kim.agent.help_with(bundle)
    assert own.value.code == "request.not-mine"
    plain = shared.asked_for()
    bound = plain.bind(shared.kim.hello())
    with pytest.raises(TwinlockError) as nothing:
        shared.weber.agent.help_with(plain.assist(shared.weber.hello(), bound))
    assert nothing.value.code in ("share.nothing", "share.requester-unknown")
