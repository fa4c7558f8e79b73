"""``twinlock member``: people, on their own computers. Only ``list`` runs on the server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey
from twinlock.agent.member import add_enrolment, create_member
from twinlock.cli.command import command, new_app
from twinlock.cli.member_side import (
    HOME,
    HomeOption,
    KeyOption,
    PassphraseEnvOption,
    Who,
    factors_of,
    locked_state,
    passphrase,
    read_deployment_card,
    read_invitation,
    unlock,
)
from twinlock.cli.messages import OutputOption, read_message, write_message
from twinlock.cli.terminal import Terminal, done, facts, next_steps, table
from twinlock.core.deployment import DeploymentCard
from twinlock.core.factors import EnrollableFactor
from twinlock.core.membership import (
    Invitation,
    MemberCard,
    key_fingerprint,
    log_fingerprint,
)
from twinlock.core.primitives import Kem
from twinlock.errors import CallerError

app = new_app(
    "People: their keys, cards and sessions, on their own computers.\n\n"
    "These commands need neither the token nor the database; only [bold]list[/bold] runs on "
    "the server."
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The member's name.")]
InvitationOption = Annotated[
    str | None,
    typer.Option(metavar="FILE|TEXT", help="The invitation that an admin handed over."),
]


@command(app, "create")
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


@command(app, "add-enrolment")
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


@command(app, "card")
def card(
    terminal: Terminal,
    name: NameArgument,
    output: OutputOption,
    invitation: InvitationOption = None,
    home: HomeOption = HOME,
    key: KeyOption = None,
    passphrase_env: PassphraseEnvOption = None,
) -> None:
    """Write this member's card, for an admin to add; with an invitation, accept it.

    [dim]twinlock member card kim --invitation ward.invite -o kim.card[/dim]
    """
    accepted = None if invitation is None else read_invitation(invitation)
    with unlock(terminal, Who(name, home, key, passphrase_env)) as agent:
        raw = agent.card(accepted)
    write_message(output, raw)
    shown = MemberCard.decode(raw)
    fingerprint = key_fingerprint(shown.member.signing_public)
    group = None if accepted is None else accepted.group_name
    _wrote(
        terminal,
        output,
        {"member": name, "member_id": shown.member.member_id.hex(), "group": group}
        | {"fingerprint": fingerprint},
        facts([("group", group or "(no invitation)"), ("fingerprint", fingerprint)]),
        next_steps(f"twinlock group add {group or 'GROUP'} {output} --as ADMIN     (the admin)"),
    )


@command(app, "hello")
def hello(
    terminal: Terminal,
    name: NameArgument,
    output: OutputOption,
    home: HomeOption = HOME,
    key: KeyOption = None,
    passphrase_env: PassphraseEnvOption = None,
) -> None:
    """Open a session of up to two hours, and write the hello that the server asks with.

    [dim]twinlock member hello weber -o weber.hello[/dim]
    """
    with unlock(terminal, Who(name, home, key, passphrase_env)) as agent:
        raw, groups = agent.hello(keep=True), len(agent.groups)
    write_message(output, raw)
    _wrote(
        terminal,
        output,
        {"member": name, "groups": groups},
        next_steps(
            f"twinlock request --for {output} --table TABLE --ids … -o request.twl     (server)"
            if groups
            else f"twinlock group bundle --for {output} -o {name}.bundle     (server)"
        ),
    )


@command(app, "follow")
def follow(
    terminal: Terminal,
    name: NameArgument,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="From `group bundle`.")],
    home: HomeOption = HOME,
    key: KeyOption = None,
    passphrase_env: PassphraseEnvOption = None,
) -> None:
    """Verify news of this member's groups, and pin the new heads.

    [dim]twinlock member follow kim kim.bundle[/dim]
    """
    raw = read_message(bundle, "group bundle")
    with unlock(terminal, Who(name, home, key, passphrase_env)) as agent:
        agent.follow(raw)
        groups = _groups(agent)
    terminal.result({"member": name, "groups": groups}, done("Verified."), _group_table(groups))


@command(app, "show")
def show(
    terminal: Terminal,
    name: NameArgument,
    home: HomeOption = HOME,
    key: KeyOption = None,
    passphrase_env: PassphraseEnvOption = None,
    locked: Annotated[
        bool, typer.Option("--locked", help="Only what can be said without unlocking.")
    ] = False,
) -> None:
    """Show a member: ways in, groups, pinned heads, fingerprints, counters.

    [dim]twinlock member show weber[/dim]
    """
    who = Who(name, home, key, passphrase_env)
    state = locked_state(who)
    ways = [" and ".join(enrolment.kinds) for enrolment in state.enrolments]
    kems = sorted({enrolment.kem.name for enrolment in state.enrolments})
    data: dict[str, Any] = {
        "member": state.name,
        "member_id": state.member_id.hex(),
        "deployment": state.deployment_id.hex(),
        "enrolments": [list(enrolment.kinds) for enrolment in state.enrolments],
        "keys": kems,
    }
    lines: list[tuple[str, object]] = [
        ("member", state.name),
        ("id", state.member_id.hex()),
        ("deployment", state.deployment_id.hex()),
        ("opens with", "; or ".join(ways)),
        ("keys", ", ".join(kems)),
    ]
    if locked:
        terminal.result(data, facts(lines))
        return
    with unlock(terminal, who) as agent:
        groups, shown = _groups(agent), MemberCard.decode(agent.card())
        status = agent.status()
    fingerprint = key_fingerprint(shown.member.signing_public)
    lines += [("fingerprint", fingerprint), ("releases", status.releases)]
    data |= {"fingerprint": fingerprint, "releases": status.releases, "groups": groups}
    terminal.result(data, facts(lines), *(["", _group_table(groups)] if groups else []))


def _groups(agent: Agent) -> list[dict[str, Any]]:
    status = agent.status()
    return [
        {
            "group": known.state.name,
            "group_id": known.state.group_id.hex(),
            "verified": known.verified,
            "role": _role(agent, known.state.members),
            "seq": known.state.seq,
            "head": known.state.head.hex(),
            "fingerprint": log_fingerprint(known.state.pin),
            "released_this_hour": status.released_this_hour.get(known.state.group_id, 0),
            "budget_per_hour": status.budget_per_hour[known.state.group_id],
        }
        for known in agent.groups
    ]


def _role(agent: Agent, members: Any) -> str:
    membership = members.get(agent.member_id)
    return "none" if membership is None else str(membership.role.value)


def _group_table(groups: Sequence[dict[str, Any]]) -> Any:
    return table(
        ["group", "role", "verified", "entry", "fingerprint", "released/hour"],
        [
            [
                g["group"],
                g["role"],
                "yes" if g["verified"] else "no",
                g["seq"],
                g["fingerprint"],
                f"{g['released_this_hour']} of {g['budget_per_hour']}",
            ]
            for g in groups
        ],
    )


@command(app, "list")
def list_members(terminal: Terminal) -> None:
    """List the members that the groups of this server know, on the server.

    [dim]twinlock member list[/dim]
    """
    from twinlock.cli.server_side import vault

    with vault(terminal) as opened:
        states = list(opened.group_states().values())
    people: dict[bytes, dict[str, Any]] = {}
    for state in sorted(states, key=lambda s: s.name):
        for member_id, membership in state.members.items():
            entry = people.setdefault(
                member_id,
                {"member": membership.member.name, "member_id": member_id.hex(), "groups": {}},
            )
            entry["groups"][state.name] = membership.role.value
    found = sorted(people.values(), key=lambda p: (p["member"], p["member_id"]))
    rows = [
        [p["member"], p["member_id"], ", ".join(f"{g} ({r})" for g, r in p["groups"].items())]
        for p in found
    ]
    terminal.result({"members": found}, table(["member", "id", "groups"], rows))


def _wrote(terminal: Terminal, output: Path, data: dict[str, Any], *shown: Any) -> None:
    """Give the result, unless the message itself went to stdout."""
    if str(output) == "-":
        return
    terminal.result({"output": str(output), **data}, done(f"Wrote {output}"), *shown)
