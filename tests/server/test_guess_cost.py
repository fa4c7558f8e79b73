"""What guessing costs: counted, divided, and told in numbers that people grasp."""

from __future__ import annotations

import itertools

import pytest

from tests.server.world import world_in_memory
from twinlock.core.ports import KeyRole
from twinlock.errors import CallerError
from twinlock.server.guess_cost import BITS, expected_seconds, measure
from twinlock.testing import MemoryToken


def test_every_thread_is_measured_and_what_it_did_is_divided_by_its_time() -> None:
    token = MemoryToken()
    key = token.generate_key(KeyRole.HARDENING)
    ticks = itertools.count()
    one, two = measure(token, key.kid, [1, 2], 4.0, timer=lambda: float(next(ticks)))
    assert (one.threads, two.threads) == (1, 2)
    # The clock ticks at each look: at the start, after each batch of 50, and at the end.
    assert (one.evaluations, one.seconds, one.per_second) == (200, 5.0, 40.0)
    assert two.evaluations >= 100


def test_the_mean_time_is_that_to_half_of_all_passwords() -> None:
    assert expected_seconds(20, 1.0) == pytest.approx(2**19, rel=1e-5)
    assert expected_seconds(40, 1000.0) == pytest.approx(2**39 / 1000, rel=1e-5)
    assert BITS == (20, 40, 60)


def test_only_a_hardening_key_is_measured() -> None:
    with world_in_memory(groups={"ward": ("weber",)}) as world:
        log = world.vault.directory.current(KeyRole.LOG)
        with pytest.raises(CallerError) as caught:
            measure(world.vault.token, log.kid, [1], 1.0)
        assert caught.value.code == "token.key-not-loaded"
