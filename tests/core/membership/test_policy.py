"""The floors of a group, and which way is down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core.membership.world import refused
from twinlock.core.membership import AgentPlacement, Policy
from twinlock.core.ports import OuterSuite

OWN, PAGE, SERVER = AgentPlacement
SHA1, SHA256, AES = OuterSuite
MIDDLE = Policy(
    outer_suites=frozenset({SHA256, AES}),
    agent_placement=PAGE,
    budget_per_hour=100,
    click_each=False,
    pq_at_rest=False,
)
STRICT = replace(MIDDLE, click_each=True, pq_at_rest=True)
LENIENT = replace(MIDDLE, exceptions=frozenset({"scram-alone"}))


@pytest.mark.parametrize(
    ("old", "change", "lowered"),
    [
        (MIDDLE, {}, set()),
        (MIDDLE, {"outer_suites": frozenset({AES})}, set()),
        (MIDDLE, {"outer_suites": frozenset({SHA1, SHA256, AES})}, {"outer_suites"}),
        (MIDDLE, {"outer_suites": frozenset({SHA1})}, {"outer_suites"}),
        (MIDDLE, {"agent_placement": OWN}, set()),
        (MIDDLE, {"agent_placement": SERVER}, {"agent_placement"}),
        (MIDDLE, {"budget_per_hour": 99}, set()),
        (MIDDLE, {"budget_per_hour": 0}, set()),
        (MIDDLE, {"budget_per_hour": 101}, {"budget_per_hour"}),
        (MIDDLE, {"budget_per_hour": None}, {"budget_per_hour"}),
        (replace(MIDDLE, budget_per_hour=None), {"budget_per_hour": 10**6}, set()),
        (MIDDLE, {"click_each": True, "pq_at_rest": True}, set()),
        (STRICT, {"click_each": False}, {"click_each"}),
        (STRICT, {"pq_at_rest": False}, {"pq_at_rest"}),
        (STRICT, {"pq_at_rest": False, "budget_per_hour": 1}, {"pq_at_rest"}),
        (MIDDLE, {"exceptions": frozenset({"scram-alone"})}, {"exceptions"}),
        (LENIENT, {"exceptions": frozenset({"scram-alone", "sole-passkey"})}, {"exceptions"}),
        (LENIENT, {"exceptions": frozenset({"sole-passkey"})}, {"exceptions"}),
        (LENIENT, {"exceptions": frozenset()}, set()),
        (
            STRICT,
            {"click_each": False, "pq_at_rest": False, "agent_placement": SERVER},
            {"click_each", "pq_at_rest", "agent_placement"},
        ),
    ],
)
def test_lowers_names_every_floor_that_goes_down(
    old: Policy, change: dict[str, Any], lowered: set[str]
) -> None:
    """R-LOG-13, R-LOG-41: raising one floor does not pay for lowering another."""
    assert old.lowers(replace(old, **change)) == lowered


@pytest.mark.parametrize(
    ("floor", "allowed"), [(OWN, {OWN}), (PAGE, {OWN, PAGE}), (SERVER, {OWN, PAGE, SERVER})]
)
def test_a_placement_allows_the_stricter_ones(
    floor: AgentPlacement, allowed: set[AgentPlacement]
) -> None:
    """R-LOG-13: it is a floor, not a choice."""
    policy = replace(MIDDLE, agent_placement=floor)
    assert {place for place in AgentPlacement if policy.allows_agent(place)} == allowed


def test_the_default_is_the_strictest_placement() -> None:
    """R-LOG-13: a group that says nothing lets no page of the application release."""
    assert Policy(outer_suites=frozenset({AES})).agent_placement is OWN


@pytest.mark.parametrize(
    "change",
    [
        {"outer_suites": frozenset()},
        {"author": "mac"},
        {"budget_per_hour": -1},
        {"budget_per_hour": 2**31},
        {"exceptions": frozenset({"pq-at-rest"})},
        {"exceptions": frozenset({"no-factor"})},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    """R-LOG-13: no suite, an unknown author check, a budget out of range."""
    with refused("policy.invalid"):
        replace(MIDDLE, **change)


@pytest.mark.parametrize("policy", [MIDDLE, STRICT, LENIENT, replace(MIDDLE, budget_per_hour=None)])
def test_a_policy_survives_its_encoding(policy: Policy) -> None:
    """R-LOG-1: seven items."""
    assert Policy.from_items(policy.items()) == policy
    assert len(policy.items()) == 7


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, []),
        (0, [3, 2]),
        (0, [2, 2]),
        (0, [4]),
        (0, "rsa-oaep"),
        (1, "mac"),
        (2, "anywhere"),
        (3, -1),
        (3, True),
        (3, 2**31),
        (4, 1),
        (5, None),
        (6, None),
        (6, "scram-alone"),
        (6, ["pq-at-rest"]),
        (6, ["sole-passkey", "scram-alone"]),
        (6, ["scram-alone", "scram-alone"]),
    ],
)
def test_a_policy_that_does_not_read_strictly_is_malformed(at: int, value: Any) -> None:
    """R-LOG-1: unknown suites and placements are refused, never ignored."""
    items = MIDDLE.items()
    items[at] = value
    with refused("format.malformed"):
        Policy.from_items(items)
