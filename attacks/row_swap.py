"""Swapping sealed content between places: rows, columns, tables, tenants, versions, groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

from attacks.forge import Taken, answer, open_lock, sign_field, take, writer_key
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.people import Insider
from attacks.places import Place
from attacks.weak import CONTEXT_IGNORED
from attacks.world import World
from twinlock.core import segments
from twinlock.core.envelope import encode_cell
from twinlock.core.primitives import SigningKey
from twinlock.core.segments import SEGMENT_SIZE
from twinlock.server.records import SealedFile, SealedRow, Stored, write_file_head

_TAG = 16
_ADDITIONAL, _SIGNED = segments.additional_data, segments.signed_data


def _of(world: World, layout: str) -> list[Place]:
    return [place for place in world.places if place.layout == layout]


def _shows(world: World, target: Place, stored: Stored, source: Place) -> bool:
    """Whether reading ``target`` shows anything of ``source``."""
    world.database.put(target, stored)
    shown = world.read(target, member=source.reader)
    return bool(set(shown.values()) & set(source.content.values()))


@attack(
    id="swap-records",
    claim="database-write",
    attack=1,
    says="every value, row and file at every other one's place",
    mutations=[CONTEXT_IGNORED],
)
def swap_records(world: World, trial: Trial) -> None:
    """Every ordered pair of one layout, over both suites and all locks."""
    for layout in ("value", "row", "file"):
        places = _of(world, layout)
        files = {place.name: world.database.path(place) for place in places}
        kept = {p.name: files[p.name].read_bytes() for p in places if layout == "file"}
        stored = {place.name: world.stored(place) for place in places if layout != "file"}
        for source, target in permutations(places, 2):
            with trial.attempt(f"{layout} at another place", "data.not-authentic:signature") as a:
                if layout == "file":
                    files[target.name].write_bytes(kept[source.name])
                    a.says(_shows(world, target, SealedFile(files[target.name]), source))
                else:
                    a.says(_shows(world, target, stored[source.name], source))
            if layout == "file":
                files[target.name].write_bytes(kept[target.name])
            else:
                world.database.put(target, stored[target.name])


@attack(
    id="swap-signed-records",
    claim="database-write",
    attack=1,
    says="the same by somebody who has the application's writer key, alone and with a member",
    mutations=[CONTEXT_IGNORED],
)
def swap_signed_records(world: World, trial: Trial) -> None:
    """The signature fits the new place; lock, outer lock and content do not."""
    key, kim = writer_key(world), Insider.of(world, "kim")
    places = [p for p in world.places if p.layout != "file" and not p.helper]
    for source, target in _some_pairs(places):
        forged = take(world, source).resigned(world, target, key)
        with trial.attempt("signed anew", "data.not-authentic:HPKE") as attempt:
            original = world.stored(target)
            attempt.says(_shows(world, target, forged.together(), source))
        world.database.put(target, original)
        if source.reader == "kim" and target.reader == "kim":
            _with_a_member(world, trial, kim, source, target, forged)


def _some_pairs(places: list[Place]) -> Iterator[tuple[Place, Place]]:
    """Each place with five others of its layout, so that every kind of difference occurs."""
    for layout in ("value", "row"):
        own = [place for place in places if place.layout == layout]
        for at, source in enumerate(own):
            for step in (1, 2, 3, 5, len(own) // 2):
                if own[(at + step) % len(own)] is not source:
                    yield source, own[(at + step) % len(own)]


def _with_a_member(
    world: World, trial: Trial, kim: Insider, source: Place, target: Place, forged: Taken
) -> None:
    """A member opens the lock for its true place, and releases the key for the other."""
    context = source.context.encode(world.config.deployment_id)
    release_key = open_lock(kim, forged.head, context)
    assert release_key is not None
    request = world.vault.request([(target.context, forged.together())])
    request.bind(world.agents["kim"].hello())
    with trial.attempt("signed anew, a member helps", "data.not-authentic") as attempt:
        shown = world.open(request, answer(kim, request, [release_key]), target)
        attempt.says(bool(set(shown.values()) & set(source.content.values())))


def _no_column(core: bytes, context: bytes, column: str, part: int, last: bool) -> bytes:
    return _ADDITIONAL(core, context, "", part, last)


def _signed_without_column(
    kid: bytes, core: bytes, context: bytes, column: str, parts: int, digest: bytes
) -> bytes:
    return _SIGNED(kid, core, context, "", parts, digest)


CELLS_UNBOUND = Mutation(
    "a cell is not bound to its column",
    lambda: weakened(
        (segments, "additional_data", _no_column),
        (segments, "signed_data", _signed_without_column),
    ),
    rebuild=True,
)


@attack(
    id="swap-columns",
    claim="database-write",
    attack=1,
    says="two columns of a row, which share a DEK, change places; also signed anew",
    mutations=[CELLS_UNBOUND],
)
def swap_columns(world: World, trial: Trial) -> None:
    """Without and with the writer key."""
    key = writer_key(world)
    for place in _of(world, "row"):
        stored, taken = world.stored(place), take(world, place)
        assert isinstance(stored, SealedRow)
        (one, first), (other, second) = stored.cells.items()
        swapped = SealedRow(stored.head, {one: second, other: first})
        with trial.attempt("cells exchanged", "data.not-authentic:signature") as attempt:
            world.database.put(place, swapped)
            attempt.says(world.read(place)[one] == place.content[other])
        fields = {one: taken.fields[other], other: taken.fields[one]}
        signed = replace(taken, fields=fields).resigned(world, place, key)
        cells = {name: encode_cell(taken.head, field) for name, field in signed.fields.items()}
        with trial.attempt(
            "cells exchanged and signed anew", "data.not-authentic:C_Dec"
        ) as attempt:
            world.database.put(place, SealedRow(stored.head, cells))
            attempt.says(world.read(place)[one] == place.content[other])


def _no_number(prefix: bytes, part: int, last: bool) -> bytes:
    return prefix + bytes(5)


def _aad_without_number(core: bytes, context: bytes, column: str, part: int, last: bool) -> bytes:
    return _ADDITIONAL(core, context, column, 0, False)


@attack(
    id="rearrange-segments",
    claim="database-write",
    attack=1,
    says="segments of a file dropped, repeated or exchanged, and signed with the writer key",
    mutations=[
        Mutation(
            "segments are not numbered",
            lambda: weakened(
                (segments, "nonce", _no_number),
                (segments, "additional_data", _aad_without_number),
            ),
            rebuild=True,
        )
    ],
)
def rearrange_segments(world: World, trial: Trial) -> None:
    """The files with three segments."""
    key, full = writer_key(world), SEGMENT_SIZE + _TAG
    for place in (place for place in _of(world, "file") if not place.name.startswith("note")):
        path, context = world.database.path(place), place.context
        original, taken = path.read_bytes(), take(world, place)
        (field,) = taken.fields.values()
        a, b, c = (field.ciphertext[at * full : (at + 1) * full] for at in range(3))
        for parts in ((a, b), (a, c), (b, a, c), (a, b, b, c), (a, b, b), (a, b, c, c), (b, c)):
            raw = context.encode(world.config.deployment_id)
            signed = _signed(taken, raw, str(context.column), b"".join(parts), key)
            path.write_bytes(signed)
            with trial.attempt(
                "segments rearranged", "data.not-authentic:C_Dec", "format.malformed"
            ) as attempt:
                shown = world.read(place)
                attempt.says(shown != dict(place.content))
        path.write_bytes(original)


def _signed(taken: Taken, context: bytes, column: str, ciphertext: bytes, key: SigningKey) -> bytes:
    (field,) = taken.fields.values()
    signed = sign_field(taken.head.core, context, column, field.prefix, ciphertext, key)
    return write_file_head(taken.head, field.prefix) + ciphertext + signed.signature
