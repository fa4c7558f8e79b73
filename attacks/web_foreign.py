"""Requests that wait for a release: in another session, at another address, guessed, or known.

Olga of the data office is the victim. Eve is a user too, and a member of the ward; no lock of the
data office's records is hers.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Any

from attacks.clinic import Asked, Client, Clinic, path_of, served, shows
from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.places import Place
from attacks.web_session import ANSWERED_TWICE
from attacks.world import SUITES, World
from twinlock.errors import DataError
from twinlock.integrations.asgi import middleware, pending
from twinlock.integrations.asgi.bodies import HashedBody
from twinlock.integrations.asgi.pending import PendingRequests
from twinlock.integrations.asgi.wire import release_digest, to_base64url

_INIT = PendingRequests.__init__
_GUESSES = 16
_GUESSED = release_digest(b"")
_ID_SUFFICES = (middleware, "_require_named", nothing)


@attack(
    id="web-foreign-session",
    claim="web-session",
    attack=42,
    says="the victim's pending request, its id known, answered or repeated in another session",
    mutations=[
        Mutation(
            "a pending request belongs to nobody",
            lambda: weakened(
                (pending, "_require_owner", nothing), (middleware, "check_hello", nothing)
            ),
        )
    ],
    databases=False,
)
def web_foreign_session(world: World, trial: Trial) -> None:
    """Eve has her own session, Olga's request ids, and every message but Olga's cookie."""
    clinic, agent = Clinic(world), world.agents["olga"]
    with served(clinic.app) as port:
        for suite in SUITES:
            place = world.place(f"office-{suite}")
            olga = Client.of(port, clinic.sign_in("olga"))
            eve = Client.of(port, clinic.sign_in("eve"))
            for headers in _disguises(olga.cookie):
                eve.headers = headers
                for method in ("GET", "POST"):
                    asked = olga.begin(method, path_of(place))
                    with trial.attempt("a hello in another session", "http.other-session") as a:
                        a.says(bool(asked.hello(agent.hello(session=asked.session), by=eve)))
                    release = asked.answered_by(agent, place)
                    with trial.attempt("a release in another session", "http.other-session") as a:
                        a.says(shows(place, asked.release(release, by=eve).text))
                    if method == "POST":
                        _parked(trial, asked, release, eve, place)


def _parked(trial: Trial, asked: Asked, release: bytes, eve: Client, place: Place) -> None:
    try:
        asked.release(release)
    except DataError as error:
        # In the weakened build Eve has parked it already.
        if not trial.weakened or error.code != "release.replayed":
            raise
    with trial.attempt("a parked release in another session", "http.other-session") as attempt:
        attempt.says(shows(place, asked.repeat(by=eve).text))


def _disguises(cookie: str) -> Iterator[dict[str, str]]:
    """Headers that claim to be the victim's, where something in front might believe them."""
    basic = base64.b64encode(f"olga:{cookie}".encode()).decode()
    yield {}
    yield {"Authorization": f"Basic {basic}", "X-Forwarded-User": "olga"}
    yield {"X-Forwarded-Host": "clinic.example", "X-Forwarded-For": "127.0.0.1", "Host": "other"}


@attack(
    id="web-other-address",
    claim="web-session",
    attack=42,
    says="a release for looking used for sending, or at another address, with the victim's cookie",
    mutations=[
        Mutation(
            "a pending request has neither method nor address",
            lambda: weakened(
                (pending, "_require_owner", nothing), (middleware, "SAFE_METHODS", frozenset())
            ),
        )
    ],
    databases=False,
)
def web_other_address(world: World, trial: Trial) -> None:
    """The thief has cookie, ids and releases; the victim wanted to look, or to send elsewhere."""
    clinic, agent = Clinic(world), world.agents["olga"]
    with served(clinic.app) as port:
        for suite in SUITES:
            place = world.place(f"office-{suite}")
            olga = Client.of(port, clinic.sign_in("olga"))
            path, elsewhere = path_of(place), path_of(place) + "?to=elsewhere"
            with trial.attempt("a release at another address", "http.other-request") as attempt:
                looked = olga.begin("GET", path)
                release = looked.answered_by(agent, place)
                looked.path = elsewhere
                attempt.says(looked.release(release).status_code < 400)
            with trial.attempt("looked at, then sent", "http.other-request") as attempt:
                looked = olga.begin("GET", path)
                _post(looked, looked.answered_by(agent, place), path)
                attempt.says(clinic.sent_to("", place))
            sent = olga.begin("POST", path)
            sent.release(sent.answered_by(agent, place))
            with trial.attempt("sent elsewhere", "http.other-request") as attempt:
                sent.repeat(path=elsewhere)
                attempt.says(clinic.sent_to("elsewhere", place))


def _post(looked: Asked, release: bytes, path: str) -> None:
    """Name the answered GET in a POST: as it is, and after its release was posted."""
    try:
        looked.client.ask("POST", path, Twinlock_Release=looked.name)
    except DataError as error:
        if error.code != "http.not-released":
            raise
    looked.release(release)
    looked.client.ask("POST", path, Twinlock_Release=looked.name)


