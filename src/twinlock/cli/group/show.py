"""``twinlock group list | show | log``: what the server knows, verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twinlock.cli.group.acting import GroupArgument
from twinlock.cli.group.history import describe_log, moment, policy, policy_facts
from twinlock.cli.server_side import vault
from twinlock.cli.terminal import Terminal, facts, table
from twinlock.core.membership import GroupState, log_fingerprint
from twinlock.errors import CallerError

if TYPE_CHECKING:
    from twinlock.server.vault import Vault


def list_groups(terminal: Terminal) -> None:
    """List the groups of the store, and which of them this server trusts.

    [dim]twinlock group list[/dim]
    """
    with vault(terminal) as opened:
        trusted = opened.group_states()
        stored = opened.store.log.groups()
    groups: list[dict[str, Any]] = []
    for group in sorted(stored, key=lambda g: g.name):
        state = trusted.get(group.group_id)
        groups.append(
            {
                "group": group.name,
                "group_id": group.group_id.hex(),
                "trusted": state is not None,
                "members": None if state is None else len(state.members),
                "epoch": None if state is None else state.current_epoch.number,
                "seq": None if state is None else state.seq,
            }
        )
    columns = ["group", "trusted", "members", "epoch", "entry", "id"]
    rows = [
        [
            g["group"],
            "yes" if g["trusted"] else "no",
            g["members"],
            g["epoch"],
            g["seq"],
            g["group_id"],
        ]
        for g in groups
    ]
    terminal.result({"groups": groups}, table(columns, rows) if rows else "No groups yet.")


def show(terminal: Terminal, name: GroupArgument) -> None:
    """Show a group: members, writers, policy, and the fingerprint to compare by phone.

    [dim]twinlock group show ward[/dim]
    """
    with vault(terminal) as opened:
        state = trusted_group(opened, name)
        mine = _own_writer_kid(opened)
    warnings = warnings_about(state, mine)
    members = [
        {
            "member": m.member.name,
            "member_id": member_id.hex(),
            "role": m.role.value,
            "since": m.since_seq,
            "keys": m.member.kem.name,
            "states": sorted(m.member.traits),
        }
        for member_id, m in sorted(state.members.items(), key=lambda item: item[1].member.name)
    ]
    writers = [
        {"writer": w.name, "public": w.public.hex(), "own": w.kid == mine}
        for w in state.writers.values()
    ]
    data = {
        "group": state.name,
        "group_id": state.group_id.hex(),
        "seq": state.seq,
        "head": state.head.hex(),
        "fingerprint": log_fingerprint(state.pin),
        "epoch": state.current_epoch.number,
        "kem": state.current_epoch.kem.name,
        "admin_k": state.admin_k,
        "policy": policy_facts(state.policy),
        "recovery": None if state.recovery is None else state.recovery.hex(),
        "members": members,
        "writers": writers,
        "notes": warnings,
    }
    for warning in warnings:
        terminal.warn(warning)
    terminal.result(data, *_shown(state, members, writers))


def _shown(
    state: GroupState, members: list[dict[str, Any]], writers: list[dict[str, Any]]
) -> list[Any]:
    heading = facts(
        [
            ("group", state.name),
            ("id", state.group_id.hex()),
            ("entry", state.seq),
            ("head", state.head.hex()),
            ("fingerprint", log_fingerprint(state.pin)),
            ("epoch", f"{state.current_epoch.number} ({state.current_epoch.kem.name})"),
            ("policy", policy(state.policy)),
            ("signing", f"{state.admin_k} of {len(state.admins)} admin(s)"),
        ]
    )
    people = table(
        ["member", "role", "since entry", "keys", "states", "id"],
        [
            [m["member"], m["role"], m["since"], m["keys"], ", ".join(m["states"]), m["member_id"]]
            for m in members
        ],
    )
    authors = table(
        ["writer", "", "public key"],
        [[w["writer"], "(this one)" if w["own"] else "", w["public"]] for w in writers],
    )
    return [heading, "", people, *(["", authors] if writers else [])]


def warnings_about(state: GroupState, writer_kid: bytes | None) -> list[str]:
    """Return what an admin of this group should do something about."""
    said = []
    if len(state.members) < 2 and state.recovery is None:
        said.append(f"{state.name} has fewer than two openers: a lost key would lose its records.")
    if state.needs_new_epoch:
        said.append(
            f"The present key of {state.name} was made by somebody who left: "
            f"run `twinlock group new-epoch {state.name} --as ADMIN`."
        )
    if writer_kid is not None and writer_kid not in state.writers:
        said.append(
            f"{state.name} does not name this application as a writer: "
            f"run `twinlock group set-writers {state.name} --as ADMIN`."
        )
    return said


def log(terminal: Terminal, name: GroupArgument) -> None:
    """Show a group's history, verified against its pin and the token's countersignatures.

    [dim]twinlock group log ward[/dim]
    """
    with vault(terminal) as opened:
        state = trusted_group(opened, name)
        stored = opened.store.log.entries(state.group_id)
    entries = describe_log(e.signed_entry for e in stored if e.seq <= state.seq)
    rows = [
        [e["seq"], moment(e["time"]), " + ".join(e["signers"]), e["text"], e["head"][:16]]
        for e in entries
    ]
    terminal.result(
        {"group": state.name, "entries": entries},
        table(["entry", "time", "signed by", "what", "head"], rows),
    )


def trusted_group(vault: Vault, name: str) -> GroupState:
    """Return a trusted group's state by name or id. Raises ``group.unknown``."""
    for state in vault.group_states().values():
        if name in (state.name, state.group_id.hex()):
            return state
    raise CallerError(
        "group.unknown",
        f"This server trusts no group {name!r}.",
        hint="See `twinlock group list`; trust one with `twinlock group trust`.",
    )


def _own_writer_kid(vault: Vault) -> bytes | None:
    from twinlock.server.setup import read_writer_key

    key = read_writer_key(vault.config.writer_key)
    return None if key is None else key.kid
