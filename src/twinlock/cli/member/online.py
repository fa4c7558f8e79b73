"""A member's agent and its server in one command: bringing up to date, handing changes in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from twinlock.agent.agent import Agent
from twinlock.agent.ways import Send
from twinlock.cli.command import Options
from twinlock.cli.member.notices import warn_of_notices
from twinlock.cli.member_side import unlock
from twinlock.cli.messages import read_message, write_message
from twinlock.cli.service import Service, reached
from twinlock.cli.terminal import Terminal, next_steps
from twinlock.cli.who import Who
from twinlock.errors import TwinlockError

_PANEL = "Handing the change in"


@dataclass(frozen=True, slots=True)
class Delivery(Options):
    """How a change reaches the server, where none is named: as a file, or not yet."""

    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the change here, for `twinlock member accept`.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    bundle: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="News from `twinlock group bundle`, where no server is named.",
            rich_help_panel=_PANEL,
        ),
    ] = None


@dataclass(slots=True)
class Acting:
    """An unlocked agent, as up to date as it can be, and where its changes go."""

    terminal: Terminal
    agent: Agent
    service: Service | None
    delivery: Delivery
    fresh: bool = False
    """Whether the agent followed its groups in this run."""

    @property
    def in_group(self) -> bool:
        """Whether a followed group has this member: servers take nothing of others."""
        mine = self.agent.member_id
        return any(mine in g.state.members for g in self.agent.groups if g.verified)

    @property
    def send(self) -> Send | None:
        """What hands a change over, before anything is kept here."""
        if self.delivery.output is not None:
            return self._write
        return self.service.change if self.service is not None and self.in_group else None

    @property
    def delivered(self) -> dict[str, Any]:
        """Where changes went, for programs."""
        output = self.delivery.output
        at_server = output is None and self.send is not None
        return {"delivered": at_server, "output": None if output is None else str(output)}

    def steps(self) -> list[Any]:
        """What is left to do so that the server knows."""
        name, output = self.agent.name, self.delivery.output
        if output is not None and str(output) != "-":
            return [next_steps(f"twinlock member accept {output}     (server)")]
        if self.send is not None:
            return []
        if self.service is not None:
            self.terminal.warn(
                f"{name} is in no group yet, so the server keeps nothing of {name}. Once in one: "
                f"`twinlock member publish {name}`."
            )
            return []
        return [next_steps(f"twinlock member publish {name} --service URL     (or -o FILE)")]

    def follow(self) -> bool:
        """Bring the agent up to date with its groups: from the file that was named, or the server.

        Returns whether the server answered. Raises like ``Agent.follow``, and whatever the server
        refuses to a member of a group.
        """
        agent, bundle = self.agent, self.delivery.bundle
        if bundle is not None:
            agent.follow(read_message(bundle, "group bundle"))
            self.fresh = True
            return False
        if self.service is None:
            return False
        try:
            agent.follow(self.service.groups(agent.hello(), agent.bundle_request()))
        except TwinlockError as error:
            if error.code != "member.not-proved" or self.in_group:
                raise
            return False
        self.fresh = True
        return self.in_group

    def _write(self, change: bytes) -> None:
        if self.delivery.output is not None:
            write_message(self.delivery.output, change)


@contextmanager
def acting(
    terminal: Terminal, who: Who, delivery: Delivery, *, mine: bool = False
) -> Iterator[Acting]:
    """Unlock a member, follow its groups and take its list from the server, where one is named.

    ``mine``: see ``take_list``. Raises like ``unlock``, ``Agent.follow`` and ``Ways.take``, and
    whatever the server refuses.
    """
    with (
        reached(terminal, who.service, who.name) as service,
        unlock(terminal, who, server=service) as agent,
    ):
        acts = Acting(terminal, agent, service, delivery)
        if acts.follow() and service is not None:
            take_list(terminal, agent, service, mine=mine)
        warn_of_notices(terminal, agent)
        yield acts


def take_list(terminal: Terminal, agent: Agent, service: Service, *, mine: bool = False) -> None:
    """Take the list of ways in that the server keeps, and say which are gone.

    A server with an older list is told of the newer one by the next change; ``mine``: also one with
    another list of the same age. Raises like ``Ways.take``, but for that.
    """
    try:
        full = service.full_bundle(agent.bundle_request())
        gone = agent.ways.take(full).gone
    except TwinlockError as error:
        if error.code == "member.unknown" or (mine and error.code == "enrolment.list-forked"):
            return
        if error.code != "enrolment.list-rolled-back":
            raise
        terminal.warn(
            "The server has an older list of ways in than this computer. It gets the newer one "
            f"with the next change, or with `twinlock member publish {agent.name}`; if it had that "
            "before, tell an admin: its database may have been set back."
        )
        return
    if gone:
        names = ", ".join(entry.label or "+".join(entry.kinds) for entry in gone)
        terminal.warn(f"Ended on another computer: {names}.")
