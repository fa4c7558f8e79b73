"""``twinlock group found``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from twinlock.agent.agent import Agent
from twinlock.cli.group.acting import ProposeOption, followed_group, parse_writers
from twinlock.cli.group.exceptions import (
    AllowScramAlone,
    AllowSolePasskey,
    changed_exceptions,
)
from twinlock.cli.group.history import describe_entry
from twinlock.cli.group.proposals import write_proposals
from twinlock.cli.member_side import unlock, unlock_beside
from twinlock.cli.messages import read_message
from twinlock.cli.server_side import vault
from twinlock.cli.terminal import Terminal, done, next_steps
from twinlock.cli.who import AsOption, Using, Who
from twinlock.core.membership import GroupState, Policy, Role, SignedEntry, Writer, replay
from twinlock.core.primitives import Kem
from twinlock.core.proposal import Proposal
from twinlock.errors import CallerError

KEMS = {"dhkem-p256": Kem.DHKEM_P256, "mlkem768-x25519": Kem.MLKEM768_X25519}


def found(
    terminal: Terminal,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new group's name.")],
    as_member: AsOption,
    kem: Annotated[
        str, typer.Option(metavar="KEM", help="dhkem-p256, or mlkem768-x25519 (quantum-safe).")
    ] = "dhkem-p256",
    budget: Annotated[
        int | None,
        typer.Option(metavar="N", help="Records an agent releases by itself in an hour."),
    ] = None,
    click_each: Annotated[
        bool, typer.Option("--click-each", help="Ask the member for every release.")
    ] = False,
    allow_scram_alone: AllowScramAlone = None,
    allow_sole_passkey: AllowSolePasskey = None,
    admin_k: Annotated[
        int, typer.Option(metavar="K", help="Admins who must sign a change together.")
    ] = 1,
    admin: Annotated[
        list[Path] | None,
        typer.Option(metavar="CARD", help="Another founding admin's card, compared by phone."),
    ] = None,
    recovery: Annotated[
        str | None,
        typer.Option(metavar="GROUP", help="The group that can open when this one cannot."),
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SUITE",
            help="Accepted outer suites; default: those of the configuration.",
        ),
    ] = None,
    writer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=HEX", help="Another writer; with --propose the only ones."),
    ] = None,
    propose: ProposeOption = None,
    using: Using = Using(),
) -> None:
    """Found a group, with the acting member as admin and this configuration as writer.

    [dim]twinlock group found ward --as weber --budget 500[/dim]
    """
    chosen = KEMS.get(kem)
    if chosen is None:
        raise CallerError("group.kem", f"There is no KEM {kem!r}.", hint=f"Use {', '.join(KEMS)}.")
    cards = [(read_message(path, "member card"), Role.ADMIN) for path in admin or []]
    who = Who.of(as_member, using)
    named = parse_writers(writer or [])
    exceptions = changed_exceptions(
        frozenset(), scram_alone=allow_scram_alone, sole_passkey=allow_sole_passkey
    )

    def make(agent: Agent, accepted: Sequence[str], writers: Sequence[Writer]) -> list[Proposal]:
        from twinlock.server.config import accept_suites

        policy = Policy(
            outer_suites=accept_suites(list(accepted)),
            budget_per_hour=budget,
            click_each=click_each,
            pq_at_rest=chosen is Kem.MLKEM768_X25519,
            exceptions=exceptions,
        )
        return agent.admin.found(
            name,
            policy,
            others=cards,
            writers=writers,
            kem=chosen,
            admin_k=admin_k,
            recovery=None if recovery is None else _group_id(agent, recovery),
        )

    if propose is not None:
        with unlock(terminal, who) as agent:
            proposals = make(agent, suite or ["rsa-oaep", "token-aes"], named)
        write_proposals(propose, proposals)
        _show_proposed(terminal, propose, proposals)
        return
    state = _found_at_once(terminal, who, name, suite, named, make)
    _show(terminal, who, state)


Make = Callable[[Agent, Sequence[str], Sequence[Writer]], list[Proposal]]


def _found_at_once(
    terminal: Terminal,
    who: Who,
    name: str,
    suite: Sequence[str] | None,
    named: Sequence[Writer],
    make: Make,
) -> GroupState:
    with vault(terminal) as opened, unlock_beside(terminal, who, opened) as agent:
        from twinlock.server.config import suite_names
        from twinlock.server.setup import read_writer_key, writer_of

        if opened.store.log.group_by_name(name) is not None:
            raise CallerError(
                "group.name-taken",
                f"There is a group named {name!r} already.",
                hint="Choose another name, or trust it with `twinlock group trust`.",
            )
        # Connected before the agent founds: a group that cannot be appended would stay with it.
        _ = opened.token
        mine = (
            [] if read_writer_key(opened.config.writer_key) is None else [writer_of(opened.config)]
        )
        accepted = suite or suite_names(opened.config.accept)
        states = [opened.append(p) for p in make(agent, accepted, [*mine, *named])]
        agent.follow(opened.group_bundle(agent.hello()))
    return states[-1]


def _group_id(agent: Agent, group: str) -> bytes:
    return followed_group(agent, group).group_id


def _show(terminal: Terminal, who: Who, state: GroupState) -> None:
    data = {
        "group": state.name,
        "group_id": state.group_id.hex(),
        "appended": True,
        "seq": state.seq,
        "head": state.head.hex(),
        "epoch": state.current_epoch.number,
    }
    if len(state.members) < 2:
        terminal.warn(
            f"{state.name} has one opener: a lost key would lose its records. Add a second one."
        )
    terminal.result(
        data,
        done(f"Founded {state.name} ({state.group_id.hex()})."),
        next_steps(
            f"twinlock group invite {state.name} --as {who.name} -o {state.name}.invite",
            f"twinlock seal --csv FILE --id COLUMN --columns A,B --to {state.name}",
        ),
    )


def _show_proposed(terminal: Terminal, path: Path, proposals: Sequence[Proposal]) -> None:
    names: dict[bytes, str] = {}
    signed = [SignedEntry.decode(p.signed_entry) for p in proposals]
    entries = [describe_entry(entry, names) for entry in signed]
    founded = replay([signed[0].encode()], deployment_id=signed[0].entry.deployment_id)
    data = {
        "group": founded.name,
        "group_id": founded.group_id.hex(),
        "appended": False,
        "entries": entries,
        "proposal": str(path),
    }
    terminal.result(
        data,
        done(f"Proposed in {path}: {founded.name} ({founded.group_id.hex()})."),
        next_steps(f"twinlock group append {path}     (server)"),
    )
