"""One bit changed at every byte of what is stored and sent: never wrong data, always a code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from attacks.harness import Mutation, Trial, attack, weakened
from attacks.legacy import PLACES as OLD_PLACES
from attacks.legacy import adopted
from attacks.places import Place
from attacks.weak import CONTENT_UNAUTHENTICATED, SIGNER_UNCHECKED
from attacks.world import World
from twinlock.agent import answer
from twinlock.core.release import split_signed
from twinlock.core.request import decode_bundle
from twinlock.server import ceremony
from twinlock.server.records import AdoptedRow, Sealed, SealedFile, SealedRow, Stored

REFUSED_STORED = (
    "data.not-authentic",
    "data.wrapping-key-unknown",
    "format.malformed",
    "format.version",
    "group.key-missing",
    "record.no-lock",
    "suite.unknown",
)
"""What the server or the agent says to a stored record with one bit changed."""

REFUSED_REQUEST = (
    "data.not-authentic",
    "directory.identity",
    "format.malformed",
    "format.version",
    "format.too-large",
    "group.key-missing",
    "group.key-replaced",
    "group.not-invited",
    "key.malformed",
    "log.fork",
    "release.mismatch",
    "release.no-lock",
    "release.not-authentic",
    "request.expired",
    "request.not-mine",
    "request.session",
    "request.unexpected",
    "suite.unknown",
    "transport.expired",
    "transport.identity",
    "transport.nonce",
    "transport.replaced",
)


def flipped(data: bytes, at: int) -> bytes:
    """Change one bit of byte ``at``; which one depends on the place."""
    changed = bytearray(data)
    changed[at] ^= 1 << at % 8
    return bytes(changed)


def every(trial: Trial, size: int) -> range:
    """Every position; in a weakened build, which only has to break at all, every seventh."""
    return range(0, size, 7 if trial.weakened else 1)


@attack(
    id="flipped-records",
    claim="boundaries",
    attack=21,
    says="one bit at every byte of stored values, heads, cells, adopted rows and a small file",
    mutations=[CONTENT_UNAUTHENTICATED],
    databases=False,
)
def flipped_records(world: World, trial: Trial) -> None:
    """Locks that the reader does not use may be damaged: then the right content still opens."""
    for name in ("first-rsa-oaep", "ward-only-token-aes", "tom-row-token-aes", "note-rsa-oaep"):
        place = world.place(name)
        for stored in _with_one_bit(trial, world, place):
            with trial.attempt("stored record", *REFUSED_STORED) as attempt:
                attempt.says(world.read(place, stored) != dict(place.content))
    with adopted(world) as old:
        place = OLD_PLACES[2]
        for stored in _adopted_with_one_bit(trial, old.rewrap(place)):
            with trial.attempt("adopted row", *REFUSED_STORED, "legacy.cell") as attempt:
                attempt.says(world.read(place, stored) != dict(place.content))


def _adopted_with_one_bit(trial: Trial, stored: AdoptedRow) -> Iterator[Stored]:
    for at in every(trial, len(stored.head))[::3]:
        yield AdoptedRow(flipped(stored.head, at), stored.cells)
    for column, cell in stored.cells.items():
        for part in ("nonce", "ciphertext", "aad"):
            was = getattr(cell, part)
            for at in every(trial, len(was)):
                changed = replace(cell, **{part: flipped(was, at)})
                yield AdoptedRow(stored.head, {**stored.cells, column: changed})


def _with_one_bit(trial: Trial, world: World, place: Place) -> Iterator[Stored]:
    stored = world.stored(place)
    if isinstance(stored, SealedRow):
        for at in every(trial, len(stored.head)):
            yield SealedRow(flipped(stored.head, at), stored.cells)
        for column, cell in stored.cells.items():
            for at in every(trial, len(cell)):
                yield SealedRow(stored.head, {**stored.cells, column: flipped(cell, at)})
    elif isinstance(stored, SealedFile):
        raw, copy = stored.path.read_bytes(), SealedFile(world.folder / "flipped")
        for at in every(trial, len(raw)):
            copy.path.write_bytes(flipped(raw, at))
            yield copy
    elif not isinstance(stored, AdoptedRow):
        raw = stored.raw if isinstance(stored, Sealed) else stored
        for at in every(trial, len(raw)):
            yield Sealed(flipped(raw, at))


@attack(
    id="flipped-file",
    claim="boundaries",
    attack=21,
    says="one bit in each part of a file of several segments, before and after it was checked",
    mutations=[CONTENT_UNAUTHENTICATED],
    databases=False,
)
def flipped_file(world: World, trial: Trial) -> None:
    """A file may change between request and opening: segments are authentic one by one."""
    for suite in ("rsa-oaep", "token-aes"):
        place = world.place(f"scan-{suite}")
        path = world.database.path(place)
        raw = path.read_bytes()
        for at in range(900, len(raw), 499):
            with trial.attempt("segments of a file", *REFUSED_STORED) as attempt:
                path.write_bytes(flipped(raw, at))
                attempt.says(world.read(place) != dict(place.content))
            with trial.attempt("a file changed after the request", *REFUSED_STORED) as attempt:
                path.write_bytes(raw)
                request = world.vault.request([(place.context, SealedFile(path))])
                release = world.release(request, place)
                path.write_bytes(flipped(raw, at))
                attempt.says(world.open(request, release, place) != dict(place.content))
        path.write_bytes(raw)


@attack(
    id="flipped-requests",
    claim="boundaries",
    attack=21,
    says="one bit at every byte of a request on its way to the agent",
    mutations=[
        Mutation(
            "a release is not compared with the request that was sent",
            lambda: weakened((ceremony, "equal", lambda *_: True)),
        )
    ],
    databases=False,
)
def flipped_requests(world: World, trial: Trial) -> None:
    """What is not the request itself may be useless and damaged; then it changes nothing."""
    place, kim = world.place("first-rsa-oaep"), world.agents["kim"]
    hello, stored = kim.hello(), world.stored(place)
    size = len(world.vault.request([(place.context, stored)], purpose="ward round").bind(hello))
    for at in every(trial, size):
        request = world.vault.request([(place.context, stored)], purpose="ward round")
        bundle = request.bind(hello)
        inner = bundle.index(message := decode_bundle(bundle).request)
        with trial.attempt("request", *REFUSED_REQUEST) as attempt:
            release = kim.release(flipped(bundle, at), expect=[place.context]).raw
            right = world.open(request, release, place) == dict(place.content)
            attempt.says(not right or inner <= at < inner + len(message))


@attack(
    id="flipped-releases",
    claim="boundaries",
    attack=21,
    says="one bit at every byte of a release, and of another member's share",
    mutations=[
        SIGNER_UNCHECKED,
        Mutation(
            "an agent does not check who signed a share",
            lambda: weakened((answer, "verify_message", lambda signed, _: split_signed(signed)[0])),
        ),
    ],
    databases=False,
)
def flipped_releases(world: World, trial: Trial) -> None:
    """Every byte of both is signed, so none may be changed even where it would do no harm."""
    place = world.place("both-rsa-oaep")
    kim, olga = world.agents["kim"], world.agents["olga"]
    request = world.vault.request([(place.context, world.stored(place))])
    bundle = request.bind(kim.hello())
    share = olga.help_with(request.assist(olga.hello(), bundle))
    refusals = ("share.wrong", "share.foreign", "data.not-authentic", "format.malformed")
    for at in every(trial, len(share)):
        with trial.attempt("share", *refusals, "format.version") as attempt:
            kim.release(bundle, shares=[flipped(share, at)])
            attempt.broke()
    release = kim.release(bundle, shares=[share]).raw
    for at in every(trial, len(release)):
        with trial.attempt(
            "release", "release.not-authentic", *refusals, "format.version"
        ) as attempt:
            world.open(request, flipped(release, at), place)
            attempt.broke()
