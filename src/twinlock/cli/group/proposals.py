"""Proposal files: signed entries on their way to the server, or to another admin's signature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from twinlock.cli.messages import MAX_MESSAGE, label_of, read_message, write_message
from twinlock.core import cbor
from twinlock.core.membership import GroupState, SignedEntry, required_admins
from twinlock.core.proposal import Proposal, decode_proposal
from twinlock.errors import CallerError

_PROPOSALS: Final = "twinlock/v1/proposals"
_MAX_PROPOSALS: Final = 16


def write_proposals(path: Path, proposals: Sequence[Proposal]) -> None:
    """Write proposals that are appended in this order."""
    write_message(path, cbor.encode([_PROPOSALS, [p.encode() for p in proposals]]))


def read_proposals(path: Path) -> list[Proposal]:
    """Read a file of proposals, or a single encoded one. Raises ``message.*`` or ``format.*``."""
    data = read_message(path, "proposal")
    if label_of(data) != _PROPOSALS:
        return [decode_proposal(data)]
    _, items = cbor.decode_labelled(data, _PROPOSALS, 2, max_size=MAX_MESSAGE)
    return [
        decode_proposal(cbor.take_bytes(item)) for item in cbor.take_list(items, 1, _MAX_PROPOSALS)
    ]


def signatures_missing(state: GroupState, proposal: Proposal) -> int:
    """Return how many more admins have to sign a proposal that continues ``state``."""
    signed = SignedEntry.decode(proposal.signed_entry)
    admins = {s.member_id for s in signed.signatures} & state.admins
    return max(0, required_admins(state, signed.entry.op) - len(admins))


def require_signatures(state: GroupState, proposal: Proposal) -> None:
    """Refuse to append what needs more signatures. Raises ``group.cosign-needed``."""
    missing = signatures_missing(state, proposal)
    if missing:
        raise CallerError(
            "group.cosign-needed",
            f"Group {state.name} needs {missing} more admin(s) to sign this.",
            hint="Write it with --propose FILE; the others run `twinlock group cosign FILE`, "
            "then `twinlock group append FILE` on the server.",
        )
