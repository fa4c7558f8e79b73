"""Swapping sealed content between places: rows, columns, tables, tenants, versions, groups."""

from __future__ import annotations

from itertools import permutations

from attacks.harness import Mutation, Trial, attack, weakened
from attacks.places import Place
from attacks.world import World
from twinlock.core.context import Context

_CONTEXT_IGNORED = Mutation(
    "the context is the same for every record",
    lambda: weakened((Context, "encode", _same_context)),
    rebuild=True,
)


def _same_context(context: Context, deployment_id: bytes) -> bytes:
    original = Context(table="any", record=1, column="any")
    return _ENCODE(original, deployment_id)


_ENCODE = Context.encode


def _of(world: World, layout: str) -> list[Place]:
    return [place for place in world.places if place.layout == layout]


@attack(
    id="swap-values",
    claim="database-write",
    attack=1,
    says="a whole value at every other value's place",
    mutations=[_CONTEXT_IGNORED],
)
def swap_values(world: World, trial: Trial) -> None:
    """Every ordered pair of values, over both suites and all locks."""
    stored = {place.name: world.stored(place) for place in _of(world, "value")}
    for source, target in permutations(_of(world, "value"), 2):
        with trial.attempt("value at another place", "data.not-authentic:signature") as attempt:
            world.database.put(target, stored[source.name])
            shown = world.read(target, member=source.reader)
            attempt.says(set(shown.values()) & set(source.content.values()) != set())
        world.database.put(target, stored[target.name])
