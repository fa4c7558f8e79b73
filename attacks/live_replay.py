"""Releases recorded and used again: by the server's front door, and against the HSM interface."""

from __future__ import annotations

from typing import Final

from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.hsm_interface import interface, live_token
from attacks.hsm_loot import half_open, targets
from attacks.live_loot import rob, transport_keys
from attacks.places import Place
from attacks.world import SUITES, World
from twinlock.core import sealing
from twinlock.core.release import ReleaseItem, decode_release, split_signed
from twinlock.core.request import MAX_REQUEST_LIFE
from twinlock.core.secret import Secret
from twinlock.server import ceremony
from twinlock.server.auditor import Auditor
from twinlock.server.blocks import SeenBlocks
from twinlock.server.ceremony import Ceremony
from twinlock.server.records import ReadRecord
from twinlock.server.requests import Pending, Request
from twinlock.server.transport import ROTATION
from twinlock.token import pkcs11_token, policy
from twinlock.token.ck import Cka
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.profiles import TokenProfile
from twinlock.token.structures import Attributes

_TRANSPORT: Final = policy.transport_private


def _any_record(_: Ceremony, request: Request, pending: Pending, item: ReleaseItem) -> ReadRecord:
    record = request.asked[pending.positions[item.position]].record
    if record is None:
        raise LookupError("the other record was refused")
    return record


def _lasting(profile: TokenProfile) -> Attributes:
    return {**_TRANSPORT(profile), Cka.TOKEN: True}


_TWICE: Final = (SeenBlocks, "take", nothing)
_ANY_REQUEST: Final = (ceremony, "equal", lambda *_: True)


@attack(
    id="live-replay",
    claim="all-recorded",
    attack=11,
    says="a release again: to its own request, to another, for another record, after a restart",
    mutations=[
        Mutation(
            "requests and session keys are not consumed",
            lambda: weakened((Auditor, "admit", nothing), _TWICE),
        ),
        Mutation("a release answers any request", lambda: weakened(_ANY_REQUEST, _TWICE)),
        Mutation(
            "a release answers any request for any record, and all have one release key",
            lambda: weakened(
                _ANY_REQUEST,
                _TWICE,
                (sealing, "Secret", lambda _: Secret(b"\7" * 32)),
                (Ceremony, "_compare_item", nothing),
                (Ceremony, "_record", _any_record),
            ),
            rebuild=True,
        ),
    ],
)
def live_replay(world: World, trial: Trial) -> None:
    """Each suite; the release was opened once, as its member meant it."""
    for suite in SUITES:
        place, other = world.place(f"first-{suite}"), world.place(f"other-record-{suite}")
        request = world.vault.request([(place.context, world.stored(place))])
        release = world.release(request, place)
        world.open(request, release, place)
        with trial.attempt("the same request", "release.replayed") as attempt:
            attempt.says(_shows(world, request, release, place))
        with trial.attempt("another request", "release.not-authentic") as attempt:
            attempt.says(_shows(world, _asked(world, place), release, place))
        with trial.attempt("a request for another record", "release.not-authentic") as attempt:
            attempt.says(_shows(world, _asked(world, other), release, other))
        world.restart()
        for kind, asked in (("another request", place), ("a request for another record", other)):
            with trial.attempt(kind, "release.not-authentic") as attempt:
                attempt.says(_shows(world, _asked(world, asked), release, asked))


def _asked(world: World, place: Place) -> Request:
    request = world.vault.request([(place.context, world.stored(place))])
    request.bind(world.agents[place.reader].hello())
    return request


def _shows(world: World, request: Request, release: bytes, place: Place) -> bool:
    return world.open(request, release, place) == dict(place.content)


@attack(
    id="live-recorded-traffic",
    claim="all-recorded",
    attack=11,
    says="all recorded releases against the HSM interface, after the transport key died",
    mutations=[
        Mutation(
            "transport keys are token objects that nobody destroys",
            lambda: weakened(
                (pkcs11_token, "transport_private", _lasting),
                (Pkcs11Token, "destroy_transport_key", nothing),
            ),
        )
    ],
    databases=False,
)
def live_recorded_traffic(world: World, trial: Trial) -> None:
    """It dies by rotation or with its process. Database, HSM interface and server stay taken."""
    world.restart()
    places = [p for p in world.places if p.locks != "ward and data-office"][::3]
    releases = {}
    for place in places:
        request = world.vault.request([(place.context, world.stored(place))])
        releases[place.name] = decode_release(split_signed(world.release(request, place))[0])
    for death in (_rotate, World.restart):
        death(world)
        with interface(world) as api:
            by_dek = {t.dek_id: half_open(api, t) for t in targets(world, places)}
            keys = [*transport_keys(api), *transport_keys(api, token=True)]
            for place in places:
                with trial.attempt("recorded releases, transport key dead") as attempt:
                    profile = live_token(world).profile
                    loot = rob(api, profile, keys, releases[place.name], by_dek)
                    attempt.says(any(t.lost_by(k) for t in by_dek.values() for k in loot.all))
            if death is World.restart:
                for key in transport_keys(api, token=True):
                    api.destroy(key)


def _rotate(world: World) -> None:
    """Until the retired key has served out its requests and is destroyed."""
    for _ in range(2):
        world.clock.later += ROTATION + MAX_REQUEST_LIFE + 60
        place = world.places[0]
        world.vault.request([(place.context, world.stored(place))]).bind(
            world.agents[place.reader].hello()
        )
