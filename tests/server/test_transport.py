"""Transport keys: rotated, limited in time, gone with the process or the token's session."""

from __future__ import annotations

import pytest

from tests.server.world import DIAGNOSIS, World
from twinlock import DataError, EnvError
from twinlock.server.requests import Request
from twinlock.server.transport import ROTATION, STATEMENTS_KEPT


def kid_of(request: Request) -> bytes:
    return request.pending[-1].transport.kid


def fresh(world: World) -> Request:
    request = world.asked_for()
    request.bind(world.kim.hello())
    return request


def test_one_key_serves_an_hour_and_then_another(memory: World) -> None:
    """R-SRV-5."""
    first = kid_of(fresh(memory))
    memory.clock.forward(ROTATION - 1)
    assert kid_of(fresh(memory)) == first
    memory.clock.forward(1)
    assert kid_of(fresh(memory)) != first


def test_a_request_made_before_a_rotation_is_served_and_the_old_key_then_destroyed(
    memory: World,
) -> None:
    """R-SRV-5."""
    memory.opened(memory.asked_for())
    memory.clock.forward(ROTATION - 1)
    request = memory.asked_for()
    release = memory.kim.release(request)
    memory.clock.forward(2)
    assert kid_of(fresh(memory)) != kid_of(request)
    assert memory.vault.open(request, release)[0].ok
    before = memory.vault.token.objects
    memory.clock.forward(121)
    fresh(memory)
    assert memory.vault.token.objects == before - 1


@pytest.mark.parametrize("seconds", [-1, -3600, -86_400 * 30])
def test_a_clock_that_is_set_back_makes_a_new_key(memory: World, seconds: int) -> None:
    memory.clock.forward(86_400 * 31)
    first = kid_of(fresh(memory))
    memory.clock.forward(seconds)
    assert kid_of(fresh(memory)) != first
    assert memory.opened(memory.asked_for())[0].ok


@pytest.mark.parametrize(
    ("skew", "accepted"), [(120, True), (-120, True), (241, False), (-241, False)]
)
def test_clocks_of_server_and_member_may_differ_by_two_minutes(
    memory: World, skew: int, accepted: bool
) -> None:
    bundle = memory.asked_for().bind(memory.kim.hello())
    memory.clock.forward(skew)
    if accepted:
        assert memory.kim.release(bundle).raw
    else:
        with pytest.raises(DataError) as caught:
            memory.kim.release(bundle)
        assert caught.value.code in ("request.expired", "request.session", "transport.expired")


def test_a_key_that_the_token_lost_is_replaced_after_the_first_failure(world: World) -> None:
    request = world.asked_for()
    release = world.kim.release(request)
    world.vault.token.destroy_transport_key(kid_of(request))
    with pytest.raises(EnvError) as caught:
        world.vault.open(request, release)
    assert (caught.value.code, caught.value.retryable) == ("token.transport-gone", True)
    assert world.opened(world.asked_for())[0].ok


def test_a_closed_vault_leaves_no_transport_key(memory: World) -> None:
    """R-SRV-5."""
    vault = memory.another_vault()
    request = vault.request(
        [(DIAGNOSIS, memory.vault.seal("x", to=memory.ward, context=DIAGNOSIS))]
    )
    memory.kim.release(request)
    token = vault.token
    assert token.objects == memory.vault.token.objects + 1
    vault._held._token = None
    vault._transport._token = lambda: token
    vault._transport.retire_all()
    assert token.objects == memory.vault.token.objects


def test_another_agents_statement_is_of_no_use(memory: World) -> None:
    for_weber = memory.asked_for().bind(memory.weber.hello())
    with pytest.raises(DataError) as caught:
        memory.kim.release(for_weber)
    assert caught.value.code == "request.not-mine"


def test_any_number_of_agents_takes_a_bounded_memory(memory: World) -> None:
    transport = memory.vault._transport
    for number in range(STATEMENTS_KEPT + 10):
        transport.stated_to(number.to_bytes(32, "big"))
    assert transport._current is not None
    assert len(transport._current.statements) <= STATEMENTS_KEPT
    assert memory.opened(memory.asked_for())[0].ok
