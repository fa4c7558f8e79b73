"""The agent in the browser as the attackers' peer: the TypeScript core, as it is or weakened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attacks.harness import Mutation
from attacks.node_peer import NodePeer, Patch, built
from twinlock.agent.agent import Approve, AsksMembers
from twinlock.core.context import Context

if TYPE_CHECKING:
    from attacks.world import World

_CORE = (("agent-core", "src/core/index.ts"),)
_patches: tuple[Patch, ...] = ()


@contextmanager
def source_changed(*patches: Patch) -> Iterator[None]:
    """Build what is started inside the block from web/src with these changes."""
    global _patches
    before, _patches = _patches, patches
    try:
        yield
    finally:
        _patches = before


def weaker_source(text: str, *patches: Patch) -> Mutation:
    """A weakened build of the browser's side: one defence, in one or more places of web/src."""
    return Mutation(text, lambda: source_changed(*patches))


def present_build(entries: tuple[tuple[str, str], ...], *, pages: bool = False) -> str:
    """Return the folder of parts of web/src, weakened as the present block says."""
    return str(built(entries, _patches, pages=pages))


@dataclass(frozen=True, slots=True)
class BrowserRelease:
    """A release, named as the program's agent names it."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class BrowserStatus:
    """DEKs released within the hour, per group (hexadecimal id)."""

    released_this_hour: Mapping[str, int]


class BrowserAgent:
    """A member's agent as it runs in a browser, unlocked from what lies on the member's device.

    It answers to the same names as ``twinlock.agent.agent.Agent``, so that attacks take either.
    """

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._peer = NodePeer("agent.mjs", present_build(_CORE))
        folder = world.folder / "devices" / name
        self._call(
            "unlock",
            state=(folder / f"{name}.member").read_bytes(),
            deviceKeyFile=(folder / "device.key").read_bytes(),
        )
        self.member_id = world.agents[name].member_id if name in world.agents else b""

    def close(self) -> None:
        """End its process."""
        self._peer.close()

    def hello(self, *, session: bytes | None = None) -> bytes:
        """Open a session or go on with it."""
        return bytes(self._call("hello", session=session))

    def follow(self, bundle: bytes) -> None:
        """Take group news."""
        self._call("follow", bundle=bundle)

    def describe(self, bundle: bytes) -> str:
        """What the window shows of a request, as text."""
        shown = self._call("examine", bundle=bundle)
        lines = [f"{r['table']} {r['record']}, {r['scope']}" for r in shown["records"]]
        return "\n".join([f"Records: {len(lines)}", *lines])

    def release(
        self,
        bundle: bytes | AsksMembers,
        *,
        expect: Sequence[Context] | None = None,
        approve: Approve | None = None,
    ) -> BrowserRelease:
        """Answer a request. ``approve``: somebody is there, and clicks whenever asked."""
        raw = bundle if isinstance(bundle, bytes) else bundle.bind(self.hello())
        shown = None if expect is None else [_context(context) for context in expect]
        click = approve is not None
        return BrowserRelease(self._call("release", bundle=raw, expect=shown, click=click))

    def status(self) -> BrowserStatus:
        """What it counts."""
        return BrowserStatus(self._call("released"))

    def _call(self, name: str, **arguments: object) -> Any:
        self._peer.call("clock", later=self._world.clock.later)
        return self._peer.call(name, **arguments)


@contextmanager
def in_browsers(world: World, *names: str) -> Iterator[None]:
    """Have these members use the browser's agent inside the block."""
    programs = dict(world.agents)
    browsers = {name: BrowserAgent(world, name) for name in names}
    world.agents.update(browsers)  # type: ignore[arg-type]
    try:
        yield
    finally:
        world.agents.update(programs)
        for browser in browsers.values():
            browser.close()


def _context(context: Context) -> dict[str, object]:
    return {
        "table": context.table,
        "record": context.record,
        "column": context.column,
        "version": context.version,
        "tenant": context.tenant,
        "purpose": context.purpose,
    }
