"""Another group's admin: his writers must not speak for records of groups that are not his."""

from __future__ import annotations

from collections.abc import Iterable

from attacks.forge import fresh_signing_key, target_of
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.places import Place
from attacks.row_plant import LIE, sealed_by
from attacks.world import World
from twinlock.core.context import Context
from twinlock.core.membership import Policy, Role, Writer
from twinlock.server.groups import Group
from twinlock.server.records import Stored
from twinlock.server.requests import Request
from twinlock.server.vault import Vault

_REQUEST = Vault.request


def _of_any_group(
    vault: Vault,
    items: Iterable[tuple[Context, Stored]],
    *,
    purpose: str = "",
    groups: Iterable[Group] | None = None,
) -> Request:
    return _REQUEST(vault, items, purpose=purpose)


@attack(
    id="planted-by-another-group",
    claim="database-write",
    attack=29,
    says="an admin of a club that a reader is in plants records of the ward, signed by his writer",
    mutations=[
        Mutation(
            "the reader does not say whose records it expects",
            lambda: weakened((Vault, "request", _of_any_group)),
        )
    ],
)
def planted_by_another_group(world: World, trial: Trial) -> None:
    """Eve founds a club with Kim in it, and names a writer of her own there."""
    own, eve, kim = fresh_signing_key(), world.agents["eve"], world.agents["kim"]
    proposals = eve.admin.found(
        "club",
        Policy(outer_suites=world.config.accept),
        others=[(kim.card(), Role.MEMBER)],
        writers=[Writer("eve", own.public)],
    )
    for proposal in proposals:
        world.vault.append(proposal)
    world.follow("eve")
    world.groups["club"] = world.vault.group("club")
    kim.card(eve.admin.invite(world.groups["club"].group_id))
    world.follow("kim")
    for name in ("first-rsa-oaep", "row-rsa-oaep", "ward-only-token-aes"):
        place = world.place(name)
        planted = sealed_by(world, place, own, [target_of(world, "club")])
        with trial.attempt("a writer of the club", "data.not-authentic:author") as attempt:
            attempt.says(LIE in _read_from_ward(world, place, planted))


def _read_from_ward(world: World, place: Place, stored: Stored) -> list[bytes]:
    """Read as an application that says whose records these are."""
    groups = [world.groups["ward"], world.groups["emergency"]]
    request = world.vault.request([(place.context, stored)], groups=groups)
    return list(world.open(request, world.release(request, place), place).values())
