"""What commands on the member's side share: reading a member's state, unlocking, cards.

Needs neither PKCS#11 nor a database.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from twinlock.agent.agent import Agent
from twinlock.agent.state import LockedState, load_state
from twinlock.cli.at_hand import Known, choose_way, factors_for
from twinlock.cli.hardening_anew import harden_anew
from twinlock.cli.service import Service, in_vault, reached
from twinlock.cli.terminal import Terminal
from twinlock.cli.who import Who
from twinlock.core.deployment import PREFIX as CARD_PREFIX
from twinlock.core.deployment import DeploymentCard, parse_deployment_card
from twinlock.core.membership import AgentPlacement, Invitation, parse_invitation
from twinlock.core.membership.invitation import PREFIX as INVITATION_PREFIX
from twinlock.errors import CallerError
from twinlock.files import read_private

if TYPE_CHECKING:
    from twinlock.server.vault import Vault

_MAX_TEXT: Final = 16 << 10
InvitationOption = Annotated[
    str | None,
    typer.Option(metavar="FILE|TEXT", help="The invitation that an admin handed over."),
]


def locked_state(who: Who) -> LockedState:
    """Read a member's state without unlocking it. Raises ``member.not-here`` or ``format.*``."""
    if not who.state_file.exists():
        raise CallerError(
            "member.not-here",
            f"There is no member {who.name!r} in the folder {who.home}.",
            hint="Name the folder with --home, or make the member with `twinlock member create`.",
        )
    return load_state(who.state_file)


def unlock(
    terminal: Terminal,
    who: Who,
    *,
    placement: AgentPlacement = AgentPlacement.OWN_ORIGIN_OR_PROGRAM,
    server: Service | None = None,
) -> Agent:
    """Unlock a member's agent with the factors of one way in.

    ``server``: the one that this command has reached already; else a password reaches it. Raises
    ``factor.*``, ``file.*``, ``service.*`` and whatever a factor raises.
    """
    known = Known.of(locked_state(who))
    online = bool(server or who.service or terminal.config_named)
    way = choose_way(known, who, online=online)
    alone = server is None and "password" in way.kinds
    reaching = reached(terminal, who.service, who.name) if alone else nullcontext(server)
    with reaching as service:
        factors = factors_for(way.kinds, terminal, who, known, service)
        agent = Agent.unlock(who.name, *factors, home=who.home, placement=placement)
        if service is not None:
            harden_anew(terminal, agent, factors, service)
        return agent


def unlock_beside(
    terminal: Terminal,
    who: Who,
    opened: Vault,
    *,
    placement: AgentPlacement = AgentPlacement.OWN_ORIGIN_OR_PROGRAM,
) -> Agent:
    """Unlock a member's agent in the process of a vault, which hardens passwords then."""
    server = in_vault(opened, who.name)
    return unlock(terminal, who, placement=placement, server=server)


# --- cards and invitations -----------------------------------------------------------------------


def read_deployment_card(value: str) -> DeploymentCard:
    """Read a deployment card: its text, or a file with it. Raises ``deployment.card-malformed``."""
    return parse_deployment_card(_text_or_file(value, CARD_PREFIX))


def read_invitation(value: str) -> Invitation:
    """Read an invitation: its text, or a file with it. Raises ``invitation.malformed``."""
    return parse_invitation(_text_or_file(value, INVITATION_PREFIX))


def _text_or_file(value: str, prefix: str) -> str:
    if value.strip().lower().startswith(prefix):
        return value
    return read_private(Path(value), max_size=_MAX_TEXT).decode("utf-8", "replace")
