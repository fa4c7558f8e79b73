"""``twinlock member create | add-enrolment``: a member's keys, and what opens them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twinlock.agent.member import add_enrolment, create_member
from twinlock.cli.cards import CardOption
from twinlock.cli.member.making import Wanted, making
from twinlock.cli.member_side import (
    HOME,
    HomeOption,
    InvitationOption,
    KeyOption,
    NameArgument,
    PassphraseEnvOption,
    Who,
    factors_of,
    locked_state,
    read_deployment_card,
    read_invitation,
)
from twinlock.cli.recovery import RecoveryEnvOption, RecoveryFileOption
from twinlock.cli.terminal import Terminal, done, facts, next_steps
from twinlock.core.deployment import DeploymentCard
from twinlock.core.membership import Invitation
from twinlock.core.primitives import Kem
from twinlock.errors import CallerError

CardKeyOption = Annotated[
    str | None,
    typer.Option(metavar="HEX", help="Id of a key that is on the card; else one is made."),
]


def create(
    terminal: Terminal,
    name: NameArgument,
    deployment: Annotated[
        str | None,
        typer.Option(metavar="CARD", help="The deployment's card: its text, or a file."),
    ] = None,
    invitation: InvitationOption = None,
    home: HomeOption = HOME,
    key: KeyOption = None,
    with_passphrase: Annotated[
        bool, typer.Option("--passphrase", help="A passphrase too: both are then needed.")
    ] = False,
    passphrase_env: PassphraseEnvOption = None,
    no_key: Annotated[
        bool, typer.Option("--no-key", help="No device key file; a passphrase alone.")
    ] = False,
    pq: Annotated[bool, typer.Option("--pq", help="MLKEM768-X25519 keys.")] = False,
    card: Annotated[
        str | None,
        typer.Option(metavar="URI", help="A smart card too: its pkcs11: URI, with the module."),
    ] = None,
    card_key: CardKeyOption = None,
    recovery: RecoveryFileOption = None,
) -> None:
    """Become a member: make the keys and NAME.member in this folder.

    A device key file is made unless --no-key says otherwise; with a passphrase or a smart card
    too, all of them are needed. A recovery code opens by itself. The deployment's card or the
    invitation comes from outside the server: it pins the token.

    [dim]twinlock member create weber --deployment twinlock-deployment1:… --passphrase[/dim]
    """
    who = Who(name, home, key, passphrase_env)
    pinned = _pinned(deployment, invitation)
    if who.state_file.exists():
        raise CallerError(
            "file.exists",
            f"{who.state_file} exists already.",
            hint="That is the member; add a second way in with `twinlock member add-enrolment`.",
        )
    asked = with_passphrase or passphrase_env is not None
    wanted = Wanted(
        key=None if no_key else who.key_file,
        prompt=f"New passphrase of {name}: " if asked else None,
        passphrase_env=passphrase_env,
        card=card,
        card_key=card_key,
    )
    with making(terminal, wanted) as made:
        kem = Kem.MLKEM768_X25519 if pq else Kem.DHKEM_P256
        path = create_member(name, made.factors, deployment=pinned, home=home, kem=kem)
        made.undo.callback(path.unlink, missing_ok=True)
        if recovery is not None:
            code = made.recovery_code(name, recovery)
            add_enrolment(name, made.factors, [code], home=home)
    kinds = [factor.kind for factor in made.factors]
    data = {
        "member": name,
        "state": str(path),
        "key": None if no_key else str(who.key_file),
        "factors": kinds,
        **made.facts(recovery),
    }
    steps = [f"twinlock member card {name} -o {name}.card"]
    if invitation is not None:
        steps[0] += " --invitation INVITATION"
    terminal.result(
        data,
        done(f"{name} opens with {' and '.join(kinds)}."),
        facts([("state", path), *([] if no_key else [("device key", who.key_file)])]),
        "\nKeep a copy of these files elsewhere: nobody can make them again.\n",
        *made.shown(name, recovery),
        next_steps(*steps),
    )


def _pinned(deployment: str | None, invitation: str | None) -> DeploymentCard | Invitation:
    if invitation is not None and deployment is None:
        return read_invitation(invitation)
    if deployment is not None and invitation is None:
        return read_deployment_card(deployment)
    raise CallerError(
        "member.no-contact",
        "A new member needs the deployment's card or an invitation, one of the two.",
        hint="Get --deployment CARD from `twinlock init`, or --invitation from an admin.",
    )


def enrol_again(
    terminal: Terminal,
    name: NameArgument,
    new_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Make this device key file.")
    ] = None,
    new_passphrase: Annotated[
        bool, typer.Option("--new-passphrase", help="Ask for a new passphrase.")
    ] = False,
    new_passphrase_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Variable with the new passphrase.")
    ] = None,
    new_card: Annotated[
        str | None, typer.Option(metavar="URI", help="Enrol a smart card: its pkcs11: URI.")
    ] = None,
    card_key: CardKeyOption = None,
    new_recovery: RecoveryFileOption = None,
    home: HomeOption = HOME,
    key: KeyOption = None,
    passphrase_env: PassphraseEnvOption = None,
    card: CardOption = None,
    recovery_env: RecoveryEnvOption = None,
) -> None:
    """Give a member a second way in. Nobody else is needed.

    What is new opens by itself: a second device key, a passphrase, a smart card, a recovery code,
    or all together that are named.

    [dim]twinlock member add-enrolment weber --new-key /media/usb/weber.key[/dim]
    """
    who = Who(name, home, key, passphrase_env, card, recovery_env)
    present = factors_of(terminal, who)
    asked = new_passphrase or new_passphrase_env is not None
    wanted = Wanted(
        key=new_key,
        prompt=f"Further passphrase of {name}: " if asked else None,
        passphrase_env=new_passphrase_env,
        card=new_card,
        card_key=card_key,
    )
    if wanted.nothing and new_recovery is None:
        raise CallerError(
            "member.no-factor",
            "Nothing was named that the new enrolment shall open with.",
            hint="Name --new-key, --new-passphrase, --new-card or --new-recovery.",
        )
    with making(terminal, wanted) as made:
        if new_recovery is not None:
            made.factors.append(made.recovery_code(name, new_recovery))
        add_enrolment(name, present, made.factors, home=home)
    kinds = [factor.kind for factor in made.factors]
    data = {"member": name, "factors": kinds, "enrolments": len(locked_state(who).enrolments)}
    terminal.result(
        {**data, **made.facts(new_recovery)},
        done(f"{name} opens with {' and '.join(kinds)} as well."),
        *made.shown(name, new_recovery),
    )
