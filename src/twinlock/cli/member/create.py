"""``twinlock member create``: a member's keys, and the first ways in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from twinlock.agent.member import create_member
from twinlock.agent.ways import NewWay
from twinlock.cli.command import Options
from twinlock.cli.member.making import Made, Wanted, making
from twinlock.cli.member.options import (
    CardKeyOption,
    LabelOption,
    LocalOnlyOption,
    ScramAloneOption,
    SolePasskeyOption,
    asked,
)
from twinlock.cli.member_side import InvitationOption, read_deployment_card, read_invitation
from twinlock.cli.recovery import Place, RecoveryFileOption
from twinlock.cli.service import ServiceOption, reached
from twinlock.cli.terminal import Terminal, done, facts, next_steps
from twinlock.cli.who import (
    HOME,
    HomeOption,
    KeyOption,
    NameArgument,
    PassphraseEnvOption,
    PasswordEnvOption,
    ScramEnvOption,
    Who,
)
from twinlock.core.deployment import DeploymentCard
from twinlock.core.membership import Invitation
from twinlock.core.primitives import Kem
from twinlock.errors import CallerError

_PANEL = "The first way in: all of these together"


@dataclass(frozen=True, slots=True)
class First(Options):
    """What the first way in is made of."""

    key: KeyOption = None
    no_key: Annotated[
        bool,
        typer.Option("--no-key", help="No device key; the rest alone.", rich_help_panel=_PANEL),
    ] = False
    keyring: Annotated[
        bool,
        typer.Option(
            "--keyring", help="The device key in the system's keyring.", rich_help_panel=_PANEL
        ),
    ] = False
    with_passphrase: Annotated[
        bool, typer.Option("--passphrase", help="A passphrase.", rich_help_panel=_PANEL)
    ] = False
    passphrase_env: PassphraseEnvOption = None
    with_password: Annotated[
        bool,
        typer.Option(
            "--password",
            help="A password that the token hardens; needs the server.",
            rich_help_panel=_PANEL,
        ),
    ] = False
    password_env: PasswordEnvOption = None
    with_scram: Annotated[
        bool,
        typer.Option(
            "--scram",
            help="The SCRAM password of the account; signs in to the server once.",
            rich_help_panel=_PANEL,
        ),
    ] = False
    scram_env: ScramEnvOption = None
    card: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="A smart card: its pkcs11: URI, with the module.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    card_key: CardKeyOption = None
    passkey: Annotated[
        str | None,
        typer.Option(
            metavar="DOMAIN",
            help="A passkey on a security key, for the host of the browser's agent.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    scram_alone: ScramAloneOption = False
    sole_passkey: SolePasskeyOption = False
    service: ServiceOption = None


def create(
    terminal: Terminal,
    name: NameArgument,
    deployment: Annotated[
        str | None,
        typer.Option(metavar="CARD", help="The deployment's card: its text, or a file."),
    ] = None,
    invitation: InvitationOption = None,
    home: HomeOption = HOME,
    first: First = First(),
    recovery: RecoveryFileOption = None,
    label: LabelOption = "",
    local_only: LocalOnlyOption = False,
    pq: Annotated[bool, typer.Option("--pq", help="MLKEM768-X25519 keys.")] = False,
) -> None:
    """Become a member: make the keys and NAME.member in this folder.

    A device key file is made unless --no-key or --keyring says otherwise; all factors that are
    named are needed together. A recovery code opens by itself, as a second way in. The deployment's
    card or the invitation comes from outside the server: it pins the token.

    [dim]twinlock member create weber --deployment twinlock-deployment1:… --recovery paper[/dim]

    [dim]twinlock member create kim --invitation ward.invite --password --service https://…[/dim]
    """
    who = Who(name, home, first.key)
    contact = _contact(deployment, invitation)
    _require_new(who)
    wanted = _wanted(who, first, contact)
    with (
        reached(terminal, first.service, name) as service,
        making(terminal, wanted, service) as made,
    ):
        also: list[NewWay] = []
        if recovery is not None:
            place = Place(name, wanted.pinned, first.service)
            also.append(NewWay([made.recovery_code(place, recovery)], "recovery code"))
        path = create_member(
            name,
            made.factors,
            deployment=contact,
            home=home,
            kem=Kem.MLKEM768_X25519 if pq else Kem.DHKEM_P256,
            also=also,
            label=label,
            at_server=False if local_only else None,
            scram_alone=first.scram_alone,
            sole_passkey=first.sole_passkey,
        )
    _show(terminal, who, wanted, made, path, also, contact)


def _require_new(who: Who) -> None:
    if who.state_file.exists():
        raise CallerError(
            "file.exists",
            f"{who.state_file} exists already.",
            hint="That is the member; add a second way in with `twinlock member enrol`.",
        )


def _wanted(who: Who, first: First, contact: DeploymentCard | Invitation) -> Wanted:
    no_file = first.no_key or first.keyring
    return Wanted(
        name=who.name,
        pinned=DeploymentCard(contact.deployment_id, contact.identity_fingerprint),
        key=None if no_file else who.key_file,
        keyring=first.keyring,
        passphrase=asked(first.with_passphrase, first.passphrase_env),
        password=asked(first.with_password, first.password_env),
        scram=asked(first.with_scram, first.scram_env),
        card=first.card,
        card_key=first.card_key,
        passkey=first.passkey,
        service_url=first.service,
    )


def _contact(deployment: str | None, invitation: str | None) -> DeploymentCard | Invitation:
    if invitation is not None and deployment is None:
        return read_invitation(invitation)
    if deployment is not None and invitation is None:
        return read_deployment_card(deployment)
    raise CallerError(
        "member.no-contact",
        "A new member needs the deployment's card or an invitation, one of the two.",
        hint="Get --deployment CARD from `twinlock init`, or --invitation from an admin.",
    )


def _show(
    terminal: Terminal,
    who: Who,
    wanted: Wanted,
    made: Made,
    path: Path,
    also: Sequence[NewWay],
    contact: DeploymentCard | Invitation,
) -> None:
    name, kinds = who.name, made.kinds
    data: dict[str, Any] = {
        "member": name,
        "state": str(path),
        "key": None if wanted.key is None else str(wanted.key),
        "factors": kinds,
        "enrolments": 1 + len(also),
        **made.facts,
    }
    if not also:
        terminal.warn(
            f"{name} has one way in: losing it loses what opens for {name} alone. Make another: "
            f"`twinlock member enrol {name} --new-recovery FILE`."
        )
    steps = [f"twinlock member card {name} -o {name}.card"]
    if isinstance(contact, Invitation):
        steps[0] += " --invitation INVITATION"
    steps.append(f"twinlock member publish {name} --service URL     (once in a group)")
    files = [("state", path), *([] if wanted.key is None else [("device key", wanted.key)])]
    terminal.result(
        data,
        done(f"{name} opens with {' and '.join(kinds)}."),
        facts(files),
        "\nKeep a copy of these files elsewhere: nobody can make them again.\n",
        *made.shown,
        next_steps(*steps),
    )
