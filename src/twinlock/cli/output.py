"""Where opened rows go: to the terminal or file that was asked for, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinlock.cli.failure import EXIT_DATA
from twinlock.cli.tables import (
    CsvWriter,
    Format,
    JsonWriter,
    RowWriter,
    ShownRow,
    TableWriter,
    explain,
    record_facts,
)
from twinlock.cli.terminal import Terminal, done, write_stdout
from twinlock.errors import CallerError
from twinlock.files import whole_file


@dataclass(frozen=True, slots=True)
class Destination:
    """How and where rows are written. ``with_plain``: also columns that nothing vouches for."""

    format: Format
    path: Path | None
    with_plain: bool
    force: bool

    def write(self, terminal: Terminal, table: str, rows: Iterable[ShownRow]) -> int | None:
        """Write all rows, say how many opened, and return the exit code: 3 if any failed."""
        if self.path is not None and self.path.exists() and not self.force:
            raise CallerError(
                "file.exists",
                f"{self.path} exists already.",
                hint="Choose another name, or give --force.",
            )
        if terminal.json and self.path is None:
            return self._as_object(terminal, table, rows)
        failed: list[ShownRow] = []
        count = 0
        with self._writing(terminal) as start:
            writer: RowWriter | None = None
            for row in rows:
                writer = writer or start(row)
                writer.row(row)
                count += 1
                if row.error is not None:
                    failed.append(row)
            (writer or start(None)).end()
        return self._end(terminal, table, count, failed)

    def _end(
        self, terminal: Terminal, table: str, count: int, failed: Sequence[ShownRow]
    ) -> int | None:
        for row in failed[:20]:
            if row.error is not None and (self.path is not None or self.format is Format.CSV):
                terminal.warn(f"{table} {row.record}: {explain(row.error)}")
        if failed:
            terminal.warn(f"{len(failed)} of {count} record(s) did not open.")
        if self.path is not None:
            data = {
                "output": str(self.path),
                "table": table,
                "records": count,
                "failed": len(failed),
            }
            opened = count - len(failed)
            terminal.result(data, done(f"Opened {opened} of {count} record(s) into {self.path}."))
        return EXIT_DATA if failed else None

    def _as_object(self, terminal: Terminal, table: str, rows: Iterable[ShownRow]) -> int | None:
        records: list[dict[str, Any]] = [record_facts(row, self.with_plain) for row in rows]
        failed = sum("error" in record for record in records)
        terminal.result({"table": table, "records": records, "failed": failed})
        return EXIT_DATA if failed else None

    @contextmanager
    def _writing(self, terminal: Terminal) -> Iterator[Any]:
        """Give what makes the writer from the first row, which tells the columns."""
        if self.path is None:
            yield lambda first: self._writer(first, write_stdout, terminal.print)
            return
        with whole_file(self.path) as file:
            yield lambda first: self._writer(
                first,
                lambda text: file.write(text.encode()),
                lambda item: file.write(terminal.rendered(item).encode()),
            )

    def _writer(self, first: ShownRow | None, write: Any, show: Any) -> RowWriter:
        columns = [] if first is None else list(first.columns)
        plain = [] if first is None or not self.with_plain else list(first.plain)
        if self.format is Format.CSV:
            return CsvWriter(write, "id", columns, plain)
        if self.format is Format.JSON:
            return JsonWriter(write, with_plain=self.with_plain)
        return TableWriter(show, "id", columns, plain)
