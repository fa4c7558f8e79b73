"""Scripts in the application's origin against the agent on its own, in a real Chromium."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Final

from attacks import browser_pages
from attacks.browser_agent import source_changed, weaker_source
from attacks.browser_pages import Page, Stage, on_stage
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.hsm_loot import targets
from attacks.live_forger import Forger, lost
from attacks.node_peer import Patch
from attacks.tools import CHROMIUM
from attacks.world import World
from twinlock.integrations import agent_site
from twinlock.integrations.agent_site import AgentSite

_BUDGET: Final = 2
_OFFICE: Final = ("office-rsa-oaep", "office-token-aes", "row-office-rsa-oaep")
_STEADY_MS: Final = 600


@contextmanager
def _beside_the_application() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(weakened((browser_pages, "SAME_ORIGIN", True)))
        own = Patch("agent/origins.ts", "isOrigin(origin) && origin !== own", "isOrigin(origin)")
        stack.enter_context(source_changed(own))
        yield


@contextmanager
def _list_ignored() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(weakened((AgentSite, "_framing", lambda *_: ())))
        stack.enter_context(
            source_changed(
                Patch("agent/relay.ts", "if (!origins.has(event.origin)) return;", ""),
                Patch("agent/desk.ts", "!this.#options.origins.has(origin)", "false"),
            )
        )
        yield


_CRAFTED: Final[tuple[dict[str, Any], ...]] = (
    {"twinlock": 1, "id": "a", "ask": "unlock", "passphrase": "x"},
    {"twinlock": 1, "id": "b", "ask": "lock"},
    {"twinlock": 1, "id": "c", "ask": "state"},
    {"twinlock": 1, "id": "d", "ask": "export"},
    {"twinlock": 1, "id": "e", "ask": "approve", "of": "release"},
    {"twinlock": 1, "id": "f", "ask": "release", "bundle": b"\1", "approved": True},
    {
        "twinlock": 1,
        "id": "g",
        "ask": "hello",
        "session": bytes(32),
        "origin": "http://x.localhost",
    },
    {"call": "status", "number": 1},
    {"to": "relay", "relay": "x", "message": {"twinlock": 1, "id": "h", "answer": "waiting"}},
    {"to": "all", "news": "changed"},
    {"to": "holder", "news": "step-down"},
)


@attack(
    id="browser-page-scripts",
    claim="agent-origin",
    attack=19,
    says="scripts of the application's origin and its siblings: DOM, storage, channel, messages",
    mutations=[
        Mutation("the agent is served from the application's origin", _beside_the_application),
        Mutation("the list of origins counts for nothing", _list_ignored),
        weaker_source(
            "the relay passes on what is no question",
            Patch(
                "agent/relay.ts",
                "if (ask === null) return;",
                "if (ask === null) return channel.postMessage(event.data);",
            ),
        ),
    ],
    databases=False,
    needs=[CHROMIUM],
)
def browser_page_scripts(world: World, trial: Trial) -> None:
    """The victim's window is unlocked. What a real client asks is answered; nothing else is."""
    with on_stage(world) as stage:
        stage.unlock()
        page = stage.page(stage.origins.app)
        if not page.embed() or not page.hello(os.urandom(32)):
            raise LookupError("the agent does not answer its application: nothing is proved")
        reached = page.play("reach", agent=stage.origins.agent)
        for name, got in reached.items():
            with trial.attempt(name) as attempt:
                attempt.says(got is not None)
        for origin in (stage.origins.sibling, stage.origins.stranger):
            foreign = stage.page(origin)
            with trial.attempt("an origin that is not listed asks") as attempt:
                attempt.says(foreign.embed() and bool(foreign.hello(os.urandom(32))))
        for message in _CRAFTED:
            # The last one gets the time that a window would need to step down on a busy machine.
            patience = 3000 if message is _CRAFTED[-1] else 100
            with trial.attempt("a message that is no question") as attempt:
                answers = page.post(message, patience=patience)
                attempt.says(bool(answers) or not stage.play("isUnlocked"))


@contextmanager
def _framing_allowed() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(weakened((AgentSite, "_framing", lambda *_: ())))
        top = Patch("agent/surroundings.ts", "if (window.top !== window)", "if (false)")
        stack.enter_context(source_changed(top))
        yield


def _without(name: str) -> tuple[tuple[str, str], ...]:
    return tuple(header for header in agent_site._EVERYWHERE if header[0] != name)


