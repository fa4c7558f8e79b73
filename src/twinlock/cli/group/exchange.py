"""``twinlock group bundle | append | cosign | trust``: what passes between agents and server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twinlock.cli.group.acting import BundleOption, GroupArgument, followed_group
from twinlock.cli.group.history import describe_entry
from twinlock.cli.group.proposals import (
    read_proposals,
    require_signatures,
    signatures_missing,
    write_proposals,
)
from twinlock.cli.member_side import unlock
from twinlock.cli.messages import OutputOption, read_message, write_message
from twinlock.cli.server_side import vault
from twinlock.cli.terminal import Terminal, done, facts, next_steps
from twinlock.cli.who import AsOption, Using, Who
from twinlock.core.membership import GroupState, PinnedHead, SignedEntry, log_fingerprint
from twinlock.errors import CallerError

ProposalArgument = Annotated[Path, typer.Argument(metavar="PROPOSAL", help="A proposal file.")]


def bundle(
    terminal: Terminal,
    hello: Annotated[Path, typer.Option("--for", metavar="HELLO", help="The member's hello.")],
    output: OutputOption,
) -> None:
    """Write the news of a member's groups for its agent, on the server.

    [dim]twinlock group bundle --for kim.hello -o kim.bundle[/dim]
    """
    said = read_message(hello, "hello")
    with vault(terminal) as opened:
        raw = opened.group_bundle(said)
    write_message(output, raw)
    if str(output) != "-":
        step = f"twinlock member follow NAME {output}     (the member)"
        terminal.result(
            {"output": str(output), "bytes": len(raw)}, done(f"Wrote {output}"), next_steps(step)
        )


def append(terminal: Terminal, proposal: ProposalArgument) -> None:
    """Verify a proposal, have the token countersign it, and append it, on the server.

    [dim]twinlock group append add-kim.proposal[/dim]
    """
    proposals = read_proposals(proposal)
    entries = []
    with vault(terminal) as opened:
        for item in proposals:
            signed = SignedEntry.decode(item.signed_entry)
            before = opened.group_states().get(signed.entry.group_id)
            if before is not None:
                require_signatures(before, item)
            state = opened.append(item)
            names = {i: m.member.name for i, m in (before or state).members.items()}
            entries.append({"group": state.name, **describe_entry(signed, names)})
    data = {
        "group": state.name,
        "group_id": state.group_id.hex(),
        "entries": entries,
        "seq": state.seq,
        "head": state.head.hex(),
        "epoch": state.current_epoch.number,
    }
    terminal.result(data, *(done(f"{e['group']}: {e['text']}.") for e in entries))


def cosign(
    terminal: Terminal,
    proposal: ProposalArgument,
    as_member: AsOption,
    bundle: BundleOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Sign without asking.")] = False,
    using: Using = Using(),
) -> None:
    """Look at another admin's proposal, and add this admin's signature to it.

    [dim]twinlock group cosign policy.proposal --as kim[/dim]
    """
    items = read_proposals(proposal)
    with unlock(terminal, Who.of(as_member, using)) as agent:
        if bundle is not None:
            agent.follow(read_message(bundle, "group bundle"))
        entries = []
        for item in items:
            signed = SignedEntry.decode(item.signed_entry)
            group = followed_group(agent, signed.entry.group_id.hex())
            _require_next(group, signed)
            names = {i: m.member.name for i, m in group.members.items()}
            entries.append({"group": group.name, **describe_entry(signed, names)})
        for entry in entries:
            terminal.say(f"{entry['group']}: {entry['actor']} proposes: {entry['text']}.")
        if not yes and not terminal.confirm("Sign this?"):
            raise CallerError(
                "group.not-signed", "Nothing was signed.", hint="Answer y, or give --yes."
            )
        more = [agent.admin.cosign(item) for item in items]
    write_proposals(proposal, more)
    missing = signatures_missing(group, more[-1])
    data = {"proposal": str(proposal), "entries": entries, "signatures_missing": missing}
    terminal.result(
        data,
        done(f"Signed {proposal}; {missing or 'no'} more signature(s) needed."),
        next_steps(f"twinlock group append {proposal}     (server)"),
    )


def _require_next(group: GroupState, signed: SignedEntry) -> None:
    if (signed.entry.seq, signed.entry.prev) != (group.seq + 1, group.head):
        raise CallerError(
            "group.log-moved",
            f"This proposal does not go on where {group.name} stands for this agent.",
            hint="Follow the newest bundle (--bundle FILE); then it has to be proposed anew.",
        )


def trust(
    terminal: Terminal,
    name: GroupArgument,
    seq: Annotated[int, typer.Option(metavar="N", help="The entry's number.")],
    head: Annotated[str, typer.Option(metavar="HEX", help="The head after that entry.")],
) -> None:
    """Trust a group that others founded, from a head compared with one of its admins.

    [dim]twinlock group trust ward --seq 4 --head 5b…[/dim]
    """
    with vault(terminal) as opened:
        group_id = opened.store.log.group_by_name(name)
        if group_id is None:
            raise CallerError(
                "group.unknown", f"The store has no group {name!r}.", hint="Check the name."
            )
        state = opened.trust_group(PinnedHead(group_id, seq, _head(head)))
    fingerprint = log_fingerprint(state.pin)
    data = {"group": state.name, "group_id": state.group_id.hex(), "seq": state.seq}
    terminal.result(
        {**data, "fingerprint": fingerprint},
        done(f"This server trusts {state.name}, at entry {state.seq}."),
        facts([("fingerprint", fingerprint)]),
    )


def _head(value: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except ValueError as error:
        raise CallerError(
            "group.head", "The head is not in hexadecimal.", hint="Copy all of its 64 digits."
        ) from error
