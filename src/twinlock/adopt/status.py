"""How far an adoption is: told by the rows, beside it what runs noted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection

from twinlock.adopt import jobs
from twinlock.adopt.jobs import Finding, Run
from twinlock.adopt.levels import ColumnLevels, any_legacy, count_levels, is_adopted
from twinlock.adopt.settings import Source
from twinlock.adopt.tables import AppTable
from twinlock.core.adopted import decode_adopted
from twinlock.core.ports import DekOrigin
from twinlock.errors import DataError

RUNNING_SECONDS: Final = 15
"""A run that gave no sign of life for so long does not run any more."""


@dataclass(frozen=True, slots=True)
class TableStatus:
    """One table. ``left``: rows of which some column is legacy; ``states``: signed, per column.

    ``host_dek``: rows whose DEK was in host memory while it was adopted, None if not counted.
    """

    name: str
    levels: Mapping[str, ColumnLevels]
    left: int
    host_dek: int | None
    findings: Sequence[Finding]
    last_run: Run | None
    states: Mapping[str, str]

    @property
    def unknown_groups(self) -> Sequence[str]:
        """The keys of rows for which no group is known."""
        return [f.key for f in self.findings if f.code == "adopt.unknown-group"]

    def facts(self, now: int) -> dict[str, Any]:
        """Return it for programs."""
        run = self.last_run
        return {
            "table": self.name,
            "columns": {name: asdict(levels) for name, levels in self.levels.items()},
            "states": dict(self.states),
            "rows_left": self.left,
            "rows_host_dek": self.host_dek,
            "unknown_groups": list(self.unknown_groups),
            "findings": [asdict(finding) for finding in self.findings],
            "last_run": None if run is None else run_facts(run, now),
        }


def run_facts(run: Run, now: int) -> dict[str, Any]:
    """Return a run for programs."""
    return {
        "mode": run.mode.value,
        "started": run.started,
        "ended": run.ended,
        "state": run_state(run, now),
        "workers": run.workers,
        "adopted": run.counts.adopted,
        "failed": run.counts.failed,
        "host_dek": run.counts.host_dek,
        "rows_per_second": round(run.rate, 1),
    }


def run_state(run: Run, now: int) -> str:
    """Return ``ended``, ``running``, or ``interrupted`` for one that was killed."""
    if run.ended is not None:
        return "ended"
    return "running" if now - run.updated < RUNNING_SECONDS else "interrupted"


def table_status(
    connection: Connection, table: AppTable, states: Mapping[str, str], *, every_head: bool
) -> TableStatus:
    """Look at one table. ``every_head`` reads all adopted heads to count DEKs in host memory."""
    runs = jobs.all_runs(connection, table.name)
    counted = every_head or any(run.counts.host_dek for run in runs)
    return TableStatus(
        name=table.name,
        levels=count_levels(connection, table),
        left=table.count(connection, any_legacy(table)),
        host_dek=count_host_dek(connection, table) if counted else None,
        findings=jobs.all_findings(connection, table.name),
        last_run=runs[-1] if runs else None,
        states={name: s for name, s in states.items() if name.rpartition(".")[0] == table.name},
    )


def count_host_dek(
    connection: Connection, table: AppTable, on_row: Callable[[int], None] = lambda _: None
) -> int:
    """Count adopted rows that say that their DEK was in host memory.

    Rows that were resealed from the token's DEKs, from plaintext or from Fernet are not among
    them: their content itself was in host memory, and their DEK is a new one.
    """
    found: Counter[DekOrigin | None] = Counter()
    target = table.settings.target
    for row in table.rows(connection, is_adopted(table), columns=[target]):
        try:
            found[decode_adopted(bytes(row[target])).origin] += 1
        except DataError:
            found[None] += 1
        on_row(1)
    return found[DekOrigin.HOST]


def content_was_exposed(table: AppTable) -> bool:
    """Tell whether a table's old columns hold what anybody with the database can read."""
    return table.settings.source is Source.PLAINTEXT
