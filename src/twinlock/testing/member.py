"""A member in a test: an agent that answers requests without anybody at a keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from twinlock.agent.agent import Agent, Approve, AsksMembers, Release
from twinlock.agent.examine import ExaminedRequest
from twinlock.core.context import Context
from twinlock.testing.client import answering

Answer = Callable[[bytes | AsksMembers], Release]
"""Turns a request, or the bundle that was bound for the member, into a release."""


def _clicks(_examined: ExaminedRequest, _reason: str) -> bool:
    return True


class MemoryMember:
    """A member of a ``MemoryDeployment``. ``agent`` is its real, unlocked agent."""

    def __init__(self, agent: Agent, answering: list[Answer]) -> None:
        self.agent = agent
        self._answering = answering

    @property
    def name(self) -> str:
        """The member's name."""
        return self.agent.name

    def hello(self, *, session: bytes | None = None) -> bytes:
        """Return what a server needs to bind a request to this member; see ``Agent.hello``."""
        return self.agent.hello(session=session)

    def release(
        self,
        request: bytes | AsksMembers,
        *,
        shares: Iterable[bytes] = (),
        expect: Sequence[Context] | None = None,
    ) -> Release:
        """Release a request, with the member's click where a policy wants one.

        Raises like ``Agent.release``: the agent is the real one and refuses what it must.
        """
        return self.agent.release(request, shares=shares, expect=expect, approve=_clicks)

    @contextmanager
    def releasing(self, client: Any = None, *, explicit: bool = False) -> Iterator[list[Release]]:
        """While the block runs, this member answers what the application asks.

        ``client``: an httpx client, or Starlette's or FastAPI's TestClient; its requests that are
        answered 428 are released and repeated: GET and HEAD, with ``explicit`` those that change
        something too. Without a client, ``MemoryDeployment.answer`` releases as this member: give
        that to an application which asks in the same process.

        Yields the list of releases made so far. Blocks nest: the innermost member answers.
        """
        made: list[Release] = []
        agent = _Noting(self, made)
        self._answering.append(agent.release)
        try:
            if client is None:
                yield made
            else:
                with answering(client, agent, explicit=explicit):
                    yield made
        finally:
            self._answering.remove(agent.release)

    def __repr__(self) -> str:
        return f"MemoryMember({self.name})"


class _Noting:
    """A member who notes the releases made."""

    def __init__(self, member: MemoryMember, made: list[Release]) -> None:
        self._member = member
        self._made = made

    def hello(self, *, session: bytes | None = None) -> bytes:
        return self._member.hello(session=session)

    def release(
        self,
        request: bytes | AsksMembers,
        *,
        expect: Sequence[Context] | None = None,
        approve: Approve | None = _clicks,
    ) -> Release:
        release = self._member.agent.release(request, expect=expect, approve=approve or _clicks)
        self._made.append(release)
        return release