@attack(
    id="browser-agent-window",
    claim="agent-origin",
    attack=(19, 41),
    says="the agent's window in a frame; opened by a page that keeps a handle and moves it",
    mutations=[
        Mutation("nothing keeps the window out of a frame", _framing_allowed),
        Mutation(
            "the window has no Cross-Origin-Opener-Policy",
            lambda: weakened((agent_site, "_EVERYWHERE", _without("cross-origin-opener-policy"))),
        ),
    ],
    databases=False,
    needs=[CHROMIUM],
)
def browser_agent_window(world: World, trial: Trial) -> None:
    """By the application's own scripts, a sibling's, and a stranger's."""
    with on_stage(world) as stage:
        address = f"{stage.origins.agent}/agent.html"
        for origin in (stage.origins.app, stage.origins.sibling, stage.origins.stranger):
            page = stage.page(origin)
            with trial.attempt("the window in a frame") as attempt:
                attempt.says(page.play("framed", address=address) is not None)
            with trial.attempt("a handle on the window") as attempt:
                attempt.says(page.play("script", address=address) is not None)


@attack(
    id="browser-unwatched-window",
    claim="agent-origin",
    attack=(19, 41),
    says="a taken server's page: records beyond the budget, without a click, a stolen click",
    mutations=[
        weaker_source(
            "the window decides everything by itself",
            Patch("agent/worker.ts", "approve: () => approved", "approve: () => true"),
            Patch("agent/desk.ts", "request.reasons.length === 0", "true"),
        ),
        weaker_source(
            "a press counts as soon as the card is there",
            Patch("agent/guard.ts", "STEADY = 600", "STEADY = 0"),
        ),
    ],
    databases=False,
    needs=[CHROMIUM],
)
def browser_unwatched_window(world: World, trial: Trial) -> None:
    """Server, HSM interface and page are the attacker's: he takes exactly what is released."""
    _set_policy(world, budget_per_hour=_BUDGET)
    wanted = [world.place(name) for name in _OFFICE]
    with on_stage(world) as stage:
        stage.unlock()
        page = stage.page(stage.origins.app)
        page.embed()
        taken: set[str] = set()
        for place in wanted:
            bundle, forger = _bundle(world, page, place.name)
            release = page.release(bundle)
            keys = [] if release is None else forger.keys_in(release.raw)
            taken |= lost(keys, targets(world, wanted))
        claimed = {place.name for place in wanted[:_BUDGET]}
        trial.loot("records released while nobody watched", claimed=claimed, taken=taken)
        _set_policy(world, budget_per_hour=_BUDGET, click_each=True)
        with trial.attempt("without the click that the group wants") as attempt:
            bundle, _ = _bundle(world, page, _OFFICE[0])
            attempt.says(page.release(bundle, patience=4000) is not None)
        with trial.attempt("a double click as the card appears") as attempt:
            attempt.says(_stolen_click(stage, page, weak=trial.weakened))


def _set_policy(world: World, **floors: Any) -> None:
    """Have the data office's admin set its policy; agents learn of it with the next request."""
    olga, group = world.agents["olga"], world.groups["data-office"]
    policy = replace(world.vault.group_state(group).policy, **floors)
    world.vault.append(olga.admin.set_policy(group.group_id, policy))
    world.follow("olga")


def _bundle(world: World, page: Page, *names: str) -> tuple[bytes, Forger]:
    """A request whose release goes to a key of the attacker's, which the HSM stated."""
    forger = Forger(world)
    hello = page.hello(os.urandom(32))
    places = [world.place(name) for name in names]
    return forger.redirected(hello, forger.hsm_signs, *places).encode(), forger


def _stolen_click(stage: Stage, page: Page, *, weak: bool) -> bool:
    """Try until the machine was fast enough to press before the window takes a press."""
    for number in range(20):
        bundle, _ = _bundle(stage.world, page, _OFFICE[number % 2])
        ask = {"twinlock": 1, "id": f"steal-{number}", "ask": "release", "bundle": bundle}
        came = page.play("pressAtOnce", message=ask, within=_STEADY_MS - 50)
        page.post({"twinlock": 1, "id": f"end-{number}", "ask": "cancel", "of": f"steal-{number}"})
        if came == "no card":
            if weak:
                return False
            raise LookupError("no card appeared")
        if came == "decided":
            return True
        # A press that finds the window busy is tried again where it may succeed.
        if came == "nothing" and not weak:
            return False
    if weak:
        return False
    raise LookupError("no press came in time")
