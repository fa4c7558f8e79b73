"""Pages elsewhere that have the victim's browser send requests of the HTTP flow, in Chromium.

They know everything but the cookie: the id of the victim's request, hello and release, recorded.
The cookie says nothing of SameSite, so that it goes along as far as Chromium lets any cookie go.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.types import Receive, Scope

from attacks.browser_pages import Page, on_stage
from attacks.clinic import Asked, Client, path_of
from attacks.forge import fresh_signing_key
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.tools import CHROMIUM
from attacks.world import World
from twinlock.core.release import sign_message
from twinlock.integrations.asgi import middleware
from twinlock.integrations.asgi.visit import Identity, Visit
from twinlock.integrations.asgi.wire import (
    HELLO_TYPE,
    RELEASE_HEADER,
    RELEASE_TYPE,
    REQUEST_HEADER,
)

_KINDS = {
    "hello": (REQUEST_HEADER, HELLO_TYPE),
    "release": (REQUEST_HEADER, RELEASE_TYPE),
    "repetition": (RELEASE_HEADER, "text/plain"),
}


class _InTheAddress(Visit):
    """A flow without types and headers of its own: what a request is stands in its address."""

    def __init__(self, scope: Scope, receive: Receive, identity: Identity) -> None:
        super().__init__(_named(scope), receive, identity)


def _named(scope: Scope) -> Scope:
    said = parse_qs(scope.get("query_string", b"").decode())
    if "as" not in said:
        return scope
    header, media_type = _KINDS[said["as"][0]]
    plain = [(k, v) for k, v in scope["headers"] if k not in (b"content-type", b"sec-fetch-site")]
    named = [(header.encode(), said["id"][0].encode()), (b"content-type", media_type.encode())]
    return {**scope, "query_string": b"", "headers": [*plain, *named]}


@attack(
    id="browser-csrf",
    claim="web-session",
    attack=41,
    says="forms, fetches and beacons of foreign pages that post hello, release and repetition",
    mutations=[
        Mutation(
            "hello, release and repetition are ordinary posts, and any site may send them",
            lambda: weakened((middleware, "Visit", _InTheAddress)),
        )
    ],
    databases=False,
    needs=[CHROMIUM],
)
def browser_csrf(world: World, trial: Trial) -> None:
    """From a page of the same site and from one of another: what became of it is looked at."""
    place, agent = world.place("office-rsa-oaep"), world.agents["olga"]
    cookie = "olga-0-0123456789abcdef"
    with on_stage(world, cookies=[cookie]) as stage:
        if stage.clinic.sign_in("olga") != cookie:
            raise LookupError("the browser has another cookie")
        olga = Client.of(int(stage.origins.app.rpartition(":")[2]), cookie)
        for site in ("sibling", "stranger"):
            page = stage.page(getattr(stage.origins, site))

            def begin() -> Asked:
                return olga.begin("POST", path_of(place))

            with trial.attempt("a hello", "http.not-bound") as attempt:
                asked = begin()
                _send(page, asked, "hello", agent.hello(session=asked.session))
                attempt.says(_is_bound(asked))
            with trial.attempt("a release", "http.not-released") as attempt:
                asked = begin()
                asked.released = asked.answered_by(agent, place)
                _send(page, asked, "release", asked.released)
                attempt.says(asked.repeat().status_code == 200)
            with trial.attempt(f"a repetition, from a {site}") as attempt:
                asked, before = begin(), len(stage.clinic.sent)
                asked.release(asked.answered_by(agent, place))
                _send(page, asked, "repetition", b"")
                attempt.says(len(stage.clinic.sent) > before)


def _send(page: Page, asked: Asked, kind: str, body: bytes) -> None:
    """Send it in every way that there is, with its header and type where a page may set them."""
    header, media_type = _KINDS[kind]
    origin = page.stage.origins.app
    named = asked.name if kind == "repetition" else asked.request_id
    page.play(
        "forge",
        address=f"{origin}{asked.path}?as={kind}&id={named}",
        header={header: named},
        bodies={media_type: body, "text/plain": body},
    )
    page.play(
        "forge",
        address=f"{origin}{asked.path}",
        header={header: named},
        bodies={media_type: body},
    )


def _is_bound(asked: Asked) -> bool:
    """Tell by what the flow says to a release that is none of this request's."""
    other = sign_message(b"another release", fresh_signing_key())
    return asked.release(other).status_code == 204