def _counting(waiting: PendingRequests, **options: Any) -> None:
    numbers = count()
    _INIT(waiting, **{**options, "randomness": lambda size: next(numbers).to_bytes(size, "big")})


@attack(
    id="web-guessed-ids",
    claim="web-session",
    attack=42,
    says="the id of a parked release guessed, with the victim's cookie",
    mutations=[
        Mutation(
            "requests are numbered, and a repetition need not name its release",
            lambda: weakened((PendingRequests, "__init__", _counting), _ID_SUFFICES),
        )
    ],
    databases=False,
)
def web_guessed_ids(world: World, trial: Trial) -> None:
    """Numbers, and neighbours of an id of one's own."""
    clinic, agent = Clinic(world), world.agents["olga"]
    with served(clinic.app) as port:
        place = world.place("office-rsa-oaep")
        olga = Client.of(port, clinic.sign_in("olga"))
        sent = olga.begin("POST", path_of(place))
        sent.release(sent.answered_by(agent, place))
        thief = Client.of(port, olga.cookie)
        node, own = thief.begin("POST", path_of(place)).request_id.split(".")
        numbers = [number.to_bytes(16, "big") for number in range(_GUESSES)]
        for guess in [*map(to_base64url, numbers), *_neighbours(own)]:
            with trial.attempt("an id guessed", "http.request-unknown", "http.not-released") as a:
                answer = thief.ask(
                    "POST", path_of(place), Twinlock_Release=f"{node}.{guess}.{_GUESSED}"
                )
                a.says(shows(place, answer.text))


def _neighbours(own: str) -> Iterator[str]:
    raw = int.from_bytes(base64.urlsafe_b64decode(own + "=="), "big")
    for step in (-2, -1, 1, 2):
        yield to_base64url(((raw + step) % (1 << 128)).to_bytes(16, "big"))


@attack(
    id="web-known-id",
    claim="web-session",
    attack=42,
    says="a parked release asked for by its request's id, known, with the victim's cookie",
    mutations=[
        Mutation(
            "a repetition need not name the release that was posted",
            lambda: weakened(_ID_SUFFICES),
        )
    ],
    databases=False,
)
def web_known_id(world: World, trial: Trial) -> None:
    """The id alone; with a digest made up; with the digest of another release of the victim's."""
    clinic, agent = Clinic(world), world.agents["olga"]
    with served(clinic.app) as port:
        olga = Client.of(port, clinic.sign_in("olga"))
        thief = Client.of(port, olga.cookie)
        for suite in SUITES:
            place = world.place(f"office-{suite}")
            waiting, other = (_kept(olga, agent, place) for _ in range(2))
            digests = ("", _GUESSED, release_digest(other.released))
            for digest in digests:
                name = f"{waiting.request_id}.{digest}".removesuffix(".")
                with trial.attempt("an id known", "http.request-id", "http.other-release") as a:
                    answer = thief.ask("POST", waiting.path, Twinlock_Release=name)
                    a.says(shows(place, answer.text))


@attack(
    id="web-known-release",
    claim="web-session",
    attack=42,
    says="what the victim's cookie yields together with her posted releases, measured",
    mutations=[
        ANSWERED_TWICE,
        Mutation(
            "a repetition may have any body",
            lambda: weakened((HashedBody, "_compare", nothing)),
        ),
    ],
    databases=False,
)
def web_known_release(world: World, trial: Trial) -> None:
    """The claim concedes an unsafe request between its release and its repetition: as it is."""
    clinic, agent = Clinic(world), world.agents["olga"]
    with served(clinic.app) as port:
        olga = Client.of(port, clinic.sign_in("olga"))
        thief = Client.of(port, olga.cookie)
        parked, repeated, looked, own = (
            world.place(name)
            for name in (
                "office-rsa-oaep",
                "office-token-aes",
                "row-office-rsa-oaep",
                "row-office-token-aes",
            )
        )
        waiting, done, wanted = (_kept(olga, agent, place) for place in (parked, repeated, own))
        done.repeat()
        seen = olga.begin("GET", path_of(looked))
        seen.release(seen.answered_by(agent, looked))
        with trial.attempt("a body of one's own", "http.other-body") as attempt:
            answer = thief.ask("POST", wanted.path, b"to=eve", Twinlock_Release=wanted.name)
            attempt.says(shows(own, answer.text))
        taken: set[str] = set()
        for asked, place in ((waiting, parked), (done, repeated), (seen, looked)):
            with suppress(DataError):
                answer = thief.ask("POST", asked.path, Twinlock_Release=asked.name)
                taken |= {place.name} if shows(place, answer.text) else set()
        trial.loot("a parked release, read by the thief", claimed={parked.name}, taken=taken)


def _kept(client: Client, agent: Any, place: Place) -> Asked:
    """An unsafe request whose release was posted."""
    asked = client.begin("POST", path_of(place))
    asked.release(asked.answered_by(agent, place))
    return asked
