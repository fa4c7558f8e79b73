"""A member in a test: an agent that answers requests without anybody at a keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from twinlock.agent.agent import Agent, AsksMembers, Release
from twinlock.agent.examine import ExaminedRequest
from twinlock.core.context import Context

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

    def hello(self) -> bytes:
        """Return what a server needs to bind a request to this member."""
        return self.agent.hello()

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
    def releasing(self) -> Iterator[list[Release]]:
        """While the block runs, ``MemoryDeployment.answer`` releases as this member.

        Give ``deployment.answer`` to the application where it would otherwise ask a person. Yields
        the list of releases made so far. Blocks nest: the innermost member answers.
        """
        made: list[Release] = []

        def answer(request: bytes | AsksMembers) -> Release:
            release = self.release(request)
            made.append(release)
            return release

        self._answering.append(answer)
        try:
            yield made
        finally:
            self._answering.remove(answer)

    def __repr__(self) -> str:
        return f"MemoryMember({self.name})"
