"""``twinlock member recover``: a member arrives on a computer that knows nothing yet (SPEC 28)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from twinlock.agent.arrival import Arrival
from twinlock.agent.home import FileHome, unused
from twinlock.agent.ways import NewWay
from twinlock.cli.at_hand import Known, choose_way, factors_for
from twinlock.cli.cards import card_named
from twinlock.cli.member.making import Made, Wanted, making
from twinlock.cli.member.online import Acting, Delivery
from twinlock.cli.member.options import NewFactors
from twinlock.cli.member.worth import warn_of
from twinlock.cli.member_side import read_deployment_card
from twinlock.cli.messages import read_message
from twinlock.cli.passkeys import passkey_named
from twinlock.cli.service import Service, reached
from twinlock.cli.terminal import Terminal, done, facts, next_steps
from twinlock.cli.who import NameArgument, Using, Who
from twinlock.core.deployment import DeploymentCard
from twinlock.core.enrolment import decode_enrolment
from twinlock.core.factors import Factor
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.errors import CallerError

ID_SIZE = 16
_RECOVERY = "recovery-code"


def recover(
    terminal: Terminal,
    name: NameArgument,
    deployment: Annotated[
        str, typer.Option(metavar="CARD", help="The deployment's card: its text, or a file.")
    ],
    kept: Annotated[
        Path | None,
        typer.Argument(metavar="BUNDLE", help="From `member bundle`; else a server is asked."),
    ] = None,
    way: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="Id of one way in, if several have the same factors."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Set NAME.member aside, if there is one here.")
    ] = False,
    new: NewFactors = NewFactors(),
    delivery: Delivery = Delivery(),
    using: Using = Using(),
) -> None:
    """Set a member up on an empty computer, with a way in that the server keeps.

    Opens with a recovery code unless another factor is named, or --with says which. The
    deployment's card comes from outside the server: from the page with the recovery code, or from
    an admin. A new way in can be made in the same step.

    [dim]twinlock member recover weber --service https://ward.example/… --deployment card.txt[/dim]

    [dim]twinlock member recover weber weber.bundle --deployment card.txt --new-key weber.key[/dim]
    """
    who, card = Who.of(name, using), read_deployment_card(deployment)
    if who.state_file.exists() and not replace:
        raise CallerError(
            "file.exists",
            f"{who.state_file} exists already: the member is here.",
            hint="Unlock it as usual. To set it up anew, after new keys were made elsewhere: "
            "--replace.",
        )
    with reached(terminal, who.service, name) as service:
        arrived = _arrive(terminal, who, card, kept, _id_of(way), service)
        with _aside(who):
            path = arrived.arrival.settle(arrived.everything, home=who.home)
        agent = arrived.arrival.agent(arrived.everything, kept=FileHome(path))
        with agent:
            acts = Acting(terminal, agent, service, delivery)
            acts.follow()
            made = _new_way(terminal, who, card, new, acts, arrived.kinds)
            warn_of(terminal, agent)
            _show(acts, who, path, arrived.kinds, made)


@dataclass(frozen=True, slots=True)
class _Arrived:
    arrival: Arrival
    kinds: Sequence[str]
    everything: bytes


def _arrive(
    terminal: Terminal,
    who: Who,
    card: DeploymentCard,
    bundle: Path | None,
    enrolment_id: bytes | None,
    service: Service | None,
) -> _Arrived:
    """Unlock one of the enrolments that the server keeps, and get the rest."""
    if bundle is not None:
        shown = read_message(bundle, "member bundle")
    elif service is not None:
        shown = service.bundle(_kinds(who), enrolment_id)
    else:
        raise CallerError(
            "recovery.no-server",
            f"What is kept of {who.name} has to come from somewhere.",
            hint="Name --service URL, or a BUNDLE that an operator wrote with `member bundle`.",
        )
    known = _known(who, card, shown)
    way = choose_way(known, who, online=service is not None)
    factors: list[Factor] = factors_for(way.kinds, terminal, who, known, service)
    arrival = Arrival.begin(shown, factors, deployment=card)
    if bundle is None and service is not None:
        shown = service.full_bundle(arrival.ask())
    return _Arrived(arrival, way.kinds, shown)


def _id_of(way: str | None) -> bytes | None:
    """Read an enrolment's id. Raises CallerError ``enrolment.unknown``."""
    try:
        found = None if way is None else bytes.fromhex(way)
    except ValueError:
        found = b""
    if found is not None and len(found) != ID_SIZE:
        raise CallerError(
            "enrolment.unknown",
            f"{way!r} is no whole id of a way in.",
            hint="`twinlock member factors --json` shows ids of 32 hexadecimal digits.",
        )
    return found


