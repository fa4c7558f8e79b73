"""Moving a password to the hardening key that the server offers now (SPEC 33)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from twinlock.agent.agent import Agent
from twinlock.agent.renewal import is_outdated, renew
from twinlock.cli.service import Service
from twinlock.cli.terminal import Terminal
from twinlock.core.factors import EnrollableFactor, Factor
from twinlock.errors import TwinlockError


def harden_anew(
    terminal: Terminal, agent: Agent, factors: Sequence[Factor], service: Service
) -> None:
    """Make the way in that just opened anew, if its hardening key is being replaced.

    What a person is doing does not depend on it: if it fails, it is tried again at the next unlock.
    """
    try:
        if not is_outdated(agent, factors):
            return
        agent.follow(service.groups(agent.hello(), agent.bundle_request()))
        # Every factor of the command line can be enrolled.
        renew(agent, cast("Sequence[EnrollableFactor]", factors), send=service.change)
    except TwinlockError as error:
        terminal.warn(f"The password is still hardened by a key that retires: {error.message}")
    else:
        terminal.say("The password is hardened by a new key from now on.")
