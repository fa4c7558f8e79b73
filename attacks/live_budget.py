"""A live server that asks an unwatched agent for much: beyond its budget, and without a click."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from attacks.harness import Mutation, Trial, attack, weakened
from attacks.hsm_loot import targets
from attacks.live_forger import Forger, hello_of, lost
from attacks.places import Place
from attacks.world import World
from twinlock.agent.budget import Allowance, BudgetLedger
from twinlock.errors import CallerError

_BUDGET: Final = 3
_WANTED: Final = ("first", "other-record", "other-column", "other-table", "row", "ward-only")


def _never_a_reason(*_: object) -> None:
    return None


@attack(
    id="live-unwatched",
    claim="live-own-agent",
    attack=19,
    says="records beyond the agent's budget, at once and one by one; groups that want a click each",
    mutations=[
        Mutation(
            "agents have no budget and ask nobody",
            lambda: weakened((Allowance, "reason_to_ask", _never_a_reason)),
        ),
        Mutation(
            "agents count no records",
            lambda: weakened((BudgetLedger, "spend", lambda *_: None)),
        ),
    ],
    databases=False,
)
def live_unwatched(world: World, trial: Trial) -> None:
    """The ward's budget is three records an hour; the data office wants a click for each."""
    tighten(world)
    unwatched(world, trial)


def tighten(world: World) -> None:
    """Have the groups' admins set their policies, and every agent follow."""
    weber, olga = world.agents["weber"], world.agents["olga"]
    for admin, name, floors in (
        (weber, "ward", {"budget_per_hour": _BUDGET}),
        (weber, "emergency", {"budget_per_hour": 0}),
        (olga, "data-office", {"click_each": True}),
    ):
        group = world.groups[name]
        policy = replace(world.vault.group_state(group).policy, **floors)
        world.vault.append(admin.admin.set_policy(group.group_id, policy))
        world.follow("weber", "kim", "olga")


def unwatched(world: World, trial: Trial) -> None:
    """The server has the HSM interface, so what agents release is his; nobody is there to click."""
    wanted = [world.place(f"{name}-rsa-oaep") for name in _WANTED]
    with trial.attempt("more than the budget at once", "release.needs-approval") as attempt:
        attempt.says(bool(_asked(world, "kim", *wanted)))
    taken: set[str] = set()
    for place in wanted:
        try:
            taken |= _asked(world, "kim", place)
        except CallerError as error:
            if error.code != "release.needs-approval":
                raise
    # Where no group is asked for that wants nothing, the first ones go: that is the claim.
    claimed = {place.name for place in wanted[:_BUDGET]}
    trial.loot("more than the budget, one by one", claimed=claimed, taken=taken)
    office = world.place("office-rsa-oaep")
    with trial.attempt("without the click that the group wants", "release.needs-approval") as a:
        a.says(bool(_asked(world, "olga", office)))


def _asked(world: World, who: str, *places: Place) -> set[str]:
    forger = Forger(world)
    raw, _ = hello_of(world, who)
    bundle = forger.redirected(raw, forger.hsm_signs, *places)
    release = world.agents[who].release(bundle.encode())
    return lost(forger.keys_in(release.raw), targets(world, places))
