"""What the demo's chapters share: the source table, the world, and what was claimed and seen."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from twinlock.agent.agent import Agent
from twinlock.cli.demo_world import DemoWorld
from twinlock.core.context import Context, record_bytes
from twinlock.errors import CallerError, TwinlockError
from twinlock.server.records import SealedRow
from twinlock.store.values import SealedRow as StoredRow

TABLE: Final = "patient"
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A CSV file: its rows, the column that identifies them, and the columns to seal."""

    rows: list[dict[str, str]]
    key: str
    sealed: tuple[str, ...]


def read_table(path: Path) -> SourceTable:
    """Read a CSV file with a header; the first column without repeats is the key.

    Raises CallerError ``demo.table``.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CallerError(
            "demo.table",
            f"{path} cannot be read as CSV: {error}.",
            hint="Give a CSV file in UTF-8 with a header line.",
        ) from error
    columns = list(rows[0]) if rows else []
    key = next((c for c in columns if len({r[c] for r in rows}) == len(rows)), None)
    if key is None or len(columns) < 2 or any(None in row.values() for row in rows):
        raise CallerError(
            "demo.table",
            f"{path} has no column that identifies its rows, or nothing else to seal.",
            hint="Give a CSV file with a header line and a unique column.",
        )
    sealed = tuple(c for c in columns if c in ("finding", "outcome"))
    return SourceTable(rows, key, sealed or tuple(c for c in columns if c != key))


@dataclass(slots=True)
class Stage:
    """One run: its world, its table, the releases that passed and the checks so far."""

    console: Console
    world: DemoWorld
    source: SourceTable
    checks: list[tuple[str, str, bool]] = field(default_factory=list)
    releases: list[bytes] = field(default_factory=list)

    def check(self, what: str, seen: str, held: bool) -> None:
        """Note what was claimed, what was seen, and whether it held."""
        self.checks.append((what, seen, held))

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Say what is being done while the block runs."""
        with self.console.status(f"{what} …"):
            yield

    def open_rows(self, agent: Agent, rows: Sequence[dict[str, str]]) -> tuple[int, int]:
        """Have a member open sealed rows; returns how many equal the source, and of how many."""
        equal = 0
        for start in range(0, len(rows), _PAGE):
            page = rows[start : start + _PAGE]
            items = [(self.context(row), self.stored(row)) for row in page]
            request = self.world.vault.request(items, purpose="ward round")
            release = agent.release(request, expect=[context for context, _ in items])
            self.releases.append(release.to_bytes())
            opened = self.world.vault.open(request, release)
            equal += sum(
                o.ok and all(o.text(c).reveal() == row[c] for c in self.source.sealed)
                for o, row in zip(opened, page, strict=True)
            )
        return equal, len(rows)

    def context(self, row: dict[str, str]) -> Context:
        """Return the context of a row of the source."""
        return Context(table=TABLE, record=row[self.source.key])

    def stored_context(self, row: StoredRow) -> bytes:
        """Return the encoded context of a row as it lies in the database."""
        context = Context(table=TABLE, record=row.record_id.decode())
        return context.encode(self.world.config.deployment_id)

    def stored(self, row: dict[str, str]) -> SealedRow:
        """Return a row of the source as it was sealed. Raises CallerError ``demo.row``."""
        found = self.world.vault.store.records.row(TABLE, record_bytes(row[self.source.key]))
        if found is None:
            raise CallerError("demo.row", "A sealed row is missing.", hint="Run the demo again.")
        return SealedRow(found.head, found.cells)

    def print(self) -> None:
        """Print all checks as a table."""
        table = Table(title="What happened", title_justify="left", expand=False)
        table.add_column("What was done")
        table.add_column("What was seen")
        table.add_column("Held")
        for what, seen, held in self.checks:
            table.add_row(what, seen, "[green]yes[/green]" if held else "[red]NO[/red]")
        self.console.print(table)


def code_of(call: Callable[[], object]) -> str:
    """Return the code of the error that a call raises, or ``accepted``."""
    try:
        call()
    except TwinlockError as error:
        return error.code
    return "accepted"
