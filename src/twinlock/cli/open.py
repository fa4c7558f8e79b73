"""``twinlock open``: with a release of another machine, or in one step with a member here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinlock.cli import holder_client
from twinlock.cli.command import command
from twinlock.cli.messages import read_message
from twinlock.cli.open_here import open_file_here, open_rows_here, require_output, show_file
from twinlock.cli.output import Destination
from twinlock.cli.records import (
    AfterOption,
    AllOption,
    ColumnsOption,
    IdsOption,
    LimitOption,
    TableOption,
    record_name,
    select,
)
from twinlock.cli.tables import Format, ShownRow
from twinlock.cli.terminal import Terminal
from twinlock.cli.who import Using, Who
from twinlock.errors import CallerError

if TYPE_CHECKING:
    pass

_OUTPUT = "Output"


def open_records(
    terminal: Terminal,
    what: Annotated[
        list[Path] | None,
        typer.Argument(metavar="REQUEST RELEASE | FILE.twl", help="What to open."),
    ] = None,
    as_member: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="MEMBER", help="A member on this machine.", rich_help_panel="Member"
        ),
    ] = None,
    table: TableOption = None,
    ids: IdsOption = None,
    all_rows: AllOption = False,
    limit: LimitOption = None,
    after: AfterOption = None,
    columns: ColumnsOption = None,
    name: Annotated[
        str | None, typer.Option(metavar="RECORD", help="What a sealed file is called.")
    ] = None,
    purpose: Annotated[
        str, typer.Option(metavar="TEXT", help="What for; it stands in the audit log's request.")
    ] = "",
    approve: Annotated[
        bool, typer.Option("--approve", help="Approve what a budget or a policy asks.")
    ] = False,
    format: Annotated[
        Format, typer.Option(help="How rows are written.", rich_help_panel=_OUTPUT)
    ] = Format.TABLE,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Default: the terminal.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="Also columns that were not sealed; nothing vouches for them.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file.", rich_help_panel=_OUTPUT)
    ] = False,
    using: Using = Using(),
) -> int | None:
    """Open records: with a request and its release, or in one step with a member here.

    A record that was changed, moved or forged is shown as such, the others open; the exit code is
    then 3.

    [dim]twinlock open request.twl release.twl[/dim]

    [dim]twinlock open --as kim --table patients --limit 20 --format csv -o patients.csv[/dim]

    [dim]twinlock open report.pdf.twl --as kim -o report.pdf[/dim]
    """
    paths = what or []
    to = Destination(format, output, plain, force)
    if as_member is None:
        if len(paths) != 2:
            raise CallerError(
                "open.what",
                "Without a member here, opening needs a request and its release.",
                hint="Run `twinlock open request.twl release.twl`, or name --as MEMBER.",
            )
        return _with_release(terminal, paths[0], paths[1], to)
    who = Who.of(as_member, using)
    if len(paths) == 1 and table is None:
        return open_file_here(terminal, who, paths[0], name, purpose, approve, to)
    if paths:
        raise CallerError(
            "open.what",
            "With --as MEMBER, open one sealed file or rows of a --table.",
            hint="See `twinlock open --help`.",
        )
    selection = select(table, ids, all_rows, limit, after, columns)
    return open_rows_here(terminal, who, selection, purpose, approve, to)


# --- with a release of another machine -----------------------------------------------------------


def _with_release(terminal: Terminal, request: Path, release: Path, to: Destination) -> int | None:
    asked_for, answer = read_message(request, "request"), read_message(release, "release")
    if holder_client.is_about_file(asked_for):
        target = require_output(to)
        holder_client.open_file(terminal.config, asked_for, answer, target)
        show_file(terminal, target)
        return None
    rows = holder_client.open_rows(terminal.config, asked_for, answer)
    table = holder_client.table_of(asked_for)
    return to.write(terminal, table, (_shown_from_holder(row) for row in rows))


def _shown_from_holder(row: holder_client.OpenedRow) -> ShownRow:
    return ShownRow(
        record_name(row.record_id), row.version, row.columns, row.error, row.values, row.plain
    )


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command."""
    command(app, "open", rich_help_panel=panel)(open_records)
