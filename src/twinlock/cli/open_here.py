"""Opening in one step: the vault and a member's agent in one process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from twinlock.agent.agent import Agent, Approve
from twinlock.agent.examine import ExaminedRequest
from twinlock.cli.member_side import unlock_beside
from twinlock.cli.output import Destination
from twinlock.cli.records import PAGE, Selection, asked, columns_of, record_name, unprotected
from twinlock.cli.sealed_files import file_context, file_name_of, require_free
from twinlock.cli.server_side import vault
from twinlock.cli.tables import ShownRow
from twinlock.cli.terminal import Terminal, done
from twinlock.cli.who import Who
from twinlock.core.membership import AgentPlacement
from twinlock.errors import CallerError, DataError, TwinlockError

if TYPE_CHECKING:
    from twinlock.core.context import Context
    from twinlock.server.opened import Opened
    from twinlock.server.records import Stored
    from twinlock.server.vault import Vault
    from twinlock.store.values import SealedRow


def open_rows_here(
    terminal: Terminal,
    who: Who,
    selection: Selection,
    purpose: str,
    approve: bool,
    to: Destination,
) -> int | None:
    """Open rows page by page, each with a request and a release of its own.

    Returns the exit code. Raises like ``Agent.release`` and ``Vault.open``.
    """
    with vault(terminal) as opened, agent_here(terminal, who, opened) as agent:
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


def agent_here(terminal: Terminal, who: Who, opened: Vault) -> Agent:
    """The member's agent in the server's own process, which groups allow only if they say so.

    Everything on a laptop is one machine, so a development deployment does not count it.
    """
    production = opened.config.production
    placement = AgentPlacement.SERVER if production else AgentPlacement.OWN_ORIGIN_OR_PROGRAM
    return unlock_beside(terminal, who, opened, placement=placement)


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
        approve=approval(terminal, approve),
    )
    return opened.open(request, answer)


def approval(terminal: Terminal, approve: bool) -> Approve:
    """Return who decides beyond the budget: ``approve`` in advance, else the person here."""

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


def open_file_here(
    terminal: Terminal,
    who: Who,
    file: Path,
    name: str | None,
    purpose: str,
    approve: bool,
    to: Destination,
) -> int | None:
    """Open a sealed file into a file. Raises like ``open_rows_here``."""
    from twinlock.server.records import SealedFile

    target = require_output(to)
    context = file_context(name or file_name_of(file))
    with vault(terminal) as opened, agent_here(terminal, who, opened) as agent:
        request = opened.request([(context, SealedFile(file))], purpose=purpose)
        error = request.asked[0].error
        if error is not None:
            raise _with_name_hint(error, context.record)
        answer = agent.release(request, expect=[context], approve=approval(terminal, approve))
        with terminal.progress(f"Opening {file.name}"):
            opened.open_file(request, answer, target)
    show_file(terminal, target)
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


def require_output(to: Destination) -> Path:
    """Return where a file goes. Raises ``open.no-output`` or ``file.exists``."""
    if to.path is None:
        raise CallerError(
            "open.no-output", "A file is opened to a file.", hint="Name it with -o FILE."
        )
    require_free(to.path, force=to.force)
    return to.path


def show_file(terminal: Terminal, target: Path) -> None:
    """Say that a file was opened."""
    size = target.stat().st_size
    terminal.result(
        {"output": str(target), "bytes": size}, done(f"Opened {size:,} bytes into {target}.")
    )
