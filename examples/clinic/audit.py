"""The page of who released what, from Twinlock's signed audit chain.

Each line holds a release as its member signed it. It names DEKs; the clinic looks up which patient
each of them belongs to now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from examples.clinic.models import Patient
from twinlock.core.audit import decode_line
from twinlock.core.envelope import decode_row_head, decode_value
from twinlock.core.release import ReleaseMessage, decode_release, split_signed
from twinlock.errors import DataError
from twinlock.integrations.rows import row_source
from twinlock.server.records import SealedRow, Stored
from twinlock.server.vault import Vault

NEWEST: Final = 60
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A line of the page, in words. ``member_id`` is None where the line has no release."""

    seq: int
    time: str
    member_id: bytes | None
    member: str
    records: str
    outcome: str

    def fields(self) -> Mapping[str, object]:
        """Return what audit_row.html shows."""
        return {
            "seq": self.seq,
            "time": self.time,
            "member": self.member,
            "records": self.records,
            "outcome": self.outcome,
        }


def newest_lines(vault: Vault, patients: Mapping[bytes, str]) -> list[AuditRow]:
    """Return the newest lines, newest first. ``patients`` maps DEK ids to names."""
    members = {
        member_id: membership.member.name
        for state in vault.group_states().values()
        for member_id, membership in state.members.items()
    }
    tail = vault.store.audit.tail().next_seq
    stored = vault.store.audit.lines(max(0, tail - NEWEST))
    rows = [_row(entry.line, members, patients) for entry in stored]
    return rows[::-1]


def names_by_dek(patients: Iterable[Patient]) -> dict[bytes, str]:
    """Return which patient each DEK belongs to now; of what was rewritten since, nothing."""
    return {
        dek_id: patient.name
        for patient in patients
        for _, stored in row_source(patient).items()
        for dek_id in _dek_ids(stored)
    }


def _dek_ids(stored: Stored) -> list[bytes]:
    """The DEKs that one stored item names; a damaged one names none."""
    try:
        match stored:
            case SealedRow():
                return [decode_row_head(stored.head).core.dek_id]
            case bytes():
                return [decode_value(stored)[0].core.dek_id]
    except DataError:
        return []
    return []


def _row(raw: bytes, members: Mapping[bytes, str], patients: Mapping[bytes, str]) -> AuditRow:
    line = decode_line(raw)
    time = datetime.fromtimestamp(line.time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if not line.release:
        return AuditRow(line.seq, time, None, "—", "—", line.outcome)
    release = decode_release(split_signed(line.release)[0])
    name = members.get(release.member_id, release.member_id.hex())
    records = _records(release, patients)
    return AuditRow(line.seq, time, release.member_id, name, records, line.outcome)


def _records(release: ReleaseMessage, patients: Mapping[bytes, str]) -> str:
    found = Counter(patients.get(item.dek_id, "since rewritten") for item in release.items)
    names = list(found)
    shown = "; ".join(names[:_SHOWN])
    more = f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    count = len(release.items)
    return f"{count} DEK{'s' if count > 1 else ''}: {shown}{more}"
