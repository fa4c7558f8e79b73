"""What commands on the member's side share: who it is, and how the agent is unlocked.

Needs neither PKCS#11 nor a database.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Passphrase
from twinlock.agent.state import LockedState, load_state, state_path
from twinlock.cli.cards import card_named, smart_card
from twinlock.cli.keyrings import (
    key_in_keyring,
    key_instead_of_file,
    keyring_has_key,
    named_in_keyring,
)
from twinlock.cli.recovery import ask_recovery_code
from twinlock.cli.terminal import Terminal
from twinlock.core.deployment import PREFIX as CARD_PREFIX
from twinlock.core.deployment import DeploymentCard, parse_deployment_card
from twinlock.core.enrolment import Enrolment
from twinlock.core.factors import Factor
from twinlock.core.factors.passphrase import PassphraseFactor
from twinlock.core.membership import AgentPlacement, Invitation, parse_invitation
from twinlock.core.membership.invitation import PREFIX as INVITATION_PREFIX
from twinlock.errors import CallerError
from twinlock.files import read_private
from twinlock.keyring.device_key import KeyringDeviceKey

_MAX_TEXT: Final = 16 << 10
_PANEL: Final = "Member"

AsOption = Annotated[
    str, typer.Option("--as", metavar="MEMBER", help="The member who acts.", rich_help_panel=_PANEL)
]
HomeOption = Annotated[
    Path,
    typer.Option(
        "--home",
        metavar="DIR",
        envvar="TWINLOCK_HOME",
        help="Folder of MEMBER.member and MEMBER.key.",
        show_envvar=True,
        rich_help_panel=_PANEL,
    ),
]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE|keyring[:CHECK]",
        help="Device key; default HOME/MEMBER.key, else the system's keyring.",
        rich_help_panel=_PANEL,
    ),
]
PassphraseEnvOption = Annotated[
    str | None,
    typer.Option(
        "--passphrase-env",
        metavar="NAME",
        help="Environment variable with the passphrase; else it is asked for.",
        rich_help_panel=_PANEL,
    ),
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The member's name.")]
InvitationOption = Annotated[
    str | None,
    typer.Option(metavar="FILE|TEXT", help="The invitation that an admin handed over."),
]
HOME: Final = Path()


@dataclass(frozen=True, slots=True)
class Who:
    """A member and where the factors are."""

    name: str
    home: Path
    key: Path | None = None
    passphrase_env: str | None = None
    card: str | None = None
    recovery_env: str | None = None

    @property
    def state_file(self) -> Path:
        """The member's state file."""
        return state_path(self.home, self.name)

    @property
    def key_file(self) -> Path:
        """The device key file. Raises ``keyring.no-file`` when the keyring was named instead."""
        if self.in_keyring is not None:
            raise CallerError(
                "keyring.no-file",
                "A key file is needed here, and --key names the system's keyring.",
                hint=f"Make a file, then: `twinlock device-key to-keyring {self.name}`.",
            )
        return self.key or self.home / f"{self.name}.key"

    @property
    def in_keyring(self) -> str | None:
        """What ``--key`` says of the keyring (``keyrings.named_in_keyring``)."""
        return named_in_keyring(self.key)


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
) -> Agent:
    """Unlock a member's agent with the factors of one enrolment.

    Raises ``factor.*`` or ``file.*``.
    """
    return Agent.unlock(who.name, *factors_of(terminal, who), home=who.home, placement=placement)


def factors_of(terminal: Terminal, who: Who) -> list[Factor]:
    """Return the factors that unlock this member."""
    state = locked_state(who)
    enrolment = _enrolment(state, who)
    return [_factor(kind, terminal, who, state) for kind in enrolment.kinds]


def _enrolment(state: LockedState, who: Who) -> Enrolment:
    """The enrolment whose factors are at hand.

    A passphrase, a card or a recovery code counts as such when it is named; a recovery code that
    is not, only when nothing else is left to ask for. The keyring, which may ask its user to unlock
    it, is looked into only when that may change the choice.
    """

    def missing(enrolment: Enrolment, has_key: bool) -> tuple[bool, ...]:
        def differs(kind: str, given: str | None) -> bool:
            return (kind in enrolment.kinds) != bool(given)

        return (
            "device-key" in enrolment.kinds and not has_key,
            differs("recovery-code", who.recovery_env),
            differs("smart-card", card_named(who.card)),
            differs("passphrase", who.passphrase_env),
        )

    def best(has_key: bool) -> Enrolment:
        return min(state.enrolments, key=lambda enrolment: missing(enrolment, has_key))

    has_key = who.in_keyring is not None or who.key_file.exists()
    chosen = best(has_key)
    if has_key or who.key is not None or not any(missing(chosen, has_key)):
        return chosen
    other = best(True)
    return other if other is not chosen and keyring_has_key(state) else chosen


def device_key(who: Who, state: LockedState) -> DeviceKey | KeyringDeviceKey:
    """Return the device key: the file or keyring that was named, else whichever has it.

    Raises ``keyring.*``; a file that is not there says so when it is read.
    """
    if who.in_keyring is not None:
        return key_in_keyring(state, who.in_keyring)
    if who.key is None and not who.key_file.exists():
        return key_instead_of_file(state) or DeviceKey(who.key_file)
    return DeviceKey(who.key_file)


def _factor(kind: str, terminal: Terminal, who: Who, state: LockedState) -> Factor:
    if kind == "device-key":
        return device_key(who, state)
    if kind == "passphrase":
        return passphrase(terminal, who.passphrase_env, f"Passphrase of {who.name}: ")
    if kind == "recovery-code":
        return ask_recovery_code(terminal, who.recovery_env, who.name)
    if kind == "smart-card":
        return smart_card(terminal, who.card).factor()
    raise CallerError(
        "factor.unsupported",
        f"This enrolment needs the factor {kind!r}, which the command line cannot give.",
        hint="Use the agent that the enrolment was made with, or another enrolment.",
    )


def passphrase(
    terminal: Terminal, variable: str | None, prompt: str, *, confirm: bool = False
) -> PassphraseFactor:
    """Return the passphrase factor, from an environment variable or asked for.

    Raises ``factor.passphrase-env`` or ``factor.passphrase-mismatch``.
    """
    if variable is not None:
        text = os.environ.get(variable)
        if not text:
            raise CallerError(
                "factor.passphrase-env",
                f"The environment variable {variable} holds no passphrase.",
                hint="Set it for this command alone, or leave --passphrase-env out to be asked.",
            )
        return Passphrase(text)
    text = terminal.ask_secret(prompt)
    if confirm and terminal.ask_secret("Once more: ") != text:
        raise CallerError(
            "factor.passphrase-mismatch", "The two passphrases differ.", hint="Try again."
        )
    return Passphrase(text)


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
