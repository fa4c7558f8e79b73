"""``twinlock member create | add-enrolment``: a member's keys, and what opens them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twinlock.agent.factors import DeviceKey
from twinlock.agent.member import add_enrolment, create_member
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
    passphrase,
    read_deployment_card,
    read_invitation,
)
from twinlock.cli.terminal import Terminal, done, facts, next_steps
from twinlock.core.deployment import DeploymentCard
from twinlock.core.factors import EnrollableFactor
from twinlock.core.membership import Invitation
from twinlock.core.primitives import Kem
from twinlock.errors import CallerError


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
) -> None:
    """Become a member: make the keys and NAME.member in this folder.

    A device key file is made unless --no-key says otherwise; with a passphrase too, both are
    needed. The card or invitation comes from outside the server: it pins the token.

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
    factors: list[EnrollableFactor] = []
    if with_passphrase or passphrase_env is not None:
        prompt = f"New passphrase of {name}: "
        factors.append(passphrase(terminal, passphrase_env, prompt, confirm=True))
    made = None if no_key else DeviceKey.create(who.key_file)
    try:
        chosen = [*([made] if made else []), *factors]
        kem = Kem.MLKEM768_X25519 if pq else Kem.DHKEM_P256
        path = create_member(name, chosen, deployment=pinned, home=home, kem=kem)
    except BaseException:
        if made is not None:
            made.path.unlink(missing_ok=True)
        raise
    kinds = [factor.kind for factor in chosen]
    data = {
        "member": name,
        "state": str(path),
        "key": None if made is None else str(made.path),
        "factors": kinds,
    }
    steps = [f"twinlock member card {name} -o {name}.card"]
    if invitation is not None:
        steps[0] += " --invitation INVITATION"
    terminal.result(
        data,
        done(f"{name} opens with {' and '.join(kinds)}."),
        facts([("state", path), *([("device key", made.path)] if made else [])]),
        "\nKeep a copy of these files elsewhere: nobody can make them again.\n",
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
    home: HomeOption = HOME,
    key: KeyOption = None,
    passphrase_env: PassphraseEnvOption = None,
) -> None:
    """Give a member a second way in. Nobody else is needed.

    What is new opens by itself: a second device key, a passphrase, or both together.

    [dim]twinlock member add-enrolment weber --new-key /media/usb/weber.key[/dim]
    """
    who = Who(name, home, key, passphrase_env)
    present = factors_of(terminal, who)
    wants_passphrase = new_passphrase or new_passphrase_env is not None
    if new_key is None and not wants_passphrase:
        raise CallerError(
            "member.no-factor",
            "Nothing was named that the new enrolment shall open with.",
            hint="Name --new-key FILE, --new-passphrase, or both.",
        )
    factors: list[EnrollableFactor] = []
    if wants_passphrase:
        prompt = f"Further passphrase of {name}: "
        factors.append(passphrase(terminal, new_passphrase_env, prompt, confirm=True))
    made = None if new_key is None else DeviceKey.create(new_key)
    try:
        chosen = [*([made] if made else []), *factors]
        add_enrolment(name, present, chosen, home=home)
    except BaseException:
        if made is not None:
            made.path.unlink(missing_ok=True)
        raise
    kinds = [factor.kind for factor in chosen]
    data = {"member": name, "factors": kinds, "enrolments": len(locked_state(who).enrolments)}
    terminal.result(data, done(f"{name} opens with {' and '.join(kinds)} as well."))
