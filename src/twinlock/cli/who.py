"""Who acts on the member's side, and where that member's factors are: options and their values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self

import typer

from twinlock.agent.state import state_path
from twinlock.cli.cards import CardOption
from twinlock.cli.command import Options
from twinlock.cli.keyrings import named_in_keyring
from twinlock.cli.passkeys import PasskeyOption
from twinlock.cli.recovery import RecoveryEnvOption
from twinlock.cli.service import ServiceOption
from twinlock.errors import CallerError

_PANEL: Final = "Member"
HOME: Final = Path()
FACTOR_KINDS: Final = frozenset(
    {
        *("passphrase", "password", "scram", "device-key"),
        *("recovery-code", "smart-card", "passkey", "contacts"),
    }
)

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
PasswordEnvOption = Annotated[
    str | None,
    typer.Option(
        "--password-env",
        metavar="NAME",
        help="Environment variable with the hardened password; else it is asked for.",
        rich_help_panel=_PANEL,
    ),
]
ScramEnvOption = Annotated[
    str | None,
    typer.Option(
        "--scram-env",
        metavar="NAME",
        help="Environment variable with the SCRAM password; else it is asked for.",
        rich_help_panel=_PANEL,
    ),
]
WithOption = Annotated[
    str | None,
    typer.Option(
        "--with",
        metavar="FACTORS",
        help="Open with exactly these: password, device-key+passphrase, …",
        rich_help_panel=_PANEL,
    ),
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The member's name.")]


@dataclass(frozen=True, slots=True)
class Using(Options):
    """Where a member's factors are: options of every command that unlocks one."""

    home: HomeOption = HOME
    key: KeyOption = None
    passphrase_env: PassphraseEnvOption = None
    password_env: PasswordEnvOption = None
    scram_env: ScramEnvOption = None
    recovery_env: RecoveryEnvOption = None
    card: CardOption = None
    passkey: PasskeyOption = None
    with_factors: WithOption = None
    service: ServiceOption = None


@dataclass(frozen=True, slots=True)
class Who:
    """A member and where the factors are. ``factors``: the kinds that were asked for, or None."""

    name: str
    home: Path = HOME
    key: Path | None = None
    passphrase_env: str | None = None
    password_env: str | None = None
    scram_env: str | None = None
    recovery_env: str | None = None
    card: str | None = None
    passkey: str | None = None
    factors: frozenset[str] | None = None
    service: str | None = None

    @classmethod
    def of(cls, name: str, using: Using) -> Self:
        """Return what the options say."""
        return cls(
            name,
            using.home,
            using.key,
            using.passphrase_env,
            using.password_env,
            using.scram_env,
            using.recovery_env,
            using.card,
            using.passkey,
            None if using.with_factors is None else read_kinds(using.with_factors),
            using.service,
        )

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


def read_kinds(text: str) -> frozenset[str]:
    """Read ``KIND+KIND``. Raises CallerError ``factor.unknown-kind``."""
    kinds = frozenset(kind.strip() for kind in text.split("+"))
    if not kinds <= FACTOR_KINDS:
        raise CallerError(
            "factor.unknown-kind",
            f"{text!r} names a factor that does not exist.",
            hint=f"Join some of these with +: {', '.join(sorted(FACTOR_KINDS))}.",
        )
    return kinds
