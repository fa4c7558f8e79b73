"""``twinlock seal``: columns of a table, or a file, for groups."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from twinlock.cli.command import command
from twinlock.cli.csv_source import CsvSource, SourceRow, column_names, nfc, require_distinct
from twinlock.cli.sealed_files import seal_file
from twinlock.cli.server_side import vault
from twinlock.cli.terminal import Advance, Terminal, done, next_steps
from twinlock.cli.ways import Ways
from twinlock.core.context import Context, record_bytes
from twinlock.errors import CallerError

if TYPE_CHECKING:
    from twinlock.server.vault import Vault
    from twinlock.store.values import SealedRow

_PANEL: Final = "A table"


def seal(
    terminal: Terminal,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A file to seal; - for stdin.")
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(metavar="GROUP", help="A way in; repeat it: each of the groups opens."),
    ] = None,
    all_of: Annotated[
        list[str] | None,
        typer.Option("--all", metavar="G1,G2", help="A way in that needs all of these groups."),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(metavar="SUITE", help="Default: the configuration's.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The sealed file; default FILE.twl."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="RECORD", help="What the file is called; default: its name."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the sealed file.")] = False,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Seal columns of it.", rich_help_panel=_PANEL),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option("--id", metavar="COLUMN", help="Identifies a row.", rich_help_panel=_PANEL),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="The columns to seal.", rich_help_panel=_PANEL),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Default: the file's stem.", rich_help_panel=_PANEL),
    ] = None,
    version_column: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Holds a version that is sealed in, and shown when the row is opened.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    delimiter: Annotated[
        str, typer.Option(metavar="C", help="Between fields.", rich_help_panel=_PANEL)
    ] = ",",
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace rows of the same id.", rich_help_panel=_PANEL),
    ] = False,
) -> None:
    """Seal columns of a table into the store, one key per row, or a file into a file.

    A table goes in whole or, if anything stops it, not at all.

    [dim]twinlock seal --csv patients.csv --id patient_id --columns finding,outcome --to ward[/dim]

    [dim]twinlock seal report.pdf --to ward --all physicians,data-office[/dim]
    """
    if (file is None) == (csv is None):
        raise CallerError(
            "seal.what", "Name a FILE to seal, or a table with --csv.", hint="One of the two."
        )
    ways = Ways(tuple(to or ()), tuple(all_of or ()))
    if csv is not None:
        source = _csv_source(csv, id_column, columns, version_column, delimiter)
        _seal_table(terminal, source, nfc(table or csv.stem), ways, suite, replace)
    elif file is not None:
        seal_file(terminal, file, output, name, ways, suite, force)


# --- tables --------------------------------------------------------------------------------------


def _csv_source(
    path: Path, key: str | None, columns: str | None, version: str | None, delimiter: str
) -> CsvSource:
    if key is None or columns is None:
        raise CallerError(
            "seal.table",
            "A table needs the column that identifies its rows, and those to seal.",
            hint="Use --id COLUMN --columns A,B.",
        )
    if len(delimiter) != 1:
        raise CallerError(
            "csv.delimiter", "A delimiter is one character.", hint="For example --delimiter ';'."
        )
    key, sealed = nfc(key), column_names(columns)
    version = None if version is None else nfc(version)
    require_distinct(key, version, sealed)
    return CsvSource(path, key, sealed, version, delimiter)


def _seal_table(
    terminal: Terminal, source: CsvSource, table: str, ways: Ways, suite: str | None, replace: bool
) -> None:
    began = time.monotonic()
    total, size = source.count()
    with vault(terminal) as opened, terminal.progress(f"Sealing {table}", total) as advance:
        rows = _sealed_rows(opened, source, table, total, ways, suite, advance)
        count = opened.store.records.put_rows(table, rows, replace=replace)
    seconds = time.monotonic() - began
    data = {
        "table": table,
        "rows": count,
        "columns": list(source.sealed),
        "bytes": size,
        "seconds": round(seconds, 3),
        "to": str(ways),
    }
    terminal.result(
        data,
        done(
            f"Sealed {', '.join(source.sealed)} of {count} rows of {table} for {ways}: "
            f"{size:,} bytes in {seconds:.1f} s."
        ),
        next_steps(f"twinlock open --as MEMBER --table {table} --limit 5"),
    )


def _sealed_rows(
    opened: Vault,
    source: CsvSource,
    table: str,
    total: int,
    ways: Ways,
    suite: str | None,
    advance: Advance,
) -> Iterator[SealedRow]:
    """Seal row by row, inside the transaction that takes them."""
    waiting: list[SourceRow] = []

    def contexts() -> Iterator[tuple[Context, dict[str, str | bytes]]]:
        for row in source.rows():
            waiting.append(row)
            yield row_context(table, row.record, row.version), dict(row.sealed)

    sealed_rows = opened.seal_rows(contexts(), total, to=ways.of(opened), suite=suite)

    def stored() -> Iterator[SealedRow]:
        from twinlock.store.values import SealedRow

        for sealed in sealed_rows:
            row = waiting.pop()
            advance(1)
            plain = json.dumps(row.others, ensure_ascii=False, separators=(",", ":")).encode()
            record = record_bytes(row.record)
            yield SealedRow(record, row.version, sealed.head, sealed.cells, plain)

    return stored()


def row_context(table: str, record: str, version: int | None) -> Context:
    """Return the context of a row of one of the command line's tables."""
    return Context(table=table, record=record, version=version)


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command."""
    command(app, "seal", rich_help_panel=panel)(seal)