def _kinds(who: Who) -> frozenset[str]:
    """What to ask a server by: the factors that were named, else a recovery code."""
    named = {
        "passphrase": who.passphrase_env,
        "password": who.password_env,
        "scram": who.scram_env,
        "device-key": who.key,
        "smart-card": card_named(who.card),
        "passkey": passkey_named(who.passkey),
        _RECOVERY: who.recovery_env,
    }
    given = frozenset(kind for kind, what in named.items() if what)
    return who.factors or given or frozenset({_RECOVERY})


def _known(who: Who, card: DeploymentCard, bundle: bytes) -> Known:
    shown = decode_member_bundle(bundle)
    if shown.name != who.name:
        raise CallerError(
            "recovery.other-name",
            f"This is what is kept of {shown.name!r}, not of {who.name!r}.",
            hint="Ask the operator for the bundle of the right member.",
        )
    enrolments = [decode_enrolment(blob) for blob in shown.blobs]
    return Known(shown.name, shown.deployment_id, shown.member_id, card, enrolments)


@contextmanager
def _aside(who: Who) -> Iterator[None]:
    """Set a state that is here aside as NAME.member.before; bring it back if the block fails."""
    path = who.state_file
    before = unused(path.with_name(f"{path.name}.before"))
    there = path.exists()
    if there:
        path.replace(before)
    try:
        yield
    except BaseException:
        if there:
            before.replace(path)
        raise


def _new_way(
    terminal: Terminal,
    who: Who,
    card: DeploymentCard,
    new: NewFactors,
    acts: Acting,
    used: Sequence[str],
) -> Made | None:
    """Make the way in that was named; a device key if only paper is left and the person agrees."""
    wanted, way = new.wanted(who, card), new
    if wanted.nothing:
        offered = used == (_RECOVERY,) and sys.stdin.isatty() and not who.key_file.exists()
        if not offered or not terminal.confirm(f"Make a device key, {who.key_file}?"):
            return None
        wanted = Wanted(name=who.name, pinned=card, key=who.key_file)
    with making(terminal, wanted, acts.service) as made:
        acts.agent.ways.enrol(
            NewWay(made.factors, way.label, way.way(made).at_server),
            logins=made.logins,
            logins_of=made.logins_of,
            scram_alone=new.scram_alone,
            sole_passkey=new.sole_passkey,
            send=made.handing_over(acts.send),
        )
    return made


def _show(acts: Acting, who: Who, path: Path, used: Sequence[str], made: Made | None) -> None:
    name = who.name
    data: dict[str, Any] = {
        "member": name,
        "state": str(path),
        "opened_with": list(used),
        "new": None if made is None else made.kinds,
        "enrolments": len(acts.agent.ways.all()),
        "groups": sorted(g.state.name for g in acts.agent.groups if g.verified),
        **({} if made is None else {**made.facts, **acts.delivered}),
    }
    steps = [
        f"twinlock member factors {name}",
        f"twinlock member revoke {name} --lost WAY     (if somebody may have what is lost)",
    ]
    if made is None and tuple(used) == (_RECOVERY,):
        acts.terminal.warn("Only the recovery code opens here: make another way in now.")
        steps.insert(
            0, f"twinlock member enrol {name} --with recovery-code --new-key {who.key_file}"
        )
    acts.terminal.result(
        data,
        done(f"{name} is here, opened with {' and '.join(used)}."),
        facts([("state", path), ("groups", ", ".join(data["groups"]) or "(follow them first)")]),
        *([] if made is None else [*made.shown, *acts.steps()]),
        "",
        next_steps(*steps),
    )
