"""The report of an adoption: what was done, at which level everything is, what stays exposed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from twinlock.adopt import jobs
from twinlock.adopt.jobs import Run
from twinlock.adopt.old_keys import OldKey, old_keys
from twinlock.adopt.settings import Source
from twinlock.adopt.site import Site
from twinlock.adopt.status import TableStatus, run_facts, run_state

_NAMED: Final = 50


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is reported, at the time ``now``."""

    now: int
    tables: Sequence[TableStatus]
    runs: Sequence[Run]
    keys: Sequence[OldKey]
    exposed: Sequence[str]

    @classmethod
    def of(cls, site: Site, tables: Sequence[TableStatus], now: int) -> Self:
        """Put a report together. Raises EnvError."""
        with site.database.read() as connection:
            runs = [run for one in site.tables for run in jobs.all_runs(connection, one.name)]
        keys = old_keys(site)
        return cls(now, tables, runs, keys, _exposed(site, tables, keys))

    def facts(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "time": self.now,
            "tables": [one.facts(self.now) for one in self.tables],
            "runs": [{"table": run.table, **run_facts(run, self.now)} for run in self.runs],
            "old_keys": [key.facts() for key in self.keys],
            "exposed": list(self.exposed),
        }

    def markdown(self) -> str:
        """Return it for people."""
        parts = [
            f"# Adoption, {_moment(self.now)}",
            "## Levels",
            _table(
                ("table", "column", "signed", "legacy", "rewrapped", "native", "empty"),
                [
                    (s.name, c, s.states[f"{s.name}.{c}"], x.legacy, x.rewrapped, x.native, x.empty)
                    for s in self.tables
                    for c, x in s.levels.items()
                ],
            ),
            "## DEKs in host memory",
            _table(("table", "rows"), [(s.name, s.host_dek or 0) for s in self.tables]),
            "## Runs",
            _table(
                ("table", "mode", "began", "state", "workers", "rows", "left alone", "rows/s"),
                [
                    (
                        *(run.table, run.mode.value, _moment(run.started)),
                        *(run_state(run, self.now), run.workers, run.counts.adopted),
                        *(run.counts.failed, f"{run.rate:.0f}"),
                    )
                    for run in self.runs
                ],
            ),
            "## Rows left alone",
            _table(
                ("table", "row", "why"),
                [
                    (s.name, f.key, f"{f.message} ({f.code})")
                    for s in self.tables
                    for f in s.findings
                ],
            ),
            "## Old keys",
            _table(("key", "where"), [(key.name, key.where) for key in self.keys]),
            "## What stays exposed",
            "\n".join(f"- {line}" for line in self.exposed)
            or "- Nothing that this server can see.",
        ]
        return "\n\n".join(parts) + "\n"


def _exposed(site: Site, tables: Sequence[TableStatus], keys: Sequence[OldKey]) -> list[str]:
    lines = [
        f"The old key {key.name} is in the token: old backups, and rows that are legacy, open with "
        "it and no member. The claim begins when it has left the token and its backups."
        for key in keys
        if key.in_token
    ]
    for status, table in zip(tables, site.tables, strict=True):
        if status.left:
            lines.append(f"{status.left} row(s) of {status.name} are legacy.")
        if status.host_dek:
            lines.append(
                f"The DEKs of {status.host_dek} row(s) of {status.name} were in this host's memory "
                "when they were rewrapped; whoever watched it then may have kept them."
            )
        there = [c.name for c in table.settings.columns if c.content not in table.gone]
        if table.settings.source is not Source.HSM and there:
            lines.append(
                f"The old content of {status.name} ({', '.join(there)}) lies beside the new one "
                "until `twinlock adopt contract`, and in backups for as long as they are kept."
            )
    return lines


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return "None."
    shown = [[_cell(value) for value in row] for row in rows[:_NAMED]]
    more = [[f"and {len(rows) - _NAMED} more", *[""] * (len(columns) - 1)]]
    lines = [list(columns), ["---"] * len(columns), *shown, *(more if len(rows) > _NAMED else [])]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`").replace("<", "&lt;")


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
