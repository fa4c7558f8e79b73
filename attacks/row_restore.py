"""Last month's genuine record put back: the one thing that a database writer may do to a reader."""

from __future__ import annotations

from dataclasses import replace

from attacks.harness import Mutation, Trial, attack, weakened
from attacks.places import Place
from attacks.weak import CONTEXT_IGNORED
from attacks.world import World
from twinlock.core.context import Context
from twinlock.errors import DataError
from twinlock.server.records import Stored

_ENCODE = Context.encode


def _without_version(context: Context, deployment_id: bytes) -> bytes:
    return _ENCODE(replace(context, version=None), deployment_id)


@attack(
    id="restored-record",
    claim="database-write",
    attack=(4, 29),
    says="last month's genuine record put back: refused where the version is in the context",
    mutations=[
        Mutation(
            "the version is not part of the context",
            lambda: weakened((Context, "encode", _without_version)),
            rebuild=True,
        ),
        CONTEXT_IGNORED,
    ],
)
def restored_record(world: World, trial: Trial) -> None:
    """Without a version the record's own earlier state opens, as the claim concedes: only that."""
    places = [place for place in world.places if place.layout != "file" and not place.helper]
    month_ago = {place.name: world.stored(place) for place in places}
    for at, place in enumerate(places):
        today = _changed(place)
        world.database.put(today, world.seal(today))
        if place.context.version is not None:
            with trial.attempt("with a version", "data.not-authentic:signature") as attempt:
                world.database.put(today, month_ago[place.name])
                attempt.says(world.read(today) == dict(place.content))
            continue
        own = [other for other in places if other.layout == place.layout]
        others = [own[(at + step) % len(own)] for step in (1, 2, 3)]
        taken: set[bytes] = set()
        for other in (place, *others):
            taken |= _shown(world, today, month_ago[other.name], other.reader)
        trial.loot("without a version", claimed=set(place.content.values()), taken=taken)


def _changed(place: Place) -> Place:
    content = dict.fromkeys(place.content, b"today's content")
    version = place.context.version
    newer = None if version is None else version + 1
    return replace(place, context=replace(place.context, version=newer), content=content)


def _shown(world: World, place: Place, stored: Stored, reader: str) -> set[bytes]:
    world.database.put(place, stored)
    try:
        return set(world.read(place, member=reader).values())
    except DataError:
        return set()
