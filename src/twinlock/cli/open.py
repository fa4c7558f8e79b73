"""``twinlock open``: with a release of another machine, or in one step with a member here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinlock.agent.agent import Agent, Approve
from twinlock.agent.examine import ExaminedRequest
from twinlock.cli import holder_client
from twinlock.cli.command import command
from twinlock.cli.member_side import (
    HOME,
    HomeOption,
    KeyOption,
    PassphraseEnvOption,
    Who,
    unlock,
)
from twinlock.cli.messages import read_message
from twinlock.cli.output import Destination
from twinlock.cli.records import (
    PAGE,
    AfterOption,
    AllOption,
    ColumnsOption,
    IdsOption,
    LimitOption,
    Selection,
    TableOption,
    asked,
    columns_of,
    record_name,
    select,
    unprotected,
)
from twinlock.cli.seal import file_context, file_name_of, require_free
from twinlock.cli.server_side import vault
from twinlock.cli.tables import Format, ShownRow
from twinlock.cli.terminal import Terminal, done
from twinlock.core.membership import AgentPlacement
from twinlock.errors import CallerError, DataError, TwinlockError

if TYPE_CHECKING:
    from twinlock.core.context import Context
    from twinlock.server.opened import Opened
    from twinlock.server.records import Stored
    from twinlock.server.vault import Vault
    from twinlock.store.values import SealedRow

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
    home: HomeOption = HOME,
    key: KeyOption = None,
    passphrase_env: PassphraseEnvOption = None,
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
    who = Who(as_member, home, key, passphrase_env)
    if len(paths) == 1 and table is None:
        return _file_here(terminal, who, paths[0], name, purpose, approve, to)
    if paths:
        raise CallerError(
            "open.what",
            "With --as MEMBER, open one sealed file or rows of a --table.",
            hint="See `twinlock open --help`.",
        )
    selection = select(table, ids, all_rows, limit, after, columns)
    return _rows_here(terminal, who, selection, purpose, approve, to)


# --- with a release of another machine -----------------------------------------------------------


def _with_release(terminal: Terminal, request: Path, release: Path, to: Destination) -> int | None:
    asked_for, answer = read_message(request, "request"), read_message(release, "release")
    if holder_client.is_about_file(asked_for):
        target = _require_output(to)
        holder_client.open_file(terminal.config, asked_for, answer, target)
        _show_file(terminal, target)
        return None
    rows = holder_client.open_rows(terminal.config, asked_for, answer)
    table = holder_client.table_of(asked_for)
    return to.write(terminal, table, (_shown_from_holder(row) for row in rows))


def _shown_from_holder(row: holder_client.OpenedRow) -> ShownRow:
    return ShownRow(
        record_name(row.record_id), row.version, row.columns, row.error, row.values, row.plain
    )


# --- in one step ---------------------------------------------------------------------------------


def _rows_here(
    terminal: Terminal,
    who: Who,
    selection: Selection,
    purpose: str,
    approve: bool,
    to: Destination,
) -> int | None:
    with vault(terminal) as opened, _agent_here(terminal, who, opened) as agent:
        total = selection.limit or (None if selection.ids is None else len(selection.ids))
        with terminal.progress(f"Opening {selection.table}", total) as advance:
            pages = _pages(selection.rows(opened.store))
            columns: tuple[str, ...] | None = None

            def rows() -> Iterator[ShownRow]:
                nonlocal columns
                for page in pages:
                    columns = columns or columns_of(selection, page[0])
                    yield from _open_page(
                        terminal, opened, agent, selection.table, page, columns, purpose, approve
                    )
                    advance(len(page))

            return to.write(terminal, selection.table, rows())


def _agent_here(terminal: Terminal, who: Who, opened: Vault) -> Agent:
    """The member's agent in the server's own process, which groups allow only if they say so.

    Everything on a laptop is one machine, so a development deployment does not count it.
    """
    production = opened.config.production
    placement = AgentPlacement.SERVER if production else AgentPlacement.OWN_ORIGIN_OR_PROGRAM
    return unlock(terminal, who, placement=placement)


def _pages(rows: Iterator[SealedRow]) -> Iterator[list[SealedRow]]:
    while page := list(islice(rows, PAGE)):
        yield page


def _open_page(
    terminal: Terminal,
    opened: Vault,
    agent: Agent,
    table: str,
    page: Sequence[SealedRow],
    columns: tuple[str, ...],
    purpose: str,
    approve: bool,
) -> Iterable[ShownRow]:
    items = [asked(table, row, columns) for row in page]
    wanted = [item for item in items if not isinstance(item, DataError)]
    results = iter(_released(terminal, opened, agent, wanted, purpose, approve))
    for row, item in zip(page, items, strict=True):
        result = item if isinstance(item, DataError) else next(results)
        yield _shown_row(row, columns, result)


def _released(
    terminal: Terminal,
    opened: Vault,
    agent: Agent,
    wanted: Sequence[tuple[Context, Stored]],
    purpose: str,
    approve: bool,
) -> Sequence[Opened | TwinlockError]:
    if not wanted:
        return []
    request = opened.request(wanted, purpose=purpose)
    refusal = [asked_for.error for asked_for in request.asked]
    if all(refusal):
        return [error for error in refusal if error is not None]
    answer = agent.release(
        request,
        expect=[context for context, _ in wanted],
        approve=_approval(terminal, approve),
    )
    return opened.open(request, answer)


def _approval(terminal: Terminal, approve: bool) -> Approve:
    def approves(_request: ExaminedRequest, reason: str) -> bool:
        return approve or terminal.confirm(f"{reason}. Approve?")

    return approves


def _shown_row(
    row: SealedRow, columns: tuple[str, ...], result: Opened | TwinlockError
) -> ShownRow:
    error = result if isinstance(result, TwinlockError) else result.error
    values = {}
    if not isinstance(result, TwinlockError) and result.ok:
        values = {column: result.data(column).reveal() for column in columns}
    plain = unprotected(row, columns)
    return ShownRow(record_name(row.record_id), row.version, columns, error, values, plain)


# --- files ---------------------------------------------------------------------------------------


def _file_here(
    terminal: Terminal,
    who: Who,
    file: Path,
    name: str | None,
    purpose: str,
    approve: bool,
    to: Destination,
) -> int | None:
    from twinlock.server.records import SealedFile

    target = _require_output(to)
    context = file_context(name or file_name_of(file))
    with vault(terminal) as opened, _agent_here(terminal, who, opened) as agent:
        request = opened.request([(context, SealedFile(file))], purpose=purpose)
        error = request.asked[0].error
        if error is not None:
            raise _with_name_hint(error, context.record)
        answer = agent.release(request, expect=[context], approve=_approval(terminal, approve))
        with terminal.progress(f"Opening {file.name}"):
            opened.open_file(request, answer, target)
    _show_file(terminal, target)
    return None


def _with_name_hint(error: TwinlockError, record: object) -> TwinlockError:
    """A file that was renamed is the usual reason why its name does not fit."""
    if error.code != "data.not-authentic":
        return error
    return DataError(
        "data.not-authentic",
        f"This file is not authentic as {record!r}: it was changed, renamed, or not sealed by a "
        "known writer.",
        hint="If it was only renamed, give the name that it was sealed under with --name.",
    )


def _require_output(to: Destination) -> Path:
    if to.path is None:
        raise CallerError(
            "open.no-output", "A file is opened to a file.", hint="Name it with -o FILE."
        )
    require_free(to.path, force=to.force)
    return to.path


def _show_file(terminal: Terminal, target: Path) -> None:
    size = target.stat().st_size
    terminal.result(
        {"output": str(target), "bytes": size}, done(f"Opened {size:,} bytes into {target}.")
    )


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command."""
    command(app, "open", rich_help_panel=panel)(open_records)
