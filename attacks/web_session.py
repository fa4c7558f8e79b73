"""A stolen session cookie, without the agent of the member whose session it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress

from attacks.clinic import Asked, Client, Clinic, path_of, served, shows
from attacks.forge import fresh_signing_key
from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.places import Place
from attacks.weak import RELEASE_KEY_ZERO, SIGNER_UNCHECKED
from attacks.world import SUITES, World
from twinlock.core.envelope import decode_core, decode_header, encode_lock
from twinlock.core.primitives import sha256
from twinlock.core.release import ReleaseItem, ReleaseMessage, sign_message, wrap_release_keys
from twinlock.core.request import Hello, RequestBundle, decode_bundle, decode_request
from twinlock.core.secret import Secret
from twinlock.core.statements import verify_transport
from twinlock.errors import DataError
from twinlock.integrations.asgi import visit
from twinlock.integrations.asgi.pending import PendingRequests
from twinlock.server import ceremony
from twinlock.server.auditor import Auditor
from twinlock.server.blocks import SeenBlocks


@contextmanager
def _anybody_releases() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(SIGNER_UNCHECKED.apply())
        stack.enter_context(RELEASE_KEY_ZERO.apply())
        yield


ANSWERED_TWICE = Mutation(
    "requests are not used up by their answer",
    lambda: weakened(
        (PendingRequests, "take", nothing),
        (Auditor, "admit", nothing),
        (SeenBlocks, "take", nothing),
    ),
)


@attack(
    id="web-stolen-cookie",
    claim="web-session",
    attack=42,
    says="a stolen session cookie: a hello and release made up, another's agent, replays",
    mutations=[
        Mutation(
            "the server checks no signature of a release, and the release key is 32 zero bytes",
            _anybody_releases,
            rebuild=True,
        ),
        Mutation(
            "any member's agent answers for whoever is signed in",
            lambda: weakened((visit, "_require_member", nothing)),
        ),
        ANSWERED_TWICE,
        Mutation(
            "a release answers any request",
            lambda: weakened((ceremony, "equal", lambda *_: True), (SeenBlocks, "take", nothing)),
        ),
    ],
    databases=False,
)
def web_stolen_cookie(world: World, trial: Trial) -> None:
    """The thief sends what he likes with the victim's cookie; what he recorded he has too."""
    clinic = Clinic(world)
    with served(clinic.app) as port:
        for suite in SUITES:
            office, ward = world.place(f"office-{suite}"), world.place(f"ward-only-{suite}")
            olga = Client.of(port, clinic.sign_in("olga"))
            kim = Client.of(port, clinic.sign_in("kim"))
            for method in ("GET", "POST"):
                thief = Client.of(port, olga.cookie)
                with trial.attempt("a hello and a release made up", "release.not-authentic") as a:
                    a.says(shows(office, _made_up(world, thief.begin(method, path_of(office)))))
            with trial.attempt("a hello and a release made up", "release.not-authentic") as a:
                thief = Client.of(port, olga.cookie)
                asked = thief.begin("GET", path_of(office))
                a.says(shows(office, _made_up(world, asked, short=True)))
            for method in ("GET", "POST"):
                thief = Client.of(port, kim.cookie)
                with trial.attempt("another member's agent", "http.other-member") as attempt:
                    attempt.says(shows(ward, _answered(world, thief, method, ward, "eve")))
                _replays(world, trial, Client.of(port, olga.cookie), method, office)


def _made_up(world: World, asked: Asked, *, short: bool = False) -> str:
    """Say hello in the victim's name; release guessed keys, signed with a key of one's own.

    ``short``: the hello goes along with the request itself.
    """
    hello = Hello(
        world.config.deployment_id,
        world.agents["olga"].member_id,
        os.urandom(32),
        sha256(asked.session),
        (),
        "own-origin-or-program",
    )
    raw = asked.with_hello(hello.encode()) if short else asked.hello(hello.encode())
    bundle = decode_bundle(raw)
    return _delivered(asked, _guessing(world, bundle, hello.agent_nonce))


def _guessing(world: World, bundle: RequestBundle, nonce: bytes) -> bytes:
    request = decode_request(bundle.request)
    transport = verify_transport(
        bundle.transport,
        identity_spki=world.vault.directory.identity.public,
        fingerprint=world.config.identity,
        deployment_id=world.config.deployment_id,
        agent_nonce=nonce,
        now=world.clock(),
    )
    guesses = [Secret(bytes(32)) for _ in request.items]
    block, wrapped = wrap_release_keys(transport, guesses, os.urandom)
    key = fresh_signing_key()
    items = [
        ReleaseItem(
            at,
            decode_core(item.core).dek_id,
            sha256(encode_lock(decode_header(item.header).locks[0])),
            wrapped[at],
        )
        for at, item in enumerate(request.items)
    ]
    message = ReleaseMessage(
        request.deployment_id,
        sha256(bundle.request),
        request.member_id,
        key.kid,
        request.transport_kid,
        request.transport_digest,
        world.clock(),
        1,
        bytes(32),
        bytes(32),
        block,
        tuple(items),
    )
    return sign_message(message.encode(), key)


def _answered(world: World, client: Client, method: str, place: Place, who: str) -> str:
    """The whole flow with somebody's agent."""
    asked = client.begin(method, path_of(place))
    return _delivered(asked, asked.answered_by(world.agents[who], place))


def _replays(world: World, trial: Trial, thief: Client, method: str, place: Place) -> None:
    """What the victim sent is sent again by the thief: for its request, for a new one."""
    asked = thief.begin(method, path_of(place))
    agent = world.agents["olga"]
    hello = agent.hello(session=asked.session)
    release = agent.release(asked.hello(hello), expect=[place.context]).raw
    # Where all release keys are zero the honest agent's opens nothing.
    with suppress(DataError) if trial.weakened else nullcontext():
        if not shows(place, _delivered(asked, release)):
            raise LookupError(f"{place.name}: its own reader does not see it")
    with trial.attempt("a recorded release again", "release.replayed") as attempt:
        attempt.says(shows(place, _delivered(asked, release)))
    with trial.attempt("a recorded hello and release, new request", "release.not-authentic") as a:
        again = thief.begin(method, path_of(place))
        again.hello(hello)
        a.says(shows(place, _delivered(again, release)))


def _delivered(asked: Asked, release: bytes) -> str:
    """Post a release and return the answer of the request that it is for."""
    answer = asked.release(release)
    return answer.text if asked.method == "GET" else asked.repeat().text
