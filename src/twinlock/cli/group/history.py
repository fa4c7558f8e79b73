"""A group's log in words: one line for what each entry did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from twinlock.core.membership import (
    Add,
    ColumnState,
    Found,
    Leave,
    MemberRekey,
    NewEpoch,
    Op,
    Policy,
    RecoveryBegin,
    RecoveryCancel,
    Remove,
    Restate,
    SetAdmins,
    SetColumn,
    SetIdentity,
    SetPolicy,
    SetWriters,
    SignedEntry,
)
from twinlock.core.membership.traits import EXCEPTIONS

Names = dict[bytes, str]
"""Member ids and names, as the log gave them so far."""


def describe_log(entries: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return a line for each signed entry of a verified log, from entry 0 on."""
    names: Names = {}
    return [describe_entry(SignedEntry.decode(raw), names) for raw in entries]


def describe_entry(signed: SignedEntry, names: Names) -> dict[str, Any]:
    """Return what an entry did, when, and who signed; ``names`` learns those whom it brings."""
    entry = signed.entry
    if isinstance(entry.op, Found):
        names.update({member.member_id: member.name for member, _ in entry.op.members})
    elif isinstance(entry.op, Add):
        names[entry.op.member.member_id] = entry.op.member.name
    return {
        "seq": entry.seq,
        "time": entry.time,
        "op": entry.op.NAME,
        "actor": _name(names, entry.actor_id),
        "signers": [_name(names, s.member_id) for s in signed.signatures],
        "text": describe_op(entry.op, names),
        "head": signed.head.hex(),
    }


def describe_op(op: Op, names: Mapping[bytes, str]) -> str:
    """Return what an operation does, in words."""
    match op:
        case Found():
            people = ", ".join(f"{member.name} ({role.value})" for member, role in op.members)
            return f"founded {op.name} with {people}; {_signing(op.admin_k)}; {policy(op.policy)}"
        case Add(member, role):
            excepted = member.traits & EXCEPTIONS
            states = f", who states {stated(excepted)}" if excepted else ""
            return f"added {member.name} as {role.value}{states}"
        case Remove(member_id, epoch_key):
            return f"removed {_name(names, member_id)}; epoch {epoch_key.number} began"
        case Leave(epoch_key):
            return f"left; epoch {epoch_key.number} began"
        case NewEpoch(epoch_key):
            return f"began epoch {epoch_key.number}"
        case Restate() | MemberRekey() | RecoveryBegin() | RecoveryCancel():
            return _describe_own(op, names)
        case _:
            return _describe_setting(op, names)


def _describe_own(
    op: Restate | MemberRekey | RecoveryBegin | RecoveryCancel, names: Mapping[bytes, str]
) -> str:
    match op:
        case Restate(traits):
            return f"states {stated(traits)}"
        case MemberRekey():
            began = f"epoch {op.epoch_key.number} began"
            return f"took new keys, states {stated(op.traits)}; {began}"
        case RecoveryBegin(member_id, digest):
            return f"began the recovery {digest.hex()[:16]} of {_name(names, member_id)}"
        case RecoveryCancel(digest):
            return f"cancelled the recovery {digest.hex()[:16]}"


def stated(traits: frozenset[str]) -> str:
    """Return what a member states about the own ways in, in words."""
    return ", ".join(sorted(traits)) or "nothing"


def _describe_setting(
    op: SetAdmins | SetWriters | SetIdentity | SetPolicy | SetColumn, names: Mapping[bytes, str]
) -> str:
    match op:
        case SetAdmins():
            admins = ", ".join(sorted(_name(names, member_id) for member_id in op.admins))
            return f"admins are {admins}; {_signing(op.admin_k)}"
        case SetWriters(writers):
            listed = ", ".join(writer.name for writer in writers) or "nobody"
            return f"writers are {listed}"
        case SetIdentity(fingerprint):
            return f"trusts the token with the identity {fingerprint.hex()}"
        case SetPolicy():
            return f"policy: {policy(op.policy)}"
        case SetColumn(table, column, state):
            if state is ColumnState.CUT_OVER:
                return f"cut over {table}.{column}: its legacy values are refused"
            return f"lets legacy values of {table}.{column} be read"


def policy(value: Policy) -> str:
    """Return a policy in words."""
    suites = ", ".join(sorted(suite.name.lower().replace("_", "-") for suite in value.outer_suites))
    budget = value.budget_per_hour
    said = [
        f"accepts {suites}",
        f"agents {value.agent_placement.value}",
        "no budget" if budget is None else f"{budget} records an hour",
    ]
    said += ["a click for each release"] if value.click_each else []
    said += ["quantum-safe at rest"] if value.pq_at_rest else []
    said += [f"takes {trait}" for trait in sorted(value.exceptions)]
    return ", ".join(said)


def policy_facts(value: Policy) -> dict[str, Any]:
    """Return a policy for programs."""
    return {
        "outer_suites": sorted(suite.name for suite in value.outer_suites),
        "agent_placement": value.agent_placement.value,
        "budget_per_hour": value.budget_per_hour,
        "click_each": value.click_each,
        "pq_at_rest": value.pq_at_rest,
        "exceptions": sorted(value.exceptions),
    }


def moment(seconds: int) -> str:
    """Return a time as ISO 8601 in UTC, or the number where it is no time of this calendar."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _signing(admin_k: int) -> str:
    return "one admin signs" if admin_k == 1 else f"{admin_k} admins sign together"


def _name(names: Mapping[bytes, str], member_id: bytes) -> str:
    return names.get(member_id) or member_id.hex()
