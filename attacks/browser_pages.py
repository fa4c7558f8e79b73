"""The victim's browser: an unlocked agent on its own origin, and pages of friends and foes.

Everything is served on this machine: the application on clinic.localhost, the agent's site on
agent.clinic.localhost; evil.clinic.localhost is of the same site, stranger.localhost is not.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from attacks.browser_agent import BrowserRelease, present_build
from attacks.clinic import COOKIE, Clinic, served
from attacks.node_peer import NodePeer
from attacks.tools import chromium
from attacks.world import PASSPHRASE
from twinlock.integrations.agent_site import AgentSite

if TYPE_CHECKING:
    from attacks.world import World

VICTIM: Final = "pia"
"""Of the data office; her agent wants a passphrase, as agents in browsers do."""

_ENTRIES: Final = (
    ("agent", "src/agent/window.ts"),
    ("agent-worker", "src/agent/worker.ts"),
    ("agent-more", "src/agent/more.ts"),
    ("relay", "src/agent/relay.ts"),
)


@cache
def _browser() -> NodePeer:
    """Chromium, one for all attacks of this process."""
    peer = NodePeer("chromium.mjs", str(chromium()))
    atexit.register(peer.close)
    return peer


class Sites:
    """Serves an empty page for ``/``, the agent below ``/agent/`` where that was asked for, and
    else the application."""

    def __init__(self, application: ASGIApp) -> None:
        self.agent: ASGIApp | None = None
        self._application = application
        self._page = HTMLResponse("<!doctype html><title>page</title><body></body>")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] == "/":
            await self._page(scope, receive, send)
        elif scope["type"] == "http" and self.agent and scope["path"].startswith("/agent/"):
            await self.agent({**scope, "root_path": "/agent"}, receive, send)
        else:
            await self._application(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Origins:
    """Where everything is."""

    app: str
    agent: str
    sibling: str
    stranger: str


class Stage:
    """One browser context: pages that scripts of attackers run in, and perhaps the window."""

    def __init__(self, origins: Origins, world: World, clinic: Clinic, number: int) -> None:
        self.origins, self.world, self.clinic = origins, world, clinic
        self._number = number

    def play(self, scene: str, **given: object) -> Any:
        """Play a scene of attacks/browser/scenes.mjs."""
        return _browser().call(scene, stage=self._number, **given)

    def unlock(self) -> None:
        """The victim unlocks her agent."""
        home = self.world.folder / "devices" / VICTIM
        files = [str(home / "device.key"), str(home / f"{VICTIM}.member")]
        self.play("unlock", agent=self.origins.agent, files=files, passphrase=PASSPHRASE)

    def page(self, origin: str) -> Page:
        """Open a page of an origin; its scripts are the attacker's."""
        return Page(self, self.play("visit", address=f"{origin}/"))


class Page:
    """A page whose scripts the attacker writes. It asks the agent like the real client does."""

    def __init__(self, stage: Stage, number: int) -> None:
        self.stage, self._number = stage, number

    def play(self, scene: str, **given: object) -> Any:
        """Play a scene in this page."""
        return self.stage.play(scene, page=self._number, **given)

    def embed(self, name: str = "relay.html") -> bool:
        """Put a page of the agent's into a frame; whether it came up."""
        return bool(self.play("embed", address=f"{self.stage.origins.agent}/{name}"))

    def post(self, *messages: Mapping[str, object], patience: int = 0) -> list[dict[str, Any]]:
        """Post messages to the frame; what it answered within ``patience`` milliseconds."""
        answers = self.play("post", messages=list(messages), patience=patience)
        return [{name: _bytes(value) for name, value in one.items()} for one in answers]

    def hello(self, session: bytes) -> bytes:
        """The agent's hello, empty if it gives none."""
        ask = {"twinlock": 1, "id": "hello", "ask": "hello", "session": session}
        return _field(self.post(ask, patience=4000), "hello")

    def release(self, bundle: bytes, *, patience: int = 3000) -> BrowserRelease | None:
        """The agent's release, if it gives one."""
        ask = {"twinlock": 1, "id": "release", "ask": "release", "bundle": bundle}
        found = _field(self.post(ask, patience=patience), "release")
        return BrowserRelease(found) if found else None


def _field(answers: Sequence[Mapping[str, Any]], name: str) -> bytes:
    return next((bytes(one[name]) for one in answers if name in one), b"")


def _bytes(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"hex"}:
        return bytes.fromhex(value["hex"])
    return value


@contextmanager
def on_stage(
    world: World, *, cookies: Sequence[str] = (), two_applications: bool = False
) -> Iterator[Stage]:
    """Serve application and agent, as the present build has them, and open a browser context.

    ``cookies``: of the application's host; they say nothing of SameSite. ``two_applications``: the
    sibling is one that the agent serves, too.
    """
    clinic = Clinic(world)
    sites = Sites(clinic.app)
    with ExitStack() as stack:
        port = stack.enter_context(served(sites))
        app = f"http://clinic.localhost:{port}"
        listed = [app, f"http://evil.clinic.localhost:{port}"] if two_applications else [app]
        site = AgentSite(present_build(_ENTRIES, pages=True), origins=listed)
        agent_port = stack.enter_context(served(site))
        agent = f"http://agent.clinic.localhost:{agent_port}"
        if SAME_ORIGIN:
            sites.agent, agent = site, f"{app}/agent"
        names = [f"http://{host}.localhost:{port}" for host in ("evil.clinic", "stranger")]
        jar = [{"name": COOKIE, "value": value, "url": app} for value in cookies]
        number = _browser().call("open", cookies=jar)
        stack.callback(_browser().call, "close", stage=number)
        yield Stage(Origins(app, agent, *names), world, clinic, number)


SAME_ORIGIN = False
"""A weakened build serves the agent from the application's own origin."""
