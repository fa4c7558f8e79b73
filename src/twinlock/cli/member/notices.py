"""A loud word to a member whom somebody is recovering, whenever an agent learns of it."""

from __future__ import annotations

from twinlock.agent.agent import Agent
from twinlock.agent.contacts import open_notices
from twinlock.cli.terminal import Terminal


def warn_of_notices(terminal: Terminal, agent: Agent) -> None:
    """Warn of announced recoveries of this very member. Raises ``agent.locked``."""
    for notice in open_notices(agent.admin):
        terminal.warn(
            f"SOMEBODY IS RECOVERING {agent.name.upper()}. If that is not you, cancel it now: "
            f"`twinlock member contacts cancel {agent.name} {notice.digest.hex()[:16]}`, and call "
            "your contacts."
        )
