"""``twinlock adopt scan``, ``status`` and ``report``: looking, and changing nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from twinlock.cli.adopt.shared import (
    DEFAULT,
    AdoptOption,
    HostDekOption,
    TableOption,
    site,
)
from twinlock.cli.failure import EXIT_DATA
from twinlock.cli.sealed_files import require_free
from twinlock.cli.terminal import Terminal, done, next_steps, one_line, table
from twinlock.files import write_private

if TYPE_CHECKING:
    from twinlock.adopt.scan import TableScan
    from twinlock.adopt.status import TableStatus

_NAMED = 20


def scan(
    terminal: Terminal,
    sample: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rows of each old key to try in the token.")
    ] = 20,
    allow_host_dek: HostDekOption = False,
    tables: TableOption = None,
    adopt: AdoptOption = DEFAULT,
) -> int | None:
    """Look at everything before anything is changed, and try a sample for real.

    Counts rows by level, old key and group; lists rows for which no group is known, which are
    never guessed. A sample under each old key is given new locks in the token, and these are
    thrown away. Exit code 3 when something will stop rows.

    [dim]twinlock adopt scan --sample 100[/dim]
    """
    from twinlock.adopt.scan import scan_table

    chance = random.Random()  # noqa: S311 - which rows are tried is no secret
    with site(terminal, adopt, tables) as found:
        scans = []
        for one in found.tables:
            with found.database.read() as connection:
                total = one.count(connection)
            with terminal.progress(f"Scanning {one.name}", total) as advance:
                scans.append(
                    scan_table(
                        found,
                        one,
                        sample=sample,
                        allow_host_dek=allow_host_dek,
                        chance=chance,
                        on_row=advance,
                    )
                )
    good = not any(one.unknown or one.problems for one in scans)
    shown = [item for one in scans for item in _shown_scan(one)]
    last = (
        next_steps("twinlock adopt migration -o FILE", "twinlock adopt allow --member ADMIN")
        if good
        else "Rows that are named above will be left alone until that is corrected."
    )
    terminal.result({"tables": [one.facts() for one in scans], "ok": good}, *shown, last)
    return None if good else EXIT_DATA


def _shown_scan(scan: TableScan) -> list[Any]:
    counts: list[tuple[str, str, object]] = [("rows", "", scan.rows)]
    for name, levels in scan.levels.items():
        counts += [
            (name, level, getattr(levels, level))
            for level in ("legacy", "rewrapped", "native", "empty")
            if getattr(levels, level)
        ]
    counts += [("old key", name, number) for name, number in sorted(scan.keys.items())]
    counts += [("groups", name, number) for name, number in sorted(scan.groups.items())]
    counts += [("groups", "unknown", len(scan.unknown))] if scan.unknown else []
    counts += [("tried", t.key, f"{t.good} of {t.tried} good") for t in scan.trials]
    shown: list[Any] = [table(["what", "which", "rows"], counts, title=scan.name)]
    if scan.unknown:
        shown.append(f"No group is known for: {_keys(scan.unknown)}")
    for problem in scan.problems:
        shown.append(
            Text.assemble(
                ("✗ ", "bold red"),
                one_line(f"{problem.message} [{problem.code}] rows {', '.join(problem.keys)}. "),
                (one_line(problem.hint), "bold"),
            )
        )
    return shown


def _keys(keys: Sequence[str]) -> str:
    rest = len(keys) - _NAMED
    more = f" and {rest} more; --json lists all" if rest > 0 else ""
    return ", ".join(keys[:_NAMED]) + more


def status(
    terminal: Terminal, tables: TableOption = None, adopt: AdoptOption = DEFAULT
) -> int | None:
    """Say how far the adoption is: levels per column, rows left, rate, what stopped rows.

    Exit code 3 while rows are left that a run could not adopt.

    [dim]twinlock adopt status --json[/dim]
    """
    now = int(time.time())
    with site(terminal, adopt, tables) as found:
        found.require_migrated()
        looked = list(_statuses(found, every_head=False))
    rows = [
        (s.name, name, s.states[f"{s.name}.{name}"], x.legacy, x.rewrapped, x.native, x.empty)
        for s in looked
        for name, x in s.levels.items()
    ]
    columns = ["table", "column", "signed", "legacy", "rewrapped", "native", "empty"]
    notes = [line for one in looked for line in _notes(one, now)]
    data = {"tables": [one.facts(now) for one in looked]}
    terminal.result(data, table(columns, rows), *notes)
    return EXIT_DATA if any(one.findings and one.left for one in looked) else None


def _statuses(found: Any, *, every_head: bool) -> Iterable[TableStatus]:
    from twinlock.adopt.states import all_columns, authority_state, shown_states
    from twinlock.adopt.status import table_status

    states = authority_state(found.vault, found.adoption)
    signed = shown_states(states, all_columns(found.adoption))
    with found.database.read() as connection:
        for one in found.tables:
            yield table_status(connection, one, signed, every_head=every_head)


def _notes(one: TableStatus, now: int) -> Iterable[str]:
    from twinlock.adopt.status import run_state

    left = f"{one.name}: {one.left} row(s) left"
    run = one.last_run
    if run is not None:
        left += (
            f"; last run {run_state(run, now)}, {run.counts.adopted} rows, {run.rate:.0f} a second"
        )
    yield left + "."
    if one.host_dek:
        yield f"{one.name}: the DEK of {one.host_dek} row(s) was in host memory."
    for code in dict.fromkeys(finding.code for finding in one.findings):
        keys = [finding.key for finding in one.findings if finding.code == code]
        message = next(finding.message for finding in one.findings if finding.code == code)
        yield f"{one.name}: {message} [{code}] {len(keys)} row(s): {_keys(keys)}"


def report(
    terminal: Terminal,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write Markdown.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    tables: TableOption = None,
    adopt: AdoptOption = DEFAULT,
) -> None:
    """Report what was done, and what stays exposed until the old keys are gone.

    Reads every adopted head, to count the rows whose DEK was in host memory.

    [dim]twinlock adopt report -o adoption.md[/dim]
    """
    from twinlock.adopt.report import Report

    with site(terminal, adopt, tables) as found:
        found.require_migrated()
        with terminal.progress("Reading heads"):
            made = Report.of(found, list(_statuses(found, every_head=True)), int(time.time()))
    if output is None:
        terminal.result(made.facts(), made.markdown())
        return
    require_free(output, force=force)
    write_private(output, made.markdown().encode())
    terminal.result({**made.facts(), "output": str(output)}, done(f"Wrote {output}."))
